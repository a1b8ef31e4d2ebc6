"""Composites by order of the dates' values: median and percentiles. They keep every date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kept import Disk
from rsdat.raster.kernels.kernel import Stacking
from rsdat.raster.kernels.networks import selection
from rsdat.raster.kernels.stored import Stored, bits, replaced, strip_length

Array = NDArray[Any]

#: More dates than this are sorted pixel by pixel. Measured: at 100 to 200 dates a network of
#: comparators and numpy's sort of short rows are about equal; at 300 the sort is 1.5 times faster.
_NETWORK_DATES = 128

#: Fewer pixels a strip make so short calls that two threads wait for the interpreter's lock: 100
#: dates of 16 bits took twice as long with half of these.
_NETWORK_STRIP = 1 << 15


class Median(Stacking):
    """Median of the valid dates; of an even number, the mean of the two in the middle.

    A pixel's missing values are filled by turns with the lowest and the highest number there is,
    so that its valid values stay in the middle of the sorted dates however many are missing: one
    fixed place, or two side by side, is all that has to be found. A valid value that equals a
    filling sorts beside it, and which of the two is taken makes no difference.
    """

    def __init__(self, stored: Stored, disk: Disk | None = None) -> None:
        super().__init__(stored, disk)
        self._filling: Array | None = None  # what stands for a pixel's next missing value
        self._empty: Array | None = None

    @staticmethod
    def beside(bands: int, itemsize: int) -> int:
        """A filling and a flag."""
        return bands * (itemsize + 1)

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        stored = self.stored
        if missing is None and not stored.floating:
            self._layers.append(values.reshape(len(stored.bands), -1))
            if self._empty is not None:
                self._empty[...] = False
            return
        if self._filling is None or self._empty is None:
            shape = (len(stored.bands), stored.size)
            self._filling = np.full(shape, stored.lowest, stored.word)
            self._empty = np.full(shape, not self._layers)
        layer = self._layers.room()
        flip = stored.lowest ^ stored.highest
        length = strip_length(6, stored.itemsize)
        for band, place, part, absent in stored.parts(values, missing, length):
            target = layer[band, place]
            if absent is None:
                target[...] = part
                self._empty[band, place] = False
                continue
            where = bits(absent, stored.word)
            filling = self._filling[band, place]
            replaced(part.view(stored.word), filling, where, out=target.view(stored.word))
            if stored.floating:  # of an integer's bits, all change between lowest and highest
                where &= flip
            filling ^= where
            self._empty[band, place] &= absent
        self._layers.append(layer)

    def _result(self) -> NDArray[np.float32]:
        stored, dates = self.stored, len(self._layers)
        result = stored.empty_result()
        if not dates:
            result.fill(np.nan)
            return result
        lower = (dates - 1) // 2
        upper = min(lower + 1, dates - 1)
        pair = (lower, upper)
        if self._filling is None:
            pair = (lower, lower if dates % 2 else upper)
        pick = OrderStatistics(dates, pair, stored)
        for band in range(len(stored.bands)):
            for place, (layers,) in self._layers.strips((band,), pick.length):
                low, high = pick(layers)
                if self._filling is not None:
                    low, high = self._alone(low, high, self._filling[band, place])
                middle = stored.physical(low, band)
                if low is not high:
                    with np.errstate(invalid="ignore"):  # inf - inf where nothing is valid
                        middle += stored.physical(high, band)
                    middle *= np.float32(0.5)
                if self._empty is not None:
                    middle[self._empty[band, place]] = np.nan
                result[band, place] = middle
        return result

    def _alone(self, low: Array, high: Array, filling: Array) -> tuple[Array, Array]:
        """Both the same where an odd number of dates is valid."""
        # Of n dates, m missing, ceil(m/2) are filled low. The valid ones' middle is then: n and m
        # even: the lower and the upper place. n even, m odd: the upper. n odd, m even: the lower.
        # n and m odd: both.
        word = self.stored.word
        odd = (filling != self.stored.lowest).view("u1")
        if len(self._layers) % 2:
            even = bits(odd ^ 1, word)
            return low, replaced(high.view(word), low.view(word), even).view(high.dtype)
        return replaced(low.view(word), high.view(word), bits(odd, word)).view(low.dtype), high


class Percentile(Stacking):
    """Percentile of the valid dates, linear between two of them (Hyndman and Fan 1996, type 7)."""

    def __init__(self, stored: Stored, disk: Disk | None = None, *, percent: float) -> None:
        super().__init__(stored, disk)
        self._percent = percent
        self._missing: Array | None = None  # how many dates

    @staticmethod
    def beside(bands: int, itemsize: int) -> int:
        """A count."""
        return bands * 2

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        stored = self.stored
        if missing is None and not stored.floating:
            self._layers.append(values.reshape(len(stored.bands), -1))
            return
        shape = (len(stored.bands), stored.size)
        if self._missing is None:
            self._missing = np.zeros(shape, "uint16")
        layer = self._layers.room()
        length = strip_length(6, stored.itemsize)
        for band, place, part, absent in stored.parts(values, missing, length):
            target = layer[band, place]
            if absent is None:
                target[...] = part
                continue
            where = bits(absent, stored.word)
            words = part.view(stored.word)
            replaced(words, stored.highest, where, out=target.view(stored.word))
            self._missing[band, place] += absent
        self._layers.append(layer)

    def _result(self) -> NDArray[np.float32]:
        stored, dates = self.stored, len(self._layers)
        result = stored.empty_result()
        if not dates:
            result.fill(np.nan)
            return result
        counts = np.arange(dates + 1)
        exact = np.maximum(counts - 1, 0) * self._percent / 100
        below = exact.astype("intp")
        above = np.minimum(below + 1, np.maximum(counts - 1, 0))
        weights = (exact - below).astype("float32")
        weights[0] = np.nan
        possible = slice(1, None) if self._missing is not None else slice(dates, None)
        places = sorted({*below[possible].tolist(), *above[possible].tolist()})
        pick = OrderStatistics(dates, tuple(places), stored)
        rows = np.searchsorted(places, [below, above])
        for band in range(len(stored.bands)):
            for place, (layers,) in self._layers.strips((band,), pick.length):
                ordered = np.stack(pick(layers))
                valid: Any = dates
                if self._missing is not None:
                    valid = dates - self._missing[band, place].astype("intp")
                low, high = (stored.physical(_at(ordered, row[valid]), band) for row in rows)
                result[band, place] = _between(low, high, weights[valid])
        return result


def _at(ordered: Array, rows: Any) -> Array:
    """The value of each pixel in its row, or one row for all."""
    if np.ndim(rows) == 0:
        row: Array = ordered[rows]
        return row
    width = ordered.shape[1]
    result: Array = np.take(ordered.reshape(-1), rows * width + np.arange(width), mode="clip")
    return result


def _between(low: Array, high: Array, weights: Any) -> Array:
    """From low to high, from the nearer end, so that it is exact at both."""
    with np.errstate(invalid="ignore"):  # inf - inf where nothing is valid
        step = high - low
        result: Array = np.where(weights < 0.5, low + step * weights, high - step * (1 - weights))
    return result


class OrderStatistics:
    """The wanted places of sorted dates, strip by strip of ``length`` pixels."""

    def __init__(self, dates: int, places: tuple[int, ...], stored: Stored) -> None:
        self._places = places
        self._pick: Callable[[Sequence[Array]], list[Array]]
        if dates > _NETWORK_DATES:
            self.length = strip_length(dates, stored.itemsize)
            self._rows = np.empty((self.length, dates), stored.dtype)
            self._pick = self._by_rows
        else:
            self._program = selection(dates, places)
            self.length = strip_length(self._program.scratch, stored.itemsize, _NETWORK_STRIP)
            self._scratch = np.empty((self._program.scratch, self.length), stored.dtype)
            self._pick = self._by_network

    def __call__(self, layers: Sequence[Array]) -> list[Array]:
        """One array for each place; the same object for the same place. Good until the next."""
        return self._pick(layers)

    def _by_network(self, layers: Sequence[Array]) -> list[Array]:
        return self._program.run(layers, list(self._scratch[:, : len(layers[0])]))

    def _by_rows(self, layers: Sequence[Array]) -> list[Array]:
        rows = self._rows[: len(layers[0])]
        for date, layer in enumerate(layers):
            rows[:, date] = layer
        # By digits, which is numpy's stable sort of short integers: 2 to 5 ns a number everywhere.
        # Its other one takes 1 to 3 where the processor has AVX-512 for 16 bits, else 20 to 27.
        rows.sort(axis=1, kind="stable" if rows.itemsize <= 2 else None)
        columns = {place: np.ascontiguousarray(rows[:, place]) for place in set(self._places)}
        return [columns[place] for place in self._places]
