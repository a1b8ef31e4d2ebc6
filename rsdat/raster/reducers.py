"""Composites: many dates to one. Exact, float32, NaN left out; numpy functions, and on xarray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsdat.errors import ConfigError
from rsdat.raster.indices import numbers_of, physical

Array = NDArray[Any]
Data = TypeVar("Data", xr.Dataset, xr.DataArray)

#: Pixels of one date that are sorted together: all dates of so many stay in the processor's cache.
_STRIP = 16_384


def median_of(stack: Array) -> NDArray[np.float32]:
    """Median over the first axis, NaN left out; what ``numpy.nanmedian`` gives, bit for bit.

    Sorts with a network of minimum and maximum over whole dates at once, in strips that stay in
    the cache: no branch and no per-pixel call.
    """
    dates = len(stack)
    flat = stack.reshape(dates, -1)
    result = np.empty(flat.shape[1], "float32")
    network = list(_network(dates))
    for start in range(0, flat.shape[1], _STRIP):
        part = np.array(flat[:, start : start + _STRIP], dtype="float32", order="C")
        missing = np.isnan(part)
        counts = dates - missing.sum(axis=0)
        part[missing] = np.inf
        spare = np.empty_like(part[0])
        for low, high in network:
            np.minimum(part[low], part[high], out=spare)
            np.maximum(part[low], part[high], out=part[high])
            part[low] = spare
        result[start : start + _STRIP] = _middle(part, counts)
    return result.reshape(stack.shape[1:])


def _middle(ordered: Array, counts: Array) -> Array:
    below = np.maximum(counts - 1, 0) // 2
    above = np.minimum(counts // 2, len(ordered) - 1)
    first = np.take_along_axis(ordered, below[None], axis=0)[0]
    second = np.take_along_axis(ordered, above[None], axis=0)[0]
    with np.errstate(invalid="ignore"):
        middle = np.where(below == above, first, (first + second) / np.float32(2))
    middle[counts == 0] = np.nan
    result: Array = middle
    return result


def _network(size: int) -> Iterator[tuple[int, int]]:
    """Comparators that sort ``size`` values: Batcher's odd-even merge sort (Knuth, 5.2.2 M)."""
    top = 1
    while top < size:
        top *= 2
    p = top // 2
    while p > 0:
        q, r, d = top // 2, 0, p
        while d > 0:
            for low in range(size - d):
                if low & p == r:
                    yield low, low + d
            d, q, r = q - p, q // 2, p
        p //= 2


def max_of(stack: Array) -> NDArray[np.float32]:
    """Maximum over the first axis, NaN left out."""
    result: NDArray[np.float32] = np.fmax.reduce(stack, axis=0).astype("float32", copy=False)
    return result


def mean_of(stack: Array) -> NDArray[np.float32]:
    """Mean over the first axis, NaN left out; sums in float32, date after date."""
    total: NDArray[np.float32] = np.zeros(stack.shape[1:], "float32")
    counts: NDArray[np.float32] = np.zeros(stack.shape[1:], "float32")
    for layer in stack:
        missing = np.isnan(layer)
        total += np.where(missing, np.float32(0), layer)
        counts += ~missing
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float32] = total / counts
    return result


METHODS: dict[str, Callable[[Array], NDArray[np.float32]]] = {
    "median": median_of,
    "max": max_of,
    "mean": mean_of,
}


def check_method(method: str) -> None:
    """Refuse a method that :func:`composite` does not know."""
    if method not in METHODS:
        raise ConfigError(
            f"composite method {method!r} is not known", hint=f"use one of {', '.join(METHODS)}"
        )


def composite(ds: Data, method: str = "median") -> Data:
    """One image of many dates, lazily: median, maximum or mean over ``time``, no-data left out.

    Parameters
    ----------
    ds
        A Dataset or DataArray with dimension ``time``, masked by :func:`rsdat.mask_clouds`. Stored
        integers are turned to physical units first.
    method
        ``median``, ``max`` or ``mean``.

    Returns
    -------
    The same without ``time``; float32, NaN where no date has data.

    Notes
    -----
    A task holds all dates of one chunk. ``load(…, chunks={"time": -1})`` reads them in one task
    each; with many dates add smaller ``y`` and ``x``.
    """
    check_method(method)
    if isinstance(ds, xr.Dataset):
        reduced = {
            name: _reduced(variable, method) if "time" in variable.dims else variable
            for name, variable in ds.data_vars.items()
        }
        return xr.Dataset(reduced, attrs=ds.attrs)
    return _reduced(ds, method)


def _reduced(variable: xr.DataArray, method: str) -> xr.DataArray:
    if "time" not in variable.dims:
        raise ConfigError(
            "there is no dimension time to composite over", hint="load more than one item"
        )
    if variable.chunks is not None:
        variable = variable.chunk({"time": -1})
    result: xr.DataArray = xr.apply_ufunc(
        _reduce,
        variable,
        input_core_dims=[["time"]],
        kwargs={"method": method, "numbers": numbers_of(variable)},
        dask="parallelized",
        output_dtypes=["float32"],
        keep_attrs="override",  # those of the coordinates hold the CRS
    )
    # The numbers are physical now: a scale left behind would be applied a second time.
    kept = {k: v for k, v in variable.attrs.items() if k not in ("scale", "offset", "nodata")}
    result.attrs = {**kept, "nodata": float("nan"), "grid_mapping": "spatial_ref"}
    return result


def _reduce(values: Array, *, method: str, numbers: Any) -> Array:
    # apply_ufunc moves the reduced axis to the end; the kernels want it in front, without a copy.
    return METHODS[method](np.moveaxis(physical(values, *numbers), -1, 0))
