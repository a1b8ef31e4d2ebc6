"""The attributes of a Zarr store: CF for xarray, proj/spatial/multiscales for all others.

Sources: CF conventions 1.11, sections 5.6 (grid mappings) and 8.1 (packed data); the Zarr
conventions ``proj``, ``spatial`` and ``multiscales``, each at v0.1
(https://github.com/zarr-conventions).
"""

from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.raster.image import Image
from rsdat.raster.writers.zarr_layout import Level

#: Name of the grid mapping's variable: the one that rioxarray and odc-geo look for.
GRID_MAPPING = "spatial_ref"
_IDENTIFIERS = {
    "proj": (
        "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "Coordinate reference system information for geospatial data",
    ),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
}
_SCHEMAS = "https://raw.githubusercontent.com/zarr-conventions"
_TEXTS = "https://github.com/zarr-conventions"
_UNITS = {"s": "seconds", "us": "microseconds", "ns": "nanoseconds"}


def root_attributes(geobox: GeoBox, levels: tuple[Level, ...], resampling: str) -> dict[str, Any]:
    """Attributes of the group that holds the levels as groups ``0``, ``1``, ….

    Transform and shape are given level by level: the ``spatial`` convention wants them nowhere
    else where there are several.
    """
    return {
        "zarr_conventions": _declared("multiscales", "proj", "spatial"),
        "multiscales": {
            "layout": [_level(level, geobox) for level in levels],
            "resampling_method": resampling,
        },
        **_crs(geobox),
        "spatial:dimensions": ["y", "x"],
        "spatial:bbox": _bbox(geobox),
    }


def level_attributes(geobox: GeoBox) -> dict[str, Any]:
    """Attributes of a group that holds the arrays of one level."""
    return {
        "zarr_conventions": _declared("proj", "spatial"),
        **_crs(geobox),
        "spatial:dimensions": ["y", "x"],
        "spatial:bbox": _bbox(geobox),
        "spatial:transform": list(geobox.transform)[:6],
        "spatial:shape": list(geobox.shape),
        "spatial:registration": "pixel",
    }


def array_attributes(image: Image, band: int) -> dict[str, Any]:
    """Attributes of a band: how xarray makes physical values of its numbers, and where they lie.

    ``scale_factor`` and ``add_offset`` are left out where they change nothing.
    """
    attributes: dict[str, Any] = {"grid_mapping": GRID_MAPPING, "coordinates": GRID_MAPPING}
    if image.scales[band] != 1.0:
        attributes["scale_factor"] = image.scales[band]
    if image.offsets[band] != 0.0:
        attributes["add_offset"] = image.offsets[band]
    if image.nodata is not None:
        attributes["_FillValue"] = _fill(image.nodata, np.dtype(image.dtype))
    return attributes


def coordinates(geobox: GeoBox) -> dict[str, tuple[NDArray[Any], dict[str, Any]]]:
    """Values and attributes of ``y``, ``x`` (pixel centres, float64) and the grid mapping."""
    from odc.geo.xr import xr_coords

    if geobox.crs.geographic:
        meant = {
            "y": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
            "x": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
        }
    else:
        meant = {
            "y": {"standard_name": "projection_y_coordinate", "axis": "Y"},
            "x": {"standard_name": "projection_x_coordinate", "axis": "X"},
        }
    return {
        str(name): (np.asarray(array.values), {**array.attrs, **meant.get(str(name), {})})
        for name, array in xr_coords(geobox, GRID_MAPPING, always_yx=True).items()
    }


def time_coordinate(times: tuple[np.datetime64, ...]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Times as whole numbers of the longest unit that keeps them exact."""
    exact = np.array(times, "datetime64[ns]")
    unit = next(u for u in _UNITS if (exact.astype(f"datetime64[{u}]") == exact).all())
    attributes = {
        "standard_name": "time",
        "axis": "T",
        "units": f"{_UNITS[unit]} since 1970-01-01T00:00:00",
        "calendar": "proleptic_gregorian",
    }
    return exact.astype(f"datetime64[{unit}]").astype("int64"), attributes


def _level(level: Level, image: GeoBox) -> dict[str, Any]:
    grid = level.geobox(image)
    derived = {"derived_from": str(level.number - 1)} if level.number else {}
    scale = 2.0 if level.number else 1.0
    return {
        "asset": str(level.number),
        **derived,
        # Indices are counted from the corner of the first pixel, which all levels share.
        "transform": {"scale": [scale, scale], "translation": [0.0, 0.0]},
        "spatial:shape": list(grid.shape),
        "spatial:transform": list(grid.transform)[:6],
    }


def _declared(*names: str) -> list[dict[str, str]]:
    return [
        {
            "uuid": _IDENTIFIERS[name][0],
            "schema_url": f"{_SCHEMAS}/{name}/refs/tags/v0.1/schema.json",
            "spec_url": f"{_TEXTS}/{name}/blob/v0.1/README.md",
            "name": name,
            "description": _IDENTIFIERS[name][1],
        }
        for name in names
    ]


def _crs(geobox: GeoBox) -> dict[str, str]:
    """The CRS as WKT2, which needs no database to be read, and as a code where it has one."""
    crs = geobox.crs.proj
    authority = crs.to_authority(min_confidence=100)
    code = {"proj:code": ":".join(authority)} if authority else {}
    return {**code, "proj:wkt2": crs.to_wkt("WKT2_2019")}


def _bbox(geobox: GeoBox) -> list[float]:
    box = geobox.boundingbox
    return [box.left, box.bottom, box.right, box.top]


def _fill(nodata: float, dtype: np.dtype[Any]) -> Any:
    """The ``_FillValue`` of an array in Zarr v3, as xarray writes it: floats in base64.

    JSON has no NaN; xarray takes the eight bytes of a little-endian float64 instead.
    """
    if dtype.kind == "f":
        return base64.standard_b64encode(struct.pack("<d", nodata)).decode()
    return bool(nodata) if dtype.kind == "b" else int(nodata)
