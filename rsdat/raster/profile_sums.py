"""The statistics of all places, put together from those of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: What can be asked for, and the end of its variable's name.
STATISTICS = ("mean", "count", "valid_fraction", "std", "min", "max", "median")


class Sums:
    """Grows with places × dates × bands, and not with pixels."""

    def __init__(self, shape: tuple[int, int, int], wanted: frozenset[str]) -> None:
        self.pixels = np.zeros(shape[0], "int64")
        """(place,) pixels of each place."""
        self._wanted = wanted
        self._count = np.zeros(shape, "int64")
        self._mean = np.zeros(shape, "float64")
        self._squares = np.zeros(shape if "std" in wanted else (0, 0, 0), "float64")
        self._others = {
            name: np.full(shape, np.nan, "float32") for name in wanted & {"min", "max", "median"}
        }

    def add(self, table: Array) -> None:
        """Take the rows of one block (:data:`rsdat.raster.profile_pixels.ROW`).

        Means and squared deviations are merged as in Chan, Golub and LeVeque (1983).
        """
        sizes = table["time"] < 0
        np.add.at(self.pixels, table["place"][sizes], table["count"][sizes])
        rows = table[~sizes]
        at = rows["place"], rows["time"], rows["band"]
        before, new = self._count[at], rows["count"]
        both = before + new
        step = rows["mean"] - self._mean[at]
        self._count[at] = both
        self._mean[at] += step * new / both
        if "std" in self._wanted:
            self._squares[at] += rows["squares"] + step**2 * before * new / both
        for name, pick in (("min", np.fmin), ("max", np.fmax)):
            if name in self._others:
                self._others[name][at] = pick(self._others[name][at], rows[name])
        if "median" in self._others:
            self._others["median"][at] = rows["median"]

    def result(self, statistic: str) -> Array:
        """(place, time, band); float32, ``count`` int64."""
        if statistic == "count":
            return self._count
        seen = self._count > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            if statistic == "valid_fraction":
                return (self._count / self.pixels[:, None, None]).astype("float32")
            if statistic == "mean":
                return np.where(seen, self._mean, np.nan).astype("float32")
            if statistic == "std":
                return np.where(seen, np.sqrt(self._squares / self._count), np.nan).astype(
                    "float32"
                )
        return self._others[statistic]
