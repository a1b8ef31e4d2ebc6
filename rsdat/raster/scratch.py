"""Files on a local disk for what a tile keeps and memory does not hold: without a name, shared out.

A file is unlinked as soon as it is made, so that nothing is left of it even when the process is
killed. It is used again for the next tile, as fresh pages of the system's cache cost more than
writing them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError

#: File systems that are memory by another name.
_MEMORY = ("tmpfs", "ramfs", "rootfs")


class File:
    """One file of a :class:`Scratch`, and a buffer to read it into."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._file = tempfile.TemporaryFile(  # noqa: SIM115 (it outlives this function)
            dir=directory, prefix="rsdat-", buffering=0
        )
        self._buffer = np.empty(0, "u1")
        self.close = self._file.close

    def write(self, values: NDArray[Any], offset: int) -> None:
        """Put contiguous values at an offset, in bytes."""
        rest = values.data.cast("B")
        while rest:
            done = os.pwrite(self._file.fileno(), rest, offset)
            rest, offset = rest[done:], offset + done

    def read(self, values: NDArray[Any], offset: int) -> None:
        """Fill contiguous values with what was put there."""
        rest = values.data.cast("B")
        while rest:
            done = os.preadv(self._file.fileno(), [rest], offset)
            if not done:
                raise OSError(0, "the scratch file ends too early")
            rest, offset = rest[done:], offset + done

    @property
    def size(self) -> int:
        """Bytes, as far as anything was written."""
        return os.fstat(self._file.fileno()).st_size

    def buffer(self, size: int) -> NDArray[np.uint8]:
        """So many bytes of room, the same memory each time."""
        if len(self._buffer) < size:
            self._buffer = np.empty(size, "u1")
        return self._buffer[:size]


class Scratch:
    """Shares out files on a local disk; a picklable value, whose files stay in each process.

    Parameters
    ----------
    beside
        The output's directory, where the temporary directories are memory or full.
    """

    def __init__(self, beside: str | None = None) -> None:
        self.beside = beside
        self._idle: list[File] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Scratch, (self.beside,)

    @contextmanager
    def lend(self) -> Iterator[Files]:
        """Files for a while: back in the pool afterwards, or gone after an error."""
        files = Files(self)
        try:
            yield files
        except BaseException:
            for file in files.lent:
                file.close()
            raise
        self._idle += files.lent

    def take(self, size: int) -> File:
        """An idle file, or a new one where so many bytes have room."""
        if self._idle:
            return self._idle.pop()
        directory = place(size, self.beside) or _usual()
        try:
            file = File(directory)
        except OSError as error:
            cause = error.strerror or str(error)
        else:
            weakref.finalize(self, file.close)
            return file
        raise no_room(directory, size, cause)


class Files:
    """The files that one tile has at the moment."""

    def __init__(self, scratch: Scratch) -> None:
        self.lent: list[File] = []
        self._scratch = scratch
        self._used = 0

    def open(self, size: int) -> File:
        """A file for about so many bytes; what is in it is of earlier tiles."""
        if self._used == len(self.lent):
            self.lent.append(self._scratch.take(size))
        self._used += 1
        return self.lent[self._used - 1]

    def again(self) -> None:
        """Begin anew: what was written is not needed, and its files are used again."""
        self._used = 0


def place(size: int, beside: str | None = None) -> str | None:
    """A directory on a disk that has so many bytes of room; None where there is none.

    A Dask worker's own directory, else the temporary one (``TMPDIR``), else ``beside``. What is
    memory by another name (tmpfs) would take what it is meant to spare.
    """
    for directory in _directories(beside):
        try:
            if not _in_memory(directory) and shutil.disk_usage(directory).free >= size:
                return directory
        except OSError:
            continue
    return None


def no_room(directory: str, size: int, cause: str) -> DataError:
    """What to say when a disk refuses the layers of a tile."""
    return DataError(
        f"{directory} cannot hold what a tile keeps of its dates, up to {size / 1e6:.0f} MB for "
        f"each thread: {cause}",
        hint="set TMPDIR (on a cluster, the site's local_directory) to a disk with more room, or "
        "name more memory",
    )


def _directories(beside: str | None) -> list[str]:
    own = _worker()
    found = [own] if own else []
    found.append(tempfile.gettempdir())
    return [*found, beside] if beside else found


def _usual() -> str:
    return _directories(None)[0]


def _worker() -> str | None:
    """The directory of the Dask worker that this thread works for."""
    if "distributed" not in sys.modules:
        return None
    try:
        return str(sys.modules["distributed"].get_worker().local_directory)
    except ValueError:
        return None


def _in_memory(directory: str) -> bool:
    """Whether a directory lies in memory, by Linux's table of mounts; unknown is no."""
    device = os.stat(directory).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo") as table:
            mounts = [line.split() for line in table]
    except OSError:
        return False
    return any(
        words[2] == number and words[words.index("-") + 1] in _MEMORY
        for words in mounts
        if "-" in words
    )
