"""Where the pixels of one grid lie in another, to 1/10 000 pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

Array = NDArray[Any]

#: Largest error of interpolated coordinates, in source pixels.
TOLERANCE = 1e-4
_MESH = 64


def axis_indices(scale: float, shift: float, size: int) -> Array:
    """Source index of each of ``size`` output pixels along one axis, nearest neighbour.

    ``scale`` and ``shift`` map output pixel coordinates to source pixel coordinates. A centre on
    the edge of two source pixels belongs to the one that follows, whatever the rounding.
    """
    indices: Array = np.floor(scale * (np.arange(size) + 0.5) + shift + 1e-6).astype("int64")
    return indices


def pixel_map(geobox: GeoBox, source: GeoBox, *, exact: bool = True) -> tuple[Array, Array]:
    """Rows and columns of ``source`` under the centres of ``geobox``'s pixels; -1000 off the earth.

    Without ``exact`` the mesh is taken as it comes: good for asking whether two grids meet.
    """
    limit = TOLERANCE if exact else np.inf
    return _pixel_map(geobox, source, limit)


# Bands and dates on the same two grids come one after the other: the map is computed once.
@lru_cache(maxsize=4)
def _pixel_map(geobox: GeoBox, source: GeoBox, limit: float) -> tuple[Array, Array]:
    step = _MESH
    while step > 1:
        rows, columns, error = _meshed(geobox, source, step)
        if error <= limit:
            break
        step //= 4
    else:
        y, x = np.mgrid[0 : geobox.height, 0 : geobox.width]
        rows, columns = _project(geobox, source, x + 0.5, y + 0.5)
    result = _floor(rows), _floor(columns)
    for array in result:
        array.setflags(write=False)
    return result


def _meshed(geobox: GeoBox, source: GeoBox, step: int) -> tuple[Array, Array, float]:
    xs = np.arange(0, geobox.width + step, step) + 0.5
    ys = np.arange(0, geobox.height + step, step) + 0.5
    rows, columns = _project(geobox, source, *np.meshgrid(xs, ys))
    # The error of linear interpolation is largest in the middle of a cell: measure it there.
    middle = _project(geobox, source, *np.meshgrid(xs[:-1] + step / 2, ys[:-1] + step / 2))
    error = 0.0
    for corner, centre in zip((rows, columns), middle, strict=True):
        mean = (corner[1:, 1:] + corner[:-1, 1:] + corner[1:, :-1] + corner[:-1, :-1]) / 4
        difference = np.abs(mean - centre)
        error = max(error, float(difference.max()) if np.isfinite(difference).all() else np.inf)
    return _spread(rows, geobox, step), _spread(columns, geobox, step), error


def _spread(mesh: Array, geobox: GeoBox, step: int) -> Array:
    x = np.arange(geobox.width) / step
    left = x.astype("int64")
    part = x - left
    across = mesh[:, left] * (1 - part) + mesh[:, left + 1] * part
    y = np.arange(geobox.height) / step
    top = y.astype("int64")
    weight = (y - top)[:, None]
    result: Array = across[top] * (1 - weight) + across[top + 1] * weight
    return result


def _project(geobox: GeoBox, source: GeoBox, x: Array, y: Array) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore"):
        world = geobox.transform * (x, y)
        if geobox.crs != source.crs:
            world = geobox.crs.transformer_to_crs(source.crs)(*world)
        columns, rows = ~source.transform * world
    return rows, columns


def _floor(values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        floored = np.floor(values + 1e-10)
    return np.where(np.isfinite(floored), np.clip(floored, -1000, 2**30), -1000).astype("int32")
