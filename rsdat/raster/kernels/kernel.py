"""What all reducers share: layers are checked, their result has the grid's shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kept import Disk, kept
from rsdat.raster.kernels.stored import Stored

Array = NDArray[Any]


class Kernel:
    """One reducer: its subclasses say what a layer changes and what comes out."""

    stacks = False

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.bands_out = stored.bands

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """Bytes that are kept for each pixel of the grid."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """True when no further date can change the result."""
        return False

    def add(self, values: Array, missing: Array | None, when: float) -> None:
        """Take one layer."""
        self.stored.check(values, missing)
        self._add(values, missing, when)

    def result(self) -> NDArray[np.float32]:
        """``(bands_out, y, x)`` in physical units, NaN where nothing is."""
        return self._result().reshape(len(self.bands_out), *self.stored.shape)

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        raise NotImplementedError

    def _result(self) -> NDArray[np.float32]:
        raise NotImplementedError


class Stacking(Kernel):
    """A reducer that keeps every date until its result: in memory, or on a disk."""

    stacks = True

    def __init__(self, stored: Stored, disk: Disk | None = None) -> None:
        super().__init__(stored)
        self._disk = disk
        bands, together = len(stored.bands), self.together(len(stored.bands), stored.itemsize)
        self._layers = kept(bands, stored.size, stored.dtype, disk, together)

    @staticmethod
    def date(bands: int, itemsize: int) -> int:
        """Bytes that each date keeps for each pixel."""
        return bands * itemsize

    @staticmethod
    def beside(bands: int, itemsize: int) -> int:
        """Bytes that are kept for each pixel besides, however many dates there are."""
        raise NotImplementedError

    @staticmethod
    def together(bands: int, itemsize: int) -> int:
        """Bytes of one date's pixel that a strip of the result needs at once."""
        return itemsize

    @classmethod
    def state(cls, dates: int, bands: int, itemsize: int) -> int:
        """Every date, and what is kept besides."""
        return dates * cls.date(bands, itemsize) + cls.beside(bands, itemsize)
