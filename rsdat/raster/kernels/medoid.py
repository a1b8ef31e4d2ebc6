"""Composite of the most central date: the medoid over all bands. It keeps every date."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kernel import Kernel
from rsdat.raster.kernels.stored import Stored, bits, replace, strip_length

Array = NDArray[Any]


class Medoid(Kernel):
    """The date whose spectrum is nearest to those of all the others (Flood 2013).

    Of each pixel's dates that are valid in all bands, the one with the smallest sum of Euclidean
    distances to the others, in physical units and float32; ties go to the earliest date.
    """

    stacks = True

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._layers: list[tuple[float, Array, Array | None]] = []

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """Every date with a flag."""
        return dates * (bands * itemsize + 1)

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        absent: Array | None = None
        if missing is not None or self.stored.floating:
            absent = np.zeros(self.stored.size, bool)
            length = strip_length(2, 4)
            for _, place, _, part in self.stored.parts(values, missing, length):
                if part is not None:
                    absent[place] |= part
        self._layers.append((when, values.reshape(len(self.stored.bands), -1), absent))

    def _result(self) -> NDArray[np.float32]:
        stored = self.stored
        layers = sorted(self._layers, key=lambda layer: layer[0])
        result = stored.empty_result()
        result.fill(np.nan)
        length = strip_length(max(1, len(layers)) * (len(stored.bands) + 2), 4)
        for start in range(0, stored.size if layers else 0, length):
            place = slice(start, start + length)
            spectra, valid = self._strip(layers, place)
            with np.errstate(over="ignore", invalid="ignore"):  # of infinities and the like
                costs = _costs(spectra, valid)
            costs[~valid] = np.inf
            date = costs.argmin(axis=0)
            pixels = np.arange(len(date))
            for band in range(len(stored.bands)):
                result[band, place] = spectra[date, band, pixels]
            result[:, place][:, ~valid.any(axis=0)] = np.nan
        return result

    def _strip(self, layers: list[Any], place: slice) -> tuple[Array, Array]:
        """Spectra ``(date, band, pixel)``, zero where not valid, and ``(date, pixel)`` valid."""
        stored = self.stored
        width = len(range(stored.size)[place])
        spectra = np.empty((len(layers), len(stored.bands), width), "float32")
        valid = np.ones((len(layers), width), bool)
        for date, (_, values, absent) in enumerate(layers):
            for band in range(len(stored.bands)):
                spectra[date, band] = stored.physical(values[band, place], band)
            if absent is not None:
                np.logical_not(absent[place], out=valid[date])
                where = bits(absent[place], np.dtype("u4"))
                for plane in spectra[date]:
                    replace(plane.view("u4"), np.uint32(0), where)
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
