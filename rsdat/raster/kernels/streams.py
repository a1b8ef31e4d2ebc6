"""Composites that take date after date and keep none: mean, extremes, count, first, most recent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.kernels.kernel import Kernel
from rsdat.raster.kernels.stored import Stored, bits, replace, replaced, strip_length

Array = NDArray[Any]


class _Stream(Kernel):
    """What the streaming reducers share: a layer is cut in strips, each goes into the state."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._length = strip_length(8, 4)

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        for band, place, part, absent in self.stored.parts(values, missing, self._length):
            self._take((band, place), part, absent)

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        raise NotImplementedError

    def _filled(self, fill: Any, dtype: Any) -> Array:
        return np.full((len(self.stored.bands), self.stored.size), fill, dtype)

    def _finished(self, values: Array, empty: Array) -> NDArray[np.float32]:
        """The physical values of a state, NaN where it is empty."""
        result = self.stored.empty_result()
        for band, place, part, _ in self.stored.parts(
            values.reshape(-1, *self.stored.shape), None, self._length
        ):
            result[band, place] = self.stored.physical(part, band)
        result[empty] = np.nan
        return result


class Mean(_Stream):
    """Mean of the valid dates; sums in float32 of physical values, date after date."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._totals = self._filled(0, "float32")
        self._missing = self._filled(0, "uint16")
        self._dates = 0

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """A sum and a count."""
        return 6 * bands

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        super()._add(values, missing, when)
        self._dates += 1

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        numbers = self.stored.physical(part, at[0])
        if absent is not None:
            words = numbers.view("u4")
            replace(words, np.uint32(0), bits(absent, words.dtype))
            self._missing[at] += absent
        self._totals[at] += numbers

    def _result(self) -> NDArray[np.float32]:
        counts = (self._dates - self._missing).astype("float32")
        with np.errstate(invalid="ignore"):
            result: NDArray[np.float32] = np.divide(self._totals, counts)
        return result


class Extreme(_Stream):
    """The largest valid value, or the smallest."""

    def __init__(self, stored: Stored, largest: bool) -> None:
        super().__init__(stored)
        # The start and the filling is the number that never wins, unless a valid one equals it.
        self._loser = stored.lowest if largest else stored.highest
        self._pick = np.maximum if largest else np.minimum
        self._best = self._filled(self._loser, stored.word).view(stored.dtype)
        self._empty = self._filled(True, bool)

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """One value and a flag."""
        return bands * (itemsize + 1)

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        best = self._best[at]
        if absent is None:
            self._empty[at] = False
        else:
            word = self.stored.word
            part = replaced(part.view(word), self._loser, bits(absent, word)).view(part.dtype)
            self._empty[at] &= absent
        self._pick(best, part, out=best)

    def _result(self) -> NDArray[np.float32]:
        return self._finished(self._best, self._empty)


class Count(_Stream):
    """How many dates are valid."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._missing = self._filled(0, "uint16")
        self._dates = 0

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """A count."""
        return 2 * bands

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        super()._add(values, missing, when)
        self._dates += 1

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        if absent is not None:
            self._missing[at] += absent

    def _result(self) -> NDArray[np.float32]:
        counts: NDArray[np.float32] = (self._dates - self._missing).astype("float32")
        return counts


class First(_Stream):
    """The first valid value in the order of the layers: a cloud-free mosaic."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._values = self._filled(0, stored.dtype)
        self._empty = self._filled(True, bool)

    @property
    def complete(self) -> bool:
        """True when every pixel of every band is filled."""
        return not self._empty.any()

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """One value and a flag."""
        return bands * (itemsize + 1)

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        empty = self._empty[at]
        if not empty.any():
            return
        new = empty if absent is None else empty > absent
        word = self.stored.word
        replace(self._values[at].view(word), part.view(word), bits(new, word))
        if absent is None:
            empty[...] = False
        else:
            empty &= absent

    def _result(self) -> NDArray[np.float32]:
        return self._finished(self._values, self._empty)


class MostRecent(_Stream):
    """The valid value of the latest date, whatever order the layers come in.

    Of layers of the same date, the last one given counts.
    """

    _NONE = np.iinfo("uint16").max

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored)
        self._values = self._filled(0, stored.dtype)
        self._layer = self._filled(self._NONE, "uint16")
        self._dates: list[float] = []

    @staticmethod
    def state(dates: int, bands: int, itemsize: int) -> int:
        """One value and the layer that it came from."""
        return bands * (itemsize + 2)

    def _add(self, values: Array, missing: Array | None, when: float) -> None:
        self._dates.append(when)
        super()._add(values, missing, when)

    def _take(self, at: tuple[int, slice], part: Array, absent: Array | None) -> None:
        layers = self._layer[at]
        *before, when = self._dates
        if all(when >= date for date in before):
            new = np.ones(len(part), bool) if absent is None else ~absent
        else:
            older = np.array([date <= when for date in before])
            new = np.append(older, True)[np.minimum(layers, len(before))]
            if absent is not None:
                new = new > absent
        word = self.stored.word
        replace(self._values[at].view(word), part.view(word), bits(new, word))
        replace(layers, np.uint16(len(before)), bits(new, layers.dtype))

    def _result(self) -> NDArray[np.float32]:
        return self._finished(self._values, self._layer == self._NONE)
