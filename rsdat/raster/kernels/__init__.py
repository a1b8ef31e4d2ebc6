"""Many dates to one image, date by date, in numpy: the reducers behind every composite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kept import Disk, strip_bytes
from rsdat.raster.kernels.methods import (
    METHODS,
    by_order,
    check_method,
    kind_of,
    maker_of,
    result_bands,
)
from rsdat.raster.kernels.stored import Stored

__all__ = [
    "METHODS",
    "Disk",
    "OnDisk",
    "Reducer",
    "bytes_per_pixel",
    "check_method",
    "on_disk",
    "reducer",
    "result_bands",
    "stacks",
]

Array = NDArray[Any]


class Reducer(Protocol):
    """What makes one image of many dates."""

    stacks: bool
    """Whether every date is kept until the result; else the memory does not grow with them."""

    bands_out: tuple[str, ...]
    """Names of the result's bands."""

    def add(self, values: Array, missing: Array | None, when: float) -> None:
        """Take one layer.

        Parameters
        ----------
        values
            ``(band, y, x)`` of the reducer's dtype. It may be kept: do not write to it afterwards.
        missing
            bool, ``(band, y, x)``: where there is no value. None: nothing is missing. NaN is
            missing in any case.
        when
            The layer's day, counted from 1970-01-01.
        """

    @property
    def complete(self) -> bool:
        """True when no further date can change the result."""

    def result(self) -> NDArray[np.float32]:
        """``(bands_out, y, x)`` in physical units; NaN where no date has a value."""


def reducer(
    method: str,
    *,
    bands: tuple[str, ...],
    shape: tuple[int, int],
    dtype: str,
    scales: tuple[float, ...],
    offsets: tuple[float, ...],
    red: str = "red",
    nir: str = "nir",
    disk: Disk | None = None,
) -> Reducer:
    """A reducer for layers of one grid.

    Parameters
    ----------
    method
        One of :data:`METHODS`, ``pNN`` or ``percentile:NN.N``.
    bands
        Names of the layers' bands.
    shape
        Rows and columns.
    dtype
        ``uint8``, ``int16``, ``uint16`` or ``float32``.
    scales, offsets
        Of each band, the same for all dates: physical value = number * scale + offset. Where dates
        differ, hand over physical float32, with 1 and 0.
    red, nir
        Which bands ``max_ndvi`` takes.
    disk
        Where a method that :func:`stacks` keeps its dates; None: in memory.

    Returns
    -------
    Reducer
        Integers give, bit for bit, what their physical values as float32 give.
    """
    result_bands(method, bands)
    stored = Stored(bands, shape, str(np.dtype(dtype)), scales, offsets)
    make = maker_of(method, red, nir)
    if disk is not None and stacks(method):
        make = partial(make, disk=disk)
    if by_order(method) and any(scale < 0 for scale in scales):
        return _Physical(make, stored)
    made: Reducer = make(stored)
    return made


class _Physical:
    """Turns layers to physical units first: where a scale is negative, it turns the order round."""

    def __init__(self, make: Any, stored: Stored) -> None:
        count = len(stored.bands)
        self._stored = stored
        self._inner: Reducer = make(
            Stored(stored.bands, stored.shape, "float32", (1.0,) * count, (0.0,) * count)
        )
        self.stacks = self._inner.stacks
        self.bands_out = self._inner.bands_out

    @property
    def complete(self) -> bool:
        return self._inner.complete

    def add(self, values: Array, missing: Array | None, when: float) -> None:
        self._stored.check(values, missing)
        layer = np.stack([self._stored.physical(part, band) for band, part in enumerate(values)])
        self._inner.add(layer, missing, when)

    def result(self) -> NDArray[np.float32]:
        return self._inner.result()


def bytes_per_pixel(method: str, dates: int, bands: int, dtype: str) -> int:
    """Bytes that a reducer holds for each pixel of the grid: its state and its result.

    Parameters
    ----------
    dates, bands
        How many.
    dtype
        Of the layers.
    """
    state = kind_of(method).state(dates, bands, np.dtype(dtype).itemsize)
    return int(state) + _result_bytes(method, bands)


@dataclass(frozen=True)
class OnDisk:
    """What a reducer takes that keeps its dates on a disk."""

    memory: int
    """Bytes for each pixel of the grid: one layer, what is kept besides, and the result."""
    strip: int
    """Bytes of memory however large the grid is: all dates of a strip."""
    disk: int
    """Bytes on the disk for each pixel."""


def on_disk(method: str, dates: int, bands: int, dtype: str) -> OnDisk:
    """What a reducer takes that keeps its dates on a disk; of a method that :func:`stacks`."""
    kind, size = kind_of(method), np.dtype(dtype).itemsize
    return OnDisk(
        int(kind.state(1, bands, size)) + _result_bytes(method, bands),
        strip_bytes(dates, kind.together(bands, size)),
        int(dates * kind.date(bands, size)),
    )


def stacks(method: str) -> bool:
    """Whether a method keeps every date until its result."""
    return bool(kind_of(method).stacks)


def _result_bytes(method: str, bands: int) -> int:
    return 4 * len(result_bands(method, tuple(map(str, range(bands)))))
