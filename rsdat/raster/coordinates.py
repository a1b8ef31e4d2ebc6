"""Where the pixels of one grid lie in another: the nearest ones exactly, without asking for each.

Between two CRS, coordinates are computed on a sparse mesh and interpolated. Where that leaves open
which pixel is the nearest, because a centre comes so near to the edge of two, they are computed for
the centre itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

Array = NDArray[Any]

#: Largest error of interpolated coordinates, in source pixels: so few centres are open after it
#: that computing them costs less than a finer mesh.
TOLERANCE = 1e-3
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
    return _kept_pixels(geobox, source, limit)


def overview_level(factors: tuple[int, ...], scale: float) -> int | None:
    """Which overview is the coarsest that is still as fine as the output; None: the file itself."""
    levels = [i for i, factor in enumerate(factors) if factor <= scale * (1 + 1e-6)]
    if scale < 2 or not levels:
        return None
    return max(levels, key=lambda i: factors[i])


def scale_between(geobox: GeoBox, source: GeoBox) -> tuple[float, float, float]:
    """Source pixels in one pixel of the output: along its x and y in the middle, and the least.

    It is looked at all over the source and does not depend on which part of a grid ``geobox`` is:
    what follows from it is the same for each block. Where nothing is known, 1.
    """
    step = geobox.transform
    return _scale_between((step.a, step.b, step.d, step.e), geobox.crs, source)


@lru_cache(maxsize=64)
def _scale_between(
    step: tuple[float, float, float, float], crs: Any, source: GeoBox
) -> tuple[float, float, float]:
    a, b, d, e = step
    if crs == source.crs:
        back = ~source.transform * Affine(a, b, 0, d, e, 0)
        along = np.hypot(back.a, back.d), np.hypot(back.b, back.e)
        return float(along[0]), float(along[1]), float(min(along))
    rows, columns = np.meshgrid(*((np.arange(5) + 0.5) / 5 * size for size in source.shape))
    x, y = source.transform * (columns.ravel(), rows.ravel())
    there = source.crs.transformer_to_crs(crs)
    lengths = []
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = there(x, y)
        for right, down in ((a, d), (b, e)):
            ends = [
                np.array(_pixels_at(crs, source, x + half * right, y + half * down))
                for half in (-0.5, 0.5)
            ]
            lengths.append(np.hypot(*(ends[1] - ends[0])))
    known = np.isfinite(lengths).all(axis=0) & (np.array(lengths) > 0).all(axis=0)
    if not known.any():
        return 1.0, 1.0, 1.0
    across, down = (length[known] for length in lengths)
    return float(np.median(across)), float(np.median(down)), float(min(across.min(), down.min()))


@dataclass(frozen=True, eq=False)
class Sampling:
    """Which pixels of a file's window the pixels of a block are, nearest neighbour."""

    level: int | None
    """The overview that is read; None: the file itself."""
    window: tuple[int, int, int, int]
    """Top, left, height and width in it."""
    index: NDArray[np.int32]
    """(y, x): position in the window, row by row; 0 where there is none."""
    valid: NDArray[np.bool_] | None
    """(y, x): whether the pixel lies in the file; None: all do."""


# Bands and dates on the same two grids come one after the other, in some threads at once.
@lru_cache(maxsize=8)
def sampling(geobox: GeoBox, grid: GeoBox, factors: tuple[int, ...] = ()) -> Sampling | None:
    """How a block is read from a file with another CRS; None where they do not meet.

    ``factors`` are those of the file's overviews.
    """
    rows, columns = _found_pixels(geobox, grid, TOLERANCE)
    valid = (rows >= 0) & (rows < grid.height) & (columns >= 0) & (columns < grid.width)
    everywhere = bool(valid.all())
    if not (everywhere or valid.any()):
        return None
    if not everywhere:
        rows, columns = np.where(valid, rows, -1), np.where(valid, columns, -1)
    low, left = _lowest(rows), _lowest(columns)
    high, right = int(rows.max()), int(columns.max())
    level = overview_level(factors, scale_between(geobox, grid)[2]) if factors else None
    if level is not None:
        height, width = (-(-size // factors[level]) for size in grid.shape)
        rows = np.minimum(rows.astype("int64") * height // grid.height, height - 1)
        columns = np.minimum(columns.astype("int64") * width // grid.width, width - 1)
        low, left, high, right = (
            _lowest(rows),
            _lowest(columns),
            int(rows.max()),
            int(columns.max()),
        )
    width = right - left + 1
    index = ((rows - low) * np.int32(width) + (columns - left)).astype("int32", copy=False)
    if not everywhere:
        index[~valid] = 0
    valid.setflags(write=False)
    window = (low, left, high - low + 1, width)
    return Sampling(level, window, index, None if everywhere else valid)


def _lowest(values: Array) -> int:
    return int(values.min(initial=2**30, where=values >= 0))


@lru_cache(maxsize=2)
def _kept_pixels(geobox: GeoBox, source: GeoBox, limit: float) -> tuple[Array, Array]:
    return _found_pixels(geobox, source, limit)


def _found_pixels(geobox: GeoBox, source: GeoBox, limit: float) -> tuple[Array, Array]:
    step = _MESH
    while step > 1:
        meshes, error = _meshed(geobox, source, step)
        if error <= limit:
            margin = 2 * error + 1e-9 if np.isfinite(limit) else 0.0
            result = _spread(meshes, geobox, source, step, margin)
            break
        step //= 4
    else:
        y, x = np.mgrid[0 : geobox.height, 0 : geobox.width]
        rows, columns = _project(geobox, source, x + 0.5, y + 0.5)
        result = _floor(rows), _floor(columns)
    for array in result:
        array.setflags(write=False)
    return result


def _meshed(geobox: GeoBox, source: GeoBox, step: int) -> tuple[tuple[Array, Array], float]:
    """Rows and columns on a mesh, and how far interpolation between its points is off."""
    half = step / 2
    xs = np.arange(0, geobox.width + step + half, half) + 0.5
    ys = np.arange(0, geobox.height + step + half, half) + 0.5
    xs, ys = xs[: (len(xs) - 1) // 2 * 2 + 1], ys[: (len(ys) - 1) // 2 * 2 + 1]
    fine = _project(geobox, source, *np.meshgrid(xs, ys))
    # Conformal maps (UTM to UTM) are harmonic: in the middle of a cell the errors along its two
    # axes cancel, so they are looked at on its sides as well.
    return (fine[0][::2, ::2], fine[1][::2, ::2]), max(_error(one) for one in fine)


def _error(fine: Array) -> float:
    """The largest error of interpolation between every other point of a mesh at those skipped."""
    if not np.isfinite(fine).all():
        return float("inf")
    across = (fine[::2, :-2:2] + fine[::2, 2::2]) / 2
    along = (fine[:-2:2, ::2] + fine[2::2, ::2]) / 2
    middle = (across[1:] + across[:-1]) / 2
    errors = (
        across - fine[::2, 1::2],
        along - fine[1::2, ::2],
        middle - fine[1::2, 1::2],
    )
    return max(float(np.abs(error).max()) for error in errors)


def _spread(
    meshes: tuple[Array, Array], geobox: GeoBox, source: GeoBox, step: int, margin: float
) -> tuple[Array, Array]:
    """Two meshes to whole numbers for each pixel, the rows between two mesh lines at a time.

    Centres within ``margin`` of the edge of a source pixel are computed themselves.
    """
    x = np.arange(geobox.width) / step
    left = x.astype("int64")
    part = x - left
    results = [np.empty(tuple(geobox.shape), "int32") for _ in meshes]
    with np.errstate(invalid="ignore"):  # off the earth
        lines = [mesh[:, left] * (1 - part) + mesh[:, left + 1] * part for mesh in meshes]
    for line, top in enumerate(range(0, geobox.height, step)):
        rows = slice(top, min(top + step, geobox.height))
        weight = (np.arange(rows.stop - top) / step)[:, None]
        near = np.zeros((rows.stop - top, geobox.width), bool)
        for across, result in zip(lines, results, strict=True):
            with np.errstate(invalid="ignore"):
                there = across[line] * (1 - weight) + across[line + 1] * weight
            result[rows] = _floor(there)
            if margin:
                there -= np.rint(there)
                near |= np.abs(there, out=there) < margin
        if near.any():
            down, right = np.nonzero(near)
            found = _project(geobox, source, right + 0.5, down + top + 0.5)
            for result, known in zip(results, found, strict=True):
                result[rows][near] = _floor(known)
    return results[0], results[1]


def _project(geobox: GeoBox, source: GeoBox, x: Array, y: Array) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore"):
        return _pixels_at(geobox.crs, source, *(geobox.transform * (x, y)))


def _pixels_at(crs: Any, source: GeoBox, x: Array, y: Array) -> tuple[Array, Array]:
    """Rows and columns of ``source`` at coordinates of a CRS."""
    if crs != source.crs:
        x, y = crs.transformer_to_crs(source.crs)(x, y)
        if source.crs.geographic:  # PROJ gives -180 to 180; a file may reach beyond
            x = x - 360 * _turns(x, source)
    columns, rows = ~source.transform * (x, y)
    return rows, columns


def _turns(longitudes: Array, source: GeoBox) -> Array:
    """How many times 360 degrees lie between longitudes and the half turns around a source."""
    box = source.boundingbox
    turns: Array = np.floor((longitudes - (box.left + box.right) / 2 + 180) / 360)
    return turns


def turned(geobox: GeoBox, source: GeoBox) -> list[tuple[slice, GeoBox]]:
    """Columns of a grid that has its source's geographic CRS, and that part of it near the source.

    181 degrees east lie at -179. Empty where the grid is near the source as it is, as most often.
    """
    step = geobox.transform
    if not source.crs.geographic or abs(step.b) > 1e-12:
        return []
    turns = _turns(step.c + step.a * (np.arange(geobox.width) + 0.5), source)
    if not turns.any():
        return []
    edges = [0, *(np.flatnonzero(np.diff(turns)) + 1).tolist(), geobox.width]
    parts = [slice(*ends) for ends in pairwise(edges)]
    return [(part, _shifted(geobox[:, part], -360 * float(turns[part.start]))) for part in parts]


def _shifted(geobox: GeoBox, degrees: float) -> GeoBox:
    return GeoBox(geobox.shape, Affine.translation(degrees, 0) * geobox.transform, geobox.crs)


def _floor(values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        floored = np.floor(values + 1e-10)
    return np.where(np.isfinite(floored), np.clip(floored, -1000, 2**30), -1000).astype("int32")
