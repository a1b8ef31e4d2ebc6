"""Layers of stored numbers: their types, their strips in the cache, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError

Array = NDArray[Any]

DTYPES = ("uint8", "int16", "uint16", "float32")

#: Bytes that one strip works on, over all its arrays: a core's share of the L3 cache. Strips that
#: fit in L2 are no faster, as a call of numpy costs as much as 10 000 pixels; and threads then do
#: little but hand each other the interpreter's lock (measured with two: half the throughput).
_WORKING_SET = 4 << 20
_SHORTEST, _LONGEST = 1 << 13, 1 << 17


def strip_length(arrays: int, itemsize: int, shortest: int = _SHORTEST) -> int:
    """Pixels that are worked on together, a power of two."""
    length = _LONGEST
    while length > shortest and length * arrays * itemsize > _WORKING_SET:
        length //= 2
    return length


@dataclass(frozen=True)
class Stored:
    """How the numbers of each layer are stored.

    Parameters
    ----------
    bands
        Names of the bands.
    shape
        Rows and columns.
    dtype
        ``uint8``, ``int16``, ``uint16`` or ``float32``.
    scales, offsets
        Of each band: physical value = number * scale + offset.
    """

    bands: tuple[str, ...]
    shape: tuple[int, int]
    dtype: str
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise DataError(
                f"{self.dtype} numbers cannot be composited as they are",
                hint=f"turn them to float32 first; what is reduced is {', '.join(DTYPES)}",
            )
        if not len(self.bands) == len(self.scales) == len(self.offsets):
            raise DataError(
                f"{len(self.bands)} bands have {len(self.scales)} scales and "
                f"{len(self.offsets)} offsets",
                hint="give one of each per band",
            )

    @cached_property
    def size(self) -> int:
        """Pixels of one band."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def floating(self) -> bool:
        """Whether NaN can stand for a missing number."""
        return self.dtype == "float32"

    @cached_property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.dtype).itemsize

    @cached_property
    def word(self) -> np.dtype[Any]:
        """The unsigned integer of the same width, for work on bits."""
        return np.dtype(f"u{self.itemsize}")

    @cached_property
    def lowest(self) -> Any:
        """The lowest number (-inf), its bits as a word."""
        least = -np.inf if self.floating else np.iinfo(self.dtype).min
        return np.array(least, self.dtype).view(self.word)[()]

    @cached_property
    def highest(self) -> Any:
        """The highest number (inf), its bits as a word."""
        most = np.inf if self.floating else np.iinfo(self.dtype).max
        return np.array(most, self.dtype).view(self.word)[()]

    def check(self, values: Array, missing: Array | None) -> None:
        """Refuse a layer of another type or shape."""
        expected = (len(self.bands), *self.shape)
        if values.dtype != self.dtype or values.shape != expected:
            raise DataError(
                f"a layer of {values.dtype} {values.shape} was handed to a composite of "
                f"{self.dtype} {expected}",
                hint="every date must have the same bands, grid and type",
            )
        if missing is not None and (missing.dtype != bool or missing.shape != expected):
            raise DataError(
                f"a mask of {missing.dtype} {missing.shape} was handed to {expected} numbers",
                hint="a mask is bool, with a value for each band and pixel",
            )

    def parts(
        self, values: Array, missing: Array | None, length: int
    ) -> Iterator[tuple[int, slice, Array, Array | None]]:
        """Strips of a layer: band, place, numbers, and where they are missing.

        NaN counts as missing. The last is None where all numbers of the strip are there.
        """
        for band in range(len(self.bands)):
            plane = values[band].reshape(-1)
            masked = None if missing is None else missing[band].reshape(-1)
            for start in range(0, self.size, length):
                place = slice(start, start + length)
                part = plane[place]
                absent = None if masked is None else masked[place]
                if self.floating:
                    empty = np.isnan(part)
                    absent = empty if absent is None else np.logical_or(empty, absent, out=empty)
                if absent is not None and not absent.any():
                    absent = None
                yield band, place, part, absent

    def physical(self, values: Array, band: int) -> NDArray[np.float32]:
        """A new array: numbers of a band in physical units."""
        result: NDArray[np.float32] = values.astype("float32")
        if self.scales[band] != 1.0:
            result *= np.float32(self.scales[band])
        if self.offsets[band]:
            result += np.float32(self.offsets[band])
        return result

    def empty_result(self, bands: int | None = None) -> NDArray[np.float32]:
        """Room for a result, ``(bands, pixels)``."""
        return np.empty((len(self.bands) if bands is None else bands, self.size), "float32")


def bits(flags: Array, word: np.dtype[Any]) -> Array:
    """All bits set where a flag is, in words of this type; a new array."""
    words: Array = flags.view("u1").astype(word)
    np.negative(words, out=words)
    return words


def replace(target: Array, values: Any, where: Array) -> None:
    """Set words to others where these bits are set."""
    replaced(target, values, where, out=target)


def replaced(source: Array, values: Any, where: Array, out: Array | None = None) -> Array:
    """Words with others in their place where these bits are set.

    Three operations without a branch: a masked copy is as fast where a mask has large patches, and
    six times slower where it changes from pixel to pixel.
    """
    change: Array = np.bitwise_xor(source, values)
    np.bitwise_and(change, where, out=change)
    return np.bitwise_xor(source, change, out=change if out is None else out)
