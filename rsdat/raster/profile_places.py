"""The places of a profile: what a user calls points and polygons, and where it lies on a grid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from rsdat.errors import ConfigError
from rsdat.raster.chains.geometry import projected

_DEGREES = "EPSG:4326"
_KINDS = ("Point", "Polygon", "MultiPolygon")

#: Rows and columns of a grid: top, bottom, left, right, the ends excluded.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """A named point or polygon."""

    name: str
    geometry: Geometry

    def middle(self) -> tuple[float, float]:
        """Degrees east and north of its centroid."""
        point = self.geometry.centroid.to_crs(_DEGREES).geom
        return float(point.x), float(point.y)


@dataclass(frozen=True)
class Target:
    """A place on a grid."""

    shape: Any
    """The polygon (shapely) in the CRS of the grid; None: every pixel of the window."""
    window: Window
    cut: bool = False
    """Whether a part of the place lies outside the grid."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        top, bottom, left, right = self.window
        return bottom - top, right - left


def places_of(given: Any) -> tuple[Place, ...]:
    """Named places from all that :func:`rsdat.raster.profiles.profile` takes.

    Raises
    ------
    ConfigError
        Something is neither a point nor a polygon, lies outside the degrees, or has the name of
        another one.
    """
    found = [
        Place(name or str(position), geometry)
        for position, (name, geometry) in enumerate(_named(given))
    ]
    if not found:
        raise ConfigError("there are no places", hint="give points (lon, lat) or polygons")
    ((name, count),) = Counter(place.name for place in found).most_common(1)
    if count > 1:
        raise ConfigError(
            f"{count} places are called {name!r}", hint="give a dict of name to geometry"
        )
    for place in found:
        _check(place)
    return tuple(found)


def locate(place: Place, geobox: GeoBox) -> Target | None:
    """Where a place lies on a grid; None: outside."""
    shape = projected(place.geometry, geobox)
    turns = (0, 360, -360) if geobox.crs.geographic else (0,)  # a grid may go on beyond 180 degrees
    for turn in turns:
        moved = _moved(shape, turn)
        target = _on_pixels(moved, geobox)
        if target is not None:
            return target
    return None


def as_point(target: Target, geobox: GeoBox) -> Target | None:
    """A polygon that holds no pixel's centre as the pixel that it lies in."""
    found = _on_pixels(target.shape.representative_point(), geobox)
    return found and replace(found, cut=target.cut)


def _on_pixels(shape: Any, geobox: GeoBox) -> Target | None:
    left, bottom, right, top = shape.bounds
    if not all(map(math.isfinite, (left, bottom, right, top))):  # not a place of this CRS
        return None
    corners = [~geobox.transform * (x, y) for x in (left, right) for y in (bottom, top)]
    columns, rows = zip(*corners, strict=True)
    if shape.geom_type == "Point":
        ends = [(math.floor(axis[0]), math.floor(axis[0]) + 1) for axis in (rows, columns)]
    else:
        ends = [(math.floor(min(axis)), math.ceil(max(axis))) for axis in (rows, columns)]
    inside = [
        (max(start, 0), min(stop, size))
        for (start, stop), size in zip(ends, geobox.shape, strict=True)
    ]
    if any(start >= stop for start, stop in inside):
        return None
    polygon = None if shape.geom_type == "Point" else shape
    return Target(polygon, (*inside[0], *inside[1]), inside != ends)


def _moved(shape: Any, east: float) -> Any:
    from shapely.affinity import translate

    return translate(shape, xoff=east) if east else shape


def _named(given: Any) -> Iterable[tuple[str, Geometry]]:
    """Names (empty: none is given) and geometries."""
    if isinstance(given, Geometry):
        return [("", given)]
    if isinstance(given, Mapping) and not isinstance(given.get("type"), str):
        return [(str(name), _geometry(one)) for name, one in given.items()]
    if hasattr(given, "__geo_interface__") or isinstance(given, Mapping):
        return _from_geojson(given)
    if _is_point(given):
        return [("", _geometry(given))]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise _unknown(given, "it is neither a place nor many")
    return [pair for one in given for pair in _one(one)]


def _one(given: Any) -> Iterable[tuple[str, Geometry]]:
    if isinstance(given, Mapping) and given.get("type") == "Feature":
        return _from_geojson(given)
    return [("", _geometry(given))]


def _from_geojson(given: Any) -> list[tuple[str, Geometry]]:
    mapping = given if isinstance(given, Mapping) else given.__geo_interface__
    crs = getattr(given, "crs", None) or _DEGREES  # a GeoDataFrame has its own
    if mapping.get("type") != "FeatureCollection":
        return [(_name(mapping, 0), _geometry(mapping, crs))]
    return [
        (_name(one, position), _geometry(one, crs))
        for position, one in enumerate(mapping["features"])
    ]


def _name(feature: Mapping[str, Any], position: int) -> str:
    """A feature's id, unless it only counts; else its property ``name``."""
    known = feature.get("id")
    if known is not None and str(known) != str(position):
        return str(known)
    return str((feature.get("properties") or {}).get("name") or "")


def _geometry(given: Any, crs: Any = _DEGREES) -> Geometry:
    if isinstance(given, Geometry):
        return given
    from shapely import force_2d
    from shapely.geometry import Point, shape

    try:
        if _is_point(given):
            return Geometry(Point(*map(float, given)), crs)
        mapping = given if isinstance(given, Mapping) else given.__geo_interface__
        found = shape(mapping["geometry"] if mapping["type"] == "Feature" else mapping)
        return Geometry(force_2d(found), crs)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    raise _unknown(given, reason)


def _is_point(given: Any) -> bool:
    try:
        first, second = given
    except (TypeError, ValueError):
        return False
    return isinstance(first, Real) and isinstance(second, Real)


def _check(place: Place) -> None:
    shape, crs = place.geometry.geom, place.geometry.crs
    if shape.geom_type not in _KINDS or shape.is_empty:
        what = "is empty" if shape.is_empty else f"is a {shape.geom_type}"
        raise ConfigError(
            f"the place {place.name} {what}",
            hint="give points and polygons; make polygons of lines with buffer()",
        )
    if crs is None:
        raise ConfigError(
            f"the place {place.name} has no CRS",
            hint="give Geometry(…, crs), or GeoJSON in degrees",
        )
    west, south, east, north = shape.bounds
    if not all(map(math.isfinite, shape.bounds)) or (
        crs.geographic and (south < -90 or north > 90 or west < -360 or east > 360)
    ):
        raise ConfigError(
            f"the place {place.name} lies at {west:.10g}, {south:.10g}, not in degrees",
            hint="give (longitude, latitude); of other CRS odc.geo.geom.Geometry(…, crs)",
        )


def _unknown(given: Any, reason: str) -> ConfigError:
    return ConfigError(
        f"{type(given).__name__} is no place: {reason}",
        hint="give (lon, lat), GeoJSON in degrees, a GeoDataFrame, or a dict of name to these",
    )
