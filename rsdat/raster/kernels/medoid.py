"""Composite of the most central date: the medoid over all bands. It keeps every date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kept import Disk, kept
from rsdat.raster.kernels.kernel import Stacking
from rsdat.raster.kernels.stored import Stored, bits, replace, strip_length

Array = NDArray[Any]


class Medoid(Stacking):
    """The date whose spectrum is nearest to those of all the others (Flood 2013).

    Of each pixel's dates that are valid in all bands, the one with the smallest sum of Euclidean
    distances to the others, in physical units and float32; ties go to the earliest date.
    """

    def __init__(self, stored: Stored, disk: Disk | None = None) -> None:
        super().__init__(stored, disk)
        together = self.together(len(stored.bands), stored.itemsize)
        self._flags = kept(1, stored.size, "bool", disk, together)
        self._days: list[float] = []
        self._flagged: list[int | None] = []  # where among the flags those of a date are

    @staticmethod
    def date(bands: int, itemsize: int) -> int:
        """The numbers and a flag."""
        return bands * itemsize + 1

    @staticmethod
    def beside(bands: int, itemsize: int) -> int:
        """Nothing."""
        return 0

    @staticmethod
    def together(bands: int, itemsize: int) -> int:
        """All bands and the flag."""
        return bands * itemsize + 1

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        self._days.append(when)
        self._layers.append(values.reshape(len(self.stored.bands), -1))
        if missing is None and not self.stored.floating:
            self._flagged.append(None)
            return
        absent = np.zeros(self.stored.size, bool)
        length = strip_length(2, 4)
        for _, place, _, part in self.stored.parts(values, missing, length):
            if part is not None:
                absent[place] |= part
        self._flagged.append(len(self._flags))
        self._flags.append(absent[None])

    def _result(self) -> NDArray[np.float32]:
        stored, dates = self.stored, len(self._layers)
        result = stored.empty_result()
        result.fill(np.nan)
        if not dates:
            return result
        order = sorted(range(dates), key=self._days.__getitem__)
        length = strip_length(dates * (len(stored.bands) + 2), 4)
        for place, planes, flags in self._strips(length):
            spectra, valid = self._spectra(order, planes, flags)
            with np.errstate(over="ignore", invalid="ignore"):  # of infinities and the like
                costs = _costs(spectra, valid)
            costs[~valid] = np.inf
            date = costs.argmin(axis=0)
            pixels = np.arange(len(date))
            for band in range(len(stored.bands)):
                result[band, place] = spectra[date, band, pixels]
            result[:, place][:, ~valid.any(axis=0)] = np.nan
        return result

    def _strips(self, length: int) -> Iterator[tuple[slice, list[list[Array]], list[Array]]]:
        """All dates of a few pixels: their numbers, band by band, and the flags there are."""
        numbers = self._layers.strips(range(len(self.stored.bands)), length)
        if not len(self._flags):
            for place, planes in numbers:
                yield place, planes, []
            return
        for (place, planes), (_, (flags,)) in zip(
            numbers, self._flags.strips((0,), length), strict=True
        ):
            yield place, planes, flags

    def _spectra(
        self, order: list[int], planes: list[list[Array]], flags: list[Array]
    ) -> tuple[Array, Array]:
        """Spectra ``(date, band, pixel)``, zero where not valid, and ``(date, pixel)`` valid."""
        width = len(planes[0][0])
        spectra = np.empty((len(order), len(planes), width), "float32")
        valid = np.ones((len(order), width), bool)
        for row, date in enumerate(order):
            for band, plane in enumerate(planes):
                spectra[row, band] = self.stored.physical(plane[date], band)
            flagged = self._flagged[date]
            if flagged is not None:
                absent = flags[flagged]
                np.logical_not(absent, out=valid[row])
                where = bits(absent, np.dtype("u4"))
                for one in spectra[row]:
                    replace(one.view("u4"), np.uint32(0), where)
        return spectra, valid


def _costs(spectra: Array, valid: Array) -> Array:
    """Sum of distances of each date to the valid others, added in the order of the dates."""
    weights = valid.astype("float32")
    costs = np.zeros_like(weights)
    distance, step = np.empty((2, spectra.shape[2]), "float32")
    for one in range(len(spectra)):
        for other in range(one + 1, len(spectra)):
            np.subtract(spectra[one, 0], spectra[other, 0], out=distance)
            distance *= distance
            for first, second in zip(spectra[one, 1:], spectra[other, 1:], strict=True):
                np.subtract(first, second, out=step)
                step *= step
                distance += step
            np.sqrt(distance, out=distance)
            np.multiply(distance, weights[other], out=step)
            costs[one] += step
            distance *= weights[one]
            costs[other] += distance
    return costs
