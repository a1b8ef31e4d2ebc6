"""The arithmetic that the floor and the peers at their best share: stored numbers in and out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.raster.job import MASKED, NDVI_VOID, OFFSET, UNIT
from rsdat.raster.kernels import reducer

Array = NDArray[Any]
_MASKED = np.isin(np.arange(256), MASKED)
_MASKED[12:] = True
_STRIP = 1 << 15


def ndvi_stored(red: Array, nir: Array) -> Array:
    """NDVI as int16 of stored uint16 reflectance, in float32, clipped to [-1, 1].

    In strips that stay in the cache: three times as fast as over whole blocks.
    """
    result = np.empty(red.shape, "int16")
    flat = (red.reshape(-1), nir.reshape(-1), result.reshape(-1))
    spare = np.empty((2, _STRIP), "float32"), np.empty((2, _STRIP), bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, red.size, _STRIP):
            _ndvi_strip(*(band[start : start + _STRIP] for band in flat), *spare)
    return result


def _ndvi_strip(red: Array, nir: Array, result: Array, numbers: Array, flags: Array) -> None:
    total, index = numbers[:, : red.size]
    void, other = flags[:, : red.size]
    np.add(nir, red, out=total, dtype="float32")
    total -= np.float32(2 * OFFSET)
    np.subtract(nir, red, out=index, dtype="float32")
    index /= total
    np.clip(index, -1, 1, out=index)
    index *= np.float32(1 / UNIT)
    np.rint(index, out=index)
    np.less_equal(total, 0, out=void)
    for band in (red, nir):
        void |= np.equal(band, 0, out=other)
    np.copyto(result, index, casting="unsafe")
    result[void] = NDVI_VOID


def masked(classes: Array) -> Array:
    """Where the scene classes say cloud, shadow or nothing."""
    return _MASKED[classes]


def median_stored(dates: Iterable[tuple[Array, Array]], shape: tuple[int, int]) -> Array:
    """Median of (band, y, x) numbers where not invalid (y, x), by the package's own kernel.

    0 is no data. Red and near infrared come back as uint16 reflectance / 0.0001; 0 where no date
    has a value.
    """
    made = reducer(
        "median",
        bands=("red", "nir"),
        shape=shape,
        dtype="uint16",
        scales=(1.0, 1.0),
        offsets=(0.0, 0.0),
    )
    for values, invalid in dates:
        missing = values == 0
        missing |= invalid
        made.add(values, missing, 0.0)
    return reflectance_stored(made.result())


def median_block(red: Array, nir: Array, classes: Array) -> Array:
    """The same of a chunk (y, x, time) of each band, as (y, x, band)."""
    dates = (
        (np.stack([red[..., date], nir[..., date]]), masked(classes[..., date]))
        for date in range(red.shape[-1])
    )
    return np.moveaxis(median_stored(dates, red.shape[:-1]), 0, -1)


def reflectance_stored(numbers: Array) -> Array:
    """Stored numbers with the offset taken off: uint16 from 1, 0 for NaN."""
    result = np.rint(numbers - np.float32(OFFSET))
    return np.where(np.isnan(result), np.float32(0), np.clip(result, 1, 65535)).astype("uint16")


def day(item: Any) -> int:
    """Days from 1970 to an item's date."""
    return int(np.datetime64(item.datetime.date(), "D").astype("int64"))


def days(items: Iterable[Any]) -> Array:
    """Days from 1970 to the items' dates in order, as int16."""
    return np.array(sorted(day(item) for item in items), "int16")
