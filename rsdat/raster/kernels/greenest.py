"""Composite of the greenest date: all bands where NDVI is largest, with that NDVI and the date."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError
from rsdat.raster.kernels.kernel import Kernel
from rsdat.raster.kernels.stored import Stored, bits, replace, strip_length

Array = NDArray[Any]

ADDED = ("ndvi", "date")

#: Below every NDVI: where no date has had one.
_NONE = np.float32(-2)


class MaxNdvi(Kernel):
    """The values of all bands on the date of the largest NDVI (Holben 1986).

    A date counts where red and nir are valid and their sum is positive. Ties go to the earliest.
    ``date`` is the day since 1970-01-01.
    """

    def __init__(self, stored: Stored, red: str, nir: str) -> None:
        for name in (red, nir):
            if name not in stored.bands:
                raise ConfigError(
                    f"max_ndvi needs the bands {red} and {nir}; there are "
                    f"{', '.join(stored.bands) or '(none)'}",
                    hint=f"load {name} as well, or name them: red=…, nir=…",
                )
        super().__init__(stored)
        self.bands_out = (*stored.bands, *ADDED)
        self._red, self._nir = stored.bands.index(red), stored.bands.index(nir)
        self._best = np.full(stored.size, _NONE)
        self._date = np.zeros(stored.size, "float32")
        self._values = np.zeros((len(stored.bands), stored.size), stored.dtype)
        self._holes: Array | None = None  # other bands that are missing on the greenest date
        self._latest = -np.inf

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """One value of each band with a flag, NDVI and the date."""
        return 8 + bands * itemsize + bands

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        stored = self.stored
        length = strip_length(10 + len(stored.bands), 4)
        parts: dict[int, list[tuple[slice, Array, Array | None]]] = {}
        for band, place, part, absent in stored.parts(values, missing, length):
            parts.setdefault(band, []).append((place, part, absent))
        for strip in zip(*parts.values(), strict=True):
            new = self._greener(strip, when)
            if new.any():
                self._keep(strip, new, when)
        self._latest = max(self._latest, when)

    def _greener(self, strip: Any, when: float) -> Array:
        place, red, red_absent = strip[self._red]
        _, nir, nir_absent = strip[self._nir]
        red = self.stored.physical(red, self._red)
        nir = self.stored.physical(nir, self._nir)
        total = nir + red
        index = np.subtract(nir, red, out=nir)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(index, total, out=index)
        np.minimum(index, np.float32(1), out=index)
        np.maximum(index, np.float32(-1), out=index)
        valid = total > 0
        for absent in (red_absent, nir_absent):
            if absent is not None:
                np.greater(valid, absent, out=valid)
        best = self._best[place]
        new: Array = index > best
        if when < self._latest:
            new |= (index == best) & (self._date[place] > np.float32(when))
        new &= valid
        replace(best.view("u4"), index.view("u4"), bits(new, np.dtype("u4")))
        return new

    def _keep(self, strip: Any, new: Array, when: float) -> None:
        word = self.stored.word
        where = bits(new, word)
        for band, (place, part, absent) in enumerate(strip):
            replace(self._values[band, place].view(word), part.view(word), where)
            if band not in (self._red, self._nir):
                self._note_holes(band, place, absent, new)
        place = strip[0][0]
        wide = where if word.itemsize == 4 else bits(new, np.dtype("u4"))
        replace(self._date[place].view("u4"), np.float32(when).view("u4"), wide)

    def _note_holes(self, band: int, place: slice, absent: Array | None, new: Array) -> None:
        if self._holes is None:
            if absent is None:
                return
            self._holes = np.zeros(self._values.shape, bool)
        holes = self._holes[band, place]
        holes &= ~new
        if absent is not None:
            holes |= absent & new

    def _result(self) -> NDArray[np.float32]:
        stored, bands = self.stored, len(self.stored.bands)
        result = stored.empty_result(bands + len(ADDED))
        for band in range(bands):
            result[band] = stored.physical(self._values[band], band)
            if self._holes is not None:
                result[band][self._holes[band]] = np.nan
        result[bands], result[bands + 1] = self._best, self._date
        result[:, self._best == _NONE] = np.nan
        return result
