"""Chains the long way round: whole files, float32, one rule after the other. No code of rsdat."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Transformer

NAN = np.float32("nan")


@dataclass(frozen=True)
class File:
    """A band in a file, and what its item says of the numbers."""

    path: Path
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


def under(grid: GeoBox, opened: rasterio.DatasetReader) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) row and column of the file's pixel under each centre of the grid, as fractions."""
    y, x = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    x, y = grid.transform * (x, y)
    if grid.crs != opened.crs.to_wkt():
        transformer = Transformer.from_crs(grid.crs.to_wkt(), opened.crs.to_wkt(), always_xy=True)
        x, y = transformer.transform(x, y)
    with np.errstate(invalid="ignore"):
        columns, rows = ~opened.transform * (x, y)
    return rows, columns


def stored(
    file: File, grid: GeoBox, overview: int | None = None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Stored numbers (y, x) nearest to the grid's centres, where there are any, and nodata."""
    options = {} if overview is None else {"overview_level": overview}
    with rasterio.open(file.path, **options) as opened:
        numbers = opened.read(1)
        rows, columns = under(grid, opened)
        nodata = opened.nodata if opened.nodata is not None else file.nodata
    # A centre on the edge of two pixels belongs to the one that follows.
    rows, columns = (np.floor(np.round(part, 5)).astype("float64") for part in (rows, columns))
    inside = (rows >= 0) & (rows < numbers.shape[0])
    inside &= (columns >= 0) & (columns < numbers.shape[1])
    row, column = (np.where(inside, part, 0).astype(int) for part in (rows, columns))
    return numbers[row, column], inside, nodata


def physical(file: File, grid: GeoBox, overview: int | None = None) -> np.ndarray:
    """float32 (y, x), NaN where the file has nothing."""
    numbers, inside, nodata = stored(file, grid, overview)
    values = numbers.astype("float32")
    if file.scale != 1:
        values = values * np.float32(file.scale)
    if file.offset:
        values = values + np.float32(file.offset)
    known = inside if nodata is None or np.isnan(nodata) else inside & (numbers != nodata)
    return np.where(known, values, NAN)


def cloudy(file: File, grid: GeoBox, classes: Sequence[int] = (0, 1, 3, 8, 9, 10)) -> np.ndarray:
    """(y, x) True where a scene classification masks, or says nothing."""
    numbers, inside, nodata = stored(file, grid)
    unknown = ~inside if nodata is None else ~inside | (numbers == nodata)
    return unknown | np.isin(numbers, classes) | (numbers > 11)


def ndvi(red: np.ndarray, nir: np.ndarray) -> np.ndarray:
    """NaN where the sum of the reflectances is not positive; in [-1, 1]."""
    with np.errstate(all="ignore"):
        return np.where(nir + red > 0, np.clip((nir - red) / (nir + red), -1, 1), NAN)


def composite(method: str, stack: np.ndarray) -> np.ndarray:
    """(time, band, y, x) to (band, y, x)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return _METHODS[method](stack)


def _first(stack: np.ndarray) -> np.ndarray:
    place = (~np.isnan(stack)).argmax(axis=0)
    return np.take_along_axis(stack, place[None], axis=0)[0]


def _mean(stack: np.ndarray) -> np.ndarray:
    total = np.zeros(stack.shape[1:], "float32")
    for layer in stack:
        total = total + np.nan_to_num(layer)
    return total / (~np.isnan(stack)).sum(axis=0).astype("float32")


def _medoid(stack: np.ndarray) -> np.ndarray:
    result = np.full(stack.shape[1:], NAN)
    for y, x in np.ndindex(stack.shape[2:]):
        spectra = [s for s in stack[:, :, y, x].astype("float64") if not np.isnan(s).any()]
        if spectra:
            costs = [sum(np.linalg.norm(one - other) for other in spectra) for one in spectra]
            result[:, y, x] = spectra[int(np.argmin(costs))]
    return result


_METHODS = {
    "median": lambda stack: np.nanmedian(stack, axis=0),
    "min": lambda stack: np.nanmin(stack, axis=0),
    "max": lambda stack: np.nanmax(stack, axis=0),
    "mean": _mean,
    "count": lambda stack: (~np.isnan(stack)).sum(axis=0).astype("float32"),
    "first": _first,
    "most_recent": lambda stack: _first(stack[::-1]),
    "medoid": _medoid,
    "p10": lambda stack: np.nanpercentile(stack.astype("float64"), 10, axis=0),
    "percentile:62.5": lambda stack: np.nanpercentile(stack.astype("float64"), 62.5, axis=0),
}


def greenest(stack: np.ndarray, days: Sequence[int]) -> np.ndarray:
    """(time, [red, nir], y, x) to [red, nir, ndvi, day] of the date with the largest NDVI."""
    index = ndvi(stack[:, 0], stack[:, 1])
    result = np.full((4, *index.shape[1:]), NAN)
    for y, x in np.ndindex(index.shape[1:]):
        if not np.isnan(index[:, y, x]).all():
            date = int(np.nanargmax(index[:, y, x]))
            result[:, y, x] = (*stack[date, :, y, x], index[date, y, x], days[date])
    return result


def box_filter(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean of (2 reach + 1)² pixels of (band, y, x), for those that have all of them."""
    edge = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, (edge, edge), axis=(1, 2))
    return windows.mean(axis=(3, 4), dtype="float64").astype("float32")


def encoded(values: np.ndarray, dtype: str, unit: float, nodata: float) -> np.ndarray:
    """Stored integers: rounded, clipped beside nodata."""
    limits = np.iinfo(dtype)
    low, high = limits.min + (nodata == limits.min), limits.max - (nodata == limits.max)
    numbers = np.clip(np.rint(values / np.float32(unit)), low, high)
    return np.where(np.isnan(values), nodata, numbers).astype(dtype)
