"""Open files, shared by the threads of a process, one user at a time, a bounded number.

A GDAL dataset may not be used by two threads at once, and one that has read holds the buffers of
its last block: some megabytes. So a thread borrows one for as long as it reads, and few idle ones
are kept.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from rsdat.raster import blocks
from rsdat.raster.settings import settings
from rsdat.storage import gdal, is_remote
from rsdat.storage.gdal_cache import Remembered

Array = NDArray[Any]

#: Bytes of idle files that are kept. Opening a local file takes a millisecond; a remote one,
#: requests.
KEPT_LOCAL = 40_000_000
KEPT_REMOTE = 120_000_000

#: What an open file takes beside the buffer of a block: of such alone, 400 are kept, which leaves
#: room in the 1024 that a process may have open.
_LEAST = 100_000

#: Seconds after which a remote file is opened anew (two requests): it may have been replaced.
KEPT_SECONDS = 60

Version = tuple[int, int, int]
#: Path, overview level, and what tells the versions of a local file, or the threads, apart.
Key = tuple[str, int | None, Version | None]


@dataclass(eq=False)
class Opened:
    """An open file: its dataset, and what has been found out about it."""

    dataset: Any
    """Of rasterio. Its pixels are read by :meth:`read`."""
    href: str
    level: int | None
    version: Version | None
    since: float
    """When it was read for the first time, on the monotonic clock: other handles, and what GDAL
    keeps for them, may be older than this one."""
    headers: dict[Any, Any] = field(default_factory=dict)
    """What has been read of them, by what was asked."""
    weight: int = _LEAST
    """Bytes that it takes."""
    _layouts: dict[int, blocks.Layout | None] = field(default_factory=dict)

    def read(
        self, band: int, top: int, left: int, height: int, width: int, out: Array | None = None
    ) -> Array:
        """Pixels (y, x) of a window inside the file, as stored; ``out`` has the band's type."""
        if out is None:
            out = np.empty((height, width), self.dataset.dtypes[band - 1])
        layout = self._layout(band)
        if layout is None or not blocks.read(layout, top, left, out):
            with self.by_gdal() as dataset:
                dataset.read(band, window=Window(left, top, width, height), out=out)
        return out

    @contextmanager
    def by_gdal(self) -> Iterator[Any]:
        """The dataset, for GDAL to read with its settings."""
        self.weight = _LEAST + _buffer(self.dataset)
        with settings(self.href):
            yield self.dataset

    def _layout(self, band: int) -> blocks.Layout | None:
        if self.version is None:
            return None
        if band not in self._layouts:
            self._layouts[band] = blocks.layout(
                self.dataset, self.href, self.version, self.level, band
            )
        return self._layouts[band]


@dataclass
class _Idle:
    """Idle datasets, the longest unused first.

    The heaviest are closed first: of a stack too large to be kept, those with small blocks, such as
    coarse masks whose blocks several tiles share, then stay open with what GDAL has cached of them.
    """

    kept: OrderedDict[Key, list[Opened]] = field(default_factory=OrderedDict)
    weight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Key, oldest: float) -> Opened | None:
        with self.lock:
            while (handle := self._pop(key, -1)) is not None:
                if handle.since >= oldest:
                    return handle
                handle.dataset.close()
            return None

    def give(self, key: Key, handle: Opened, most: int) -> None:
        surplus: list[Opened] = []
        with self.lock:
            self.kept.setdefault(key, []).append(handle)
            self.kept.move_to_end(key)
            self.weight += handle.weight
            while self.weight > most:
                heaviest = max(self.kept, key=lambda key: self.kept[key][0].weight)
                surplus += filter(None, [self._pop(heaviest, 0)])
        for one in surplus:
            one.dataset.close()

    def _pop(self, key: Key, which: int) -> Opened | None:
        handles = self.kept.get(key)
        if not handles:
            return None
        handle = handles.pop(which)
        self.weight -= handle.weight
        if not handles:
            del self.kept[key]
        return handle

    def clear(self) -> None:
        with self.lock:
            handles = [handle for some in self.kept.values() for handle in some]
            self.kept.clear()
            self.weight = 0
        for one in handles:
            one.dataset.close()


_local_files, _remote_files = _Idle(), _Idle()
_remembered = Remembered()
_borrowed = threading.local()


@contextmanager
def borrowing() -> Iterator[None]:
    """Files that are opened inside belong to this thread until its end.

    What failed is closed: a dataset may not be what it was after an error.
    """
    outer = getattr(_borrowed, "handles", None)
    mine: dict[Key, tuple[Opened, bool]] = {}
    _borrowed.handles = mine
    try:
        yield
    except BaseException:
        for (path, *_), (handle, remote) in mine.items():
            handle.dataset.close()
            if remote:
                _remembered.drop(path)
        raise
    else:
        for key, (handle, remote) in mine.items():
            pool, most = (_remote_files, KEPT_REMOTE) if remote else (_local_files, KEPT_LOCAL)
            pool.give(key, handle, most)
    finally:
        _borrowed.handles = outer


def borrow(href: str, level: int | None = None) -> Opened:
    """An open file for the innermost :func:`borrowing`; ``level`` is one of its overviews.

    A local file that was replaced meanwhile, and a remote one after a minute, is opened anew.
    """
    # Asked each time: a secret that has changed is handed on to the datasets that are open.
    path = gdal.gdal_path(href)
    remote = is_remote(href)
    seen = None if remote else version(href)
    key = (path, level, _thread(path) if remote else seen)
    mine: dict[Key, tuple[Opened, bool]] = _borrowed.handles
    if key not in mine:
        oldest = time.monotonic() - KEPT_SECONDS if remote else float("-inf")
        found = (_remote_files if remote else _local_files).take(key, oldest)
        if found is None:
            found = _opened(href, path, level, seen)
        mine[key] = found, remote
    return mine[key][0]


def _opened(href: str, path: str, level: int | None, seen: Version | None) -> Opened:
    remote = is_remote(href)
    options = {} if level is None else {"overview_level": level}
    since = time.monotonic()
    try:
        with settings(href, remembered=True):
            if remote:
                since = _remembered.since(path, since, since - KEPT_SECONDS)
            dataset = rasterio.open(**gdal.opening(href), **options)
    except BaseException:
        _remembered.drop(path)
        raise
    return Opened(dataset, href, level, seen, since, weight=_LEAST + remote * _buffer(dataset))


def _buffer(dataset: Any) -> int:
    """Bytes of a dataset's block."""
    rows, columns = dataset.block_shapes[0]
    kind = dataset.dtypes[0]
    # A type that GDAL has and numpy has not.
    size = 4 if kind == "complex_int16" else np.dtype(kind).itemsize
    return int(rows * columns * size)


def forget() -> None:
    """Close all idle files: the next reading opens them anew."""
    blocks.forget()
    _local_files.clear()
    _remote_files.clear()
    _remembered.clear()


def _thread(path: str) -> Version | None:
    """The thread, where a dataset is of no other: GDAL reads it through a connection of its own."""
    return (threading.get_ident(), 0, 0) if path.startswith(("sftp://", "ssh://")) else None


def version(href: str) -> Version | None:
    """What changes when a local file is written anew; None where there is no such file."""
    try:
        status = os.stat(href)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
