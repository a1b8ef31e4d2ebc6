"""Geometries on a globe: cut at the antimeridian, so that planar tests answer rightly."""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely import Polygon, affinity, box
from shapely.geometry.base import BaseGeometry

from rsdat.errors import ConfigError

#: Width in degrees from which a bbox with west < east may belong to something that crosses.
WIDE = 180.0


def on_the_globe(geometry: BaseGeometry, *, crossing: bool = False) -> BaseGeometry:
    """A geometry in degrees, with longitudes from -180 to 180 and nothing across the antimeridian.

    A polygon with an edge longer than 180 degrees is taken to go the short way round, across the
    antimeridian, although RFC 7946 (section 3.1.9) wants such polygons cut: many catalogs hold
    uncut ones. A rectangle along the axes is meant as it stands: it is a bbox. Longitudes beyond
    180 are another way to write a crossing.

    Parameters
    ----------
    crossing
        Whether it is known that the geometry crosses: rectangles then do as others do.
    """
    if geometry.is_empty:
        return geometry
    west, _, east, _ = geometry.bounds
    if east - west <= WIDE and west >= -180 and east <= 180:
        return geometry
    if geometry.geom_type in ("MultiPolygon", "GeometryCollection"):
        parts = shapely.get_parts(geometry)
        return shapely.union_all([on_the_globe(part, crossing=crossing) for part in parts])
    if isinstance(geometry, Polygon) and (crossing or not _along_the_axes(geometry)):
        geometry = _unrolled(geometry)
        west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    return _cut(geometry)


def bounding_area(bbox: Sequence[float]) -> BaseGeometry:
    """The area of west, south, east, north in degrees; west > east crosses the antimeridian.

    Raises
    ------
    ConfigError
        When it is not four (or, with heights, six) numbers on the earth.
    """
    if len(bbox) == 6:
        bbox = (bbox[0], bbox[1], bbox[3], bbox[4])
    if len(bbox) != 4:
        raise ConfigError(
            f"a bbox has four numbers, not {len(bbox)}", hint="west,south,east,north in degrees"
        )
    west, south, east, north = (float(number) for number in bbox)
    if north < south and north >= -90 and south <= 90:
        raise ConfigError(
            f"bbox {west:g},{south:g},{east:g},{north:g} has its south above its north",
            hint="the order is west,south,east,north, in degrees",
        )
    if not (-90 <= south <= north <= 90 and -180 <= west <= 360 and -180 <= east <= 360):
        raise ConfigError(
            f"bbox {west:g},{south:g},{east:g},{north:g} is not on the earth",
            hint="give west,south,east,north in degrees, south below north",
        )
    if west <= east:
        return on_the_globe(box(west, south, east, north))
    return box(west, south, 180, north).union(box(-180, south, east, north))


def bounds(geometry: BaseGeometry) -> list[float]:
    """The bbox of a geometry that is cut, as STAC writes it: west > east where it crosses.

    Parameters
    ----------
    geometry
        As :func:`on_the_globe` gives it.
    """
    west, south, east, north = geometry.bounds
    parts = [part.bounds for part in shapely.get_parts(geometry)]
    eastern = [part for part in parts if part[0] > 0]
    western = [part for part in parts if part[2] < 0]
    if west == -180 and east == 180 and len(eastern) + len(western) == len(parts):
        west, east = min(part[0] for part in eastern), max(part[2] for part in western)
    return [west, south, east, north]


def _along_the_axes(polygon: Polygon) -> bool:
    return not polygon.interiors and bool(polygon.equals(box(*polygon.bounds)))


def _unrolled(polygon: Polygon) -> BaseGeometry:
    """The polygon with each edge the short way round; longitudes may leave -180 to 180."""
    shell = _ring(list(polygon.exterior.coords))
    holes = [_ring(list(hole.coords)) for hole in polygon.interiors]
    middle = (min(x for x, _ in shell) + max(x for x, _ in shell)) / 2
    holes = [_near(hole, middle) for hole in holes]
    unrolled = Polygon(shell, holes)
    if shell[0] != shell[-1]:  # it goes round a pole, which no ring in degrees can enclose
        return polygon
    return unrolled if unrolled.is_valid else shapely.make_valid(unrolled)


def _ring(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    result: list[tuple[float, float]] = []
    turns = 0.0
    for x, y, *_ in points:
        if result:
            step = x + turns - result[-1][0]
            if abs(step) < 360.0:  # the edge of a whole globe is no crossing
                turns -= 360.0 * round(step / 360.0)
        result.append((x + turns, y))
    return result


def _near(hole: list[tuple[float, float]], middle: float) -> list[tuple[float, float]]:
    shift = 360.0 * round((middle - hole[0][0]) / 360.0)
    return [(x + shift, y) for x, y in hole]


def _cut(geometry: BaseGeometry) -> BaseGeometry:
    globe = box(-180, -90, 180, 90)
    turned = [affinity.translate(geometry, xoff=360.0 * turn) for turn in (-1, 0, 1)]
    parts = [part.intersection(globe) for part in turned]
    return shapely.union_all([part for part in parts if not part.is_empty])
