"""What a reducer keeps of every date: arrays, or a file that is read again strip by strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.scratch import File, Files, no_room

Array = NDArray[Any]

#: A strip of the kept layers: which pixels, and for each plane the dates' numbers.
Strip = tuple[slice, list[list[Array]]]

#: Bytes of all dates that are read from a disk at once.
_TOGETHER = 16 << 20

# Pixels of a strip on the disk. The shortest is a page of 16-bit numbers: with very many dates,
# writing gets slow rather than reading large.
_SHORTEST, _LONGEST = 1 << 11, 1 << 17


@dataclass(frozen=True)
class Disk:
    """Where layers are kept that memory does not hold."""

    files: Files
    dates: int
    """About how many layers there will be; more are kept as well."""


class Kept(Protocol):
    """Layers ``(plane, pixel)``, one a date."""

    def __len__(self) -> int:
        """How many layers there are."""

    def room(self) -> Array:
        """An array for the next layer, to be filled and appended."""

    def append(self, layer: Array) -> None:
        """Keep a layer. It may be kept as it is: do not write to it afterwards."""

    def strips(self, planes: Sequence[int], length: int) -> Iterator[Strip]:
        """All dates of some planes, at most ``length`` pixels at once, good until the next."""


def kept(planes: int, size: int, dtype: str, disk: Disk | None, together: int) -> Kept:
    """Room for layers, in memory or on a disk.

    Parameters
    ----------
    planes, size, dtype
        Of a layer.
    together
        Bytes of one date's pixel that are read at once; what is read side by side has to be given
        the same, to be cut into the same strips.
    """
    if disk is None:
        return InMemory(planes, size, dtype)
    return OnDisk(planes, size, dtype, disk, together)


def strip_bytes(dates: int, together: int) -> int:
    """Memory of what is read from a disk at once."""
    return _strip_length(dates, together) * dates * together


def _strip_length(dates: int, together: int) -> int:
    length = _LONGEST
    while length > _SHORTEST and length * dates * together > _TOGETHER:
        length //= 2
    return length


class InMemory:
    """Layers as arrays."""

    def __init__(self, planes: int, size: int, dtype: str) -> None:
        self._shape, self._dtype = (planes, size), dtype
        self._layers: list[Array] = []

    def __len__(self) -> int:
        return len(self._layers)

    def room(self) -> Array:
        """A new array."""
        return np.empty(self._shape, self._dtype)

    def append(self, layer: Array) -> None:
        """Keep a layer as it is."""
        self._layers.append(layer)

    def strips(self, planes: Sequence[int], length: int) -> Iterator[Strip]:
        """Parts of the layers."""
        for start in range(0, self._shape[1], length):
            place = slice(start, start + length)
            yield place, [[layer[plane, place] for layer in self._layers] for plane in planes]


class OnDisk:
    """Layers in a file: a strip of all dates lies together, for each plane.

    In the file are extents of ``disk.dates`` layers each, usually one; in an extent the planes, in
    a plane the strips, in a strip the dates.
    """

    def __init__(self, planes: int, size: int, dtype: str, disk: Disk, together: int) -> None:
        self._planes, self._size, self._dtype = planes, size, np.dtype(dtype)
        self._disk, self._dates, self._count = disk, max(1, disk.dates), 0
        self._length = _strip_length(self._dates, together)
        self._file: File | None = None
        self._room: Array | None = None

    def __len__(self) -> int:
        return self._count

    def room(self) -> Array:
        """The same array each time."""
        if self._room is None:
            self._room = np.empty((self._planes, self._size), self._dtype)
        return self._room

    def append(self, layer: Array) -> None:
        """Write a layer.

        Raises
        ------
        DataError
            The disk has no room for it.
        """
        if self._file is None:
            self._file = self._disk.files.open(self._bytes)
        try:
            for plane, pixels in enumerate(layer):
                pixels = np.ascontiguousarray(pixels)
                for start, width in self._parts():
                    offset = self._offset(self._count, plane, start, width)
                    self._file.write(pixels[start : start + width], offset)
        except OSError as error:
            cause = error.strerror or str(error)
        else:
            self._count += 1
            return
        # Raised outside the handler: the context of an exception does not travel from a worker.
        raise no_room(self._file.directory, self._bytes, cause)

    def strips(self, planes: Sequence[int], length: int) -> Iterator[Strip]:
        """Parts of the layers, of what is read of the file together."""
        self._room = None
        for start, width in self._parts():
            found = self._read(planes, start, width)
            for begin in range(0, width, length):
                end = min(begin + length, width)
                place = slice(start + begin, start + end)
                yield place, [[date[begin:end] for date in plane] for plane in found]

    @property
    def _bytes(self) -> int:
        return self._dates * self._planes * self._size * self._dtype.itemsize

    def _parts(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self._size, self._length):
            yield start, min(self._length, self._size - start)

    def _offset(self, date: int, plane: int, start: int, width: int) -> int:
        extent, date = divmod(date, self._dates)
        first = ((extent * self._planes + plane) * self._size + start) * self._dates
        return (first + date * width) * self._dtype.itemsize

    def _read(self, planes: Sequence[int], start: int, width: int) -> Array:
        """(plane, date, pixel)"""
        assert self._file is not None
        shape = (len(planes), self._count, width)
        room = self._file.buffer(int(np.prod(shape)) * self._dtype.itemsize)
        found = room.view(self._dtype).reshape(shape)
        for layers, plane in zip(found, planes, strict=True):
            for first in range(0, self._count, self._dates):
                offset = self._offset(first, plane, start, width)
                self._file.read(layers[first : first + self._dates], offset)
        return found
