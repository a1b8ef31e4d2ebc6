"""The outline of a grid in degrees, as STAC wants it: bent edges, the antimeridian, the poles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import DataError

#: Points along each edge: a straight edge of one projection is a curve in another.
_POINTS = 64

#: How far the outline may be off, as a part of its extent: half a pixel of a Sentinel-2 scene.
_STRAIGHT = 4e-5


@dataclass(frozen=True)
class Footprint:
    """Where something lies, in degrees."""

    geometry: dict[str, Any]
    """GeoJSON: a Polygon, or a MultiPolygon where the antimeridian cuts it (RFC 7946, 3.1.9)."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north; west > east across the antimeridian (RFC 7946, 5.2)."""


def footprint(geobox: GeoBox) -> Footprint:
    """The outline of a grid.

    Raises
    ------
    DataError
        The grid has no CRS, or lies where its projection has no degrees.
    """
    from shapely.geometry import Polygon, mapping

    longitude, latitude = _outline(geobox)
    ring = np.stack([longitude, latitude], axis=1)
    turns = round((longitude[-1] - longitude[0]) / 360)
    if turns:  # around a pole: the ring ends a turn further on, and closes along the pole
        pole = 90.0 if latitude.mean() > 0 else -90.0
        ring = np.concatenate([ring, [[longitude[-1], pole], [longitude[0], pole]]])
    shape = Polygon(np.round(ring, 7))
    shape = shape if shape.is_valid else shape.buffer(0)
    extent = np.ptp(ring, axis=0).max()
    shape = shape.simplify(extent * _STRAIGHT)
    whole = _within_the_globe(shape)
    west, south, east, north = shape.bounds
    if east - west >= 360 - 1e-6:
        west, east = -180.0, 180.0
    elif whole.geom_type == "MultiPolygon":
        west, east = _turned(west), _turned(east)
    else:
        west, _, east, _ = whole.bounds
    geometry: dict[str, Any] = mapping(whole)
    return Footprint(geometry, (west, south, east, north))


def _outline(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes (going on beyond 180) and latitudes around a grid, the first point again last."""
    from pyproj import Transformer
    from pyproj.enums import TransformDirection

    if geobox.crs is None:
        raise DataError("the grid has no CRS", hint="give it one: geobox.assign_crs")
    height, width = geobox.shape
    down, along = np.linspace(0, height, _POINTS + 1), np.linspace(0, width, _POINTS + 1)
    columns = np.concatenate([0 * down[:-1], along[:-1], 0 * down[:-1] + width, along[:0:-1], [0]])
    rows = np.concatenate([down[:-1], 0 * along[:-1] + height, down[:0:-1], 0 * along[:-1], [0]])
    x, y = geobox.transform * (columns, rows)
    if geobox.crs.geographic:
        return x, np.clip(y, -90, 90)
    turn = Transformer.from_crs("EPSG:4326", geobox.crs.proj, always_xy=True)
    longitude, latitude = turn.transform(x, y, direction=TransformDirection.INVERSE)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise DataError(
            "the grid reaches beyond its projection", hint="make the bbox smaller, or take a CRS"
        )
    return np.unwrap(longitude, period=360), latitude


def _within_the_globe(shape: Any) -> Any:
    """A polygon whose longitudes go on beyond 180, cut there and brought back."""
    from shapely.affinity import translate
    from shapely.geometry import box
    from shapely.ops import unary_union

    west, _, east, _ = shape.bounds
    parts = []
    for turn in range(int((west + 180) // 360), int(-((180 - east) // 360)) + 1):
        world = box(360 * turn - 180, -90, 360 * turn + 180, 90)
        found = translate(shape.intersection(world), -360 * turn)
        parts += [one for one in getattr(found, "geoms", [found]) if one.area > 0]
    return unary_union(parts)


def _turned(longitude: float) -> float:
    return float((longitude + 180) % 360 - 180)
