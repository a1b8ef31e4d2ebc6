"""Geometries as users give them, on a grid's pixels; and where items lie."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from rsdat.errors import ConfigError, DataError

# Edges are straight in the geometry's own CRS. Points this far apart keep them so in another one,
# to some centimetres.
_STEP_DEGREES, _STEP_METRES = 0.01, 1000.0
# Degrees of longitude and latitude beyond which transverse Mercator, say, gives no sense.
_WIDE, _HIGH = 60.0, 84.0

# rasterio changes the process's warning filters for a moment where it makes a raster in memory;
# two threads at a time would let a warning of it out, or leave the filters changed.
_rasterizing = threading.Lock()


def geometry_of(given: Any) -> Geometry:
    """A geometry from odc-geo's own, GeoJSON (degrees; Feature and collection too), or shapely.

    Raises
    ------
    ConfigError
        When it is none of these, or empty.
    """
    result = given if isinstance(given, Geometry) else _from_mapping(given)
    if result.is_empty:
        raise ConfigError("the geometry is empty", hint="give a polygon in degrees")
    return result


def _from_mapping(given: Any) -> Geometry:
    from shapely.geometry import shape
    from shapely.ops import unary_union

    try:
        mapping: Mapping[str, Any] = (
            given if isinstance(given, Mapping) else given.__geo_interface__
        )
        if mapping["type"] == "FeatureCollection":
            merged = unary_union([shape(one["geometry"]) for one in mapping["features"]])
        else:
            merged = shape(mapping["geometry"] if mapping["type"] == "Feature" else mapping)
    except Exception as error:
        raise ConfigError(
            f"{type(given).__name__} is no geometry: {error}",
            hint="give GeoJSON in degrees, or odc.geo.geom.Geometry with its own CRS",
        ) from None
    west, south, east, north = merged.bounds if not merged.is_empty else (0.0, 0.0, 0.0, 0.0)
    # Metres taken for degrees go round the earth so often that it looks like a standstill.
    if not (-90 <= south <= north <= 90 and -360 <= west <= east <= 360):
        raise ConfigError(
            f"the geometry from {west:g},{south:g} to {east:g},{north:g} is not in degrees",
            hint="give an odc.geo.geom.Geometry, which names its CRS, or degrees",
        )
    return Geometry(merged, "EPSG:4326")


def projected(geometry: Geometry, geobox: GeoBox) -> Any:
    """A geometry (shapely) in the CRS of a grid, its edges as straight as they were in its own."""
    degrees = geometry.crs.geographic
    if degrees and not geobox.crs.geographic and _wide(geometry):
        geometry = _near(geometry, geobox)
    return geometry.to_crs(geobox.crs, resolution=_STEP_DEGREES if degrees else _STEP_METRES).geom


def _wide(geometry: Geometry) -> bool:
    """Whether it reaches where the projection of a grid has no place for it, most likely."""
    west, south, east, north = geometry.geom.bounds
    return bool(east - west > _WIDE or south < -_HIGH or north > _HIGH)


def _near(geometry: Geometry, geobox: GeoBox) -> Geometry:
    """The part of a geometry within a degree of a grid."""
    from shapely import box, make_valid

    bounds = geobox.geographic_extent.geom.buffer(1).bounds
    return Geometry(make_valid(geometry.geom).intersection(box(*bounds)), geometry.crs)


def inside(shape: Any, geobox: GeoBox) -> NDArray[np.bool_]:
    """(y, x) True where a pixel's centre is in a polygon (shapely, in the CRS of the grid)."""
    from rasterio.features import geometry_mask

    with _rasterizing:
        mask: NDArray[np.bool_] = geometry_mask(
            [shape], tuple(geobox.shape), geobox.transform, invert=True
        )
    return mask


def longitudes(items: Sequence[pystac.Item]) -> list[float]:
    """Degrees east of each item's middle.

    Raises
    ------
    DataError
        An item has neither geometry nor bbox.
    """
    return [_longitude(item) for item in items]


def _longitude(item: pystac.Item) -> float:
    if item.bbox is not None:
        west, east = item.bbox[0], item.bbox[len(item.bbox) // 2]
        if east < west or east - west > 180:  # across the antimeridian, however it is written
            west, east = max(west, east), min(west, east) + 360
        return (west + east) / 2
    if item.geometry is not None:
        from shapely.geometry import shape

        return float(shape(item.geometry).centroid.x)
    raise DataError(
        f"item {item.id} has no bbox and no geometry, so its solar day is not known",
        hint="use by='day'",
    )
