"""Open datasets, shared by the threads of a process, one user at a time, a bounded number.

A GDAL dataset may not be used by two threads at once, and each holds the buffers of its last block:
some megabytes. So a thread borrows one for as long as it reads, and few idle ones are kept.
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

from rsdat.storage import gdal, is_remote

#: Bytes of buffers in idle datasets that are kept: a block each. Opening a local file takes a
#: millisecond; a remote one, requests.
KEPT_LOCAL = 40_000_000
KEPT_REMOTE = 120_000_000

#: Seconds after which a remote file is opened anew (two requests): it may have been replaced.
KEPT_SECONDS = 60

#: Path, overview level, and what tells the versions of a local file, or the threads, apart.
Key = tuple[str, int | None, tuple[int, int, int] | None]


@dataclass(frozen=True, eq=False)
class _Handle:
    opened: Any
    since: float
    weight: int
    """Bytes of its buffer."""


@dataclass
class _Idle:
    """Idle datasets, the longest unused first.

    The heaviest are closed first: of a stack too large to be kept, those with small blocks, such as
    coarse masks whose blocks several tiles share, then stay open with what GDAL has cached of them.
    """

    kept: OrderedDict[Key, list[_Handle]] = field(default_factory=OrderedDict)
    weight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Key, oldest: float) -> _Handle | None:
        with self.lock:
            handles = self.kept.get(key, [])
            while handles:
                handle = handles.pop()
                self.weight -= handle.weight
                if handle.since >= oldest:
                    return handle
                handle.opened.close()
            return None

    def give(self, key: Key, handle: _Handle, most: int) -> None:
        surplus: list[_Handle] = []
        with self.lock:
            self.kept.setdefault(key, []).append(handle)
            self.kept.move_to_end(key)
            self.weight += handle.weight
            while self.weight > most:
                heaviest = max(
                    (key for key, handles in self.kept.items() if handles),
                    key=lambda key: self.kept[key][0].weight,
                )
                surplus.append(self.kept[heaviest].pop(0))
                self.weight -= surplus[-1].weight
            for empty in [key for key, handles in self.kept.items() if not handles]:
                del self.kept[empty]
        for one in surplus:
            one.opened.close()

    def clear(self) -> None:
        with self.lock:
            handles = [handle for some in self.kept.values() for handle in some]
            self.kept.clear()
            self.weight = 0
        for one in handles:
            one.opened.close()


_local_files, _remote_files = _Idle(), _Idle()
_borrowed = threading.local()


@contextmanager
def borrowing() -> Iterator[None]:
    """Datasets that are opened inside belong to this thread until its end.

    What failed is closed: a dataset may not be what it was after an error.
    """
    outer = getattr(_borrowed, "handles", None)
    mine: dict[Key, tuple[_Handle, bool]] = {}
    _borrowed.handles = mine
    try:
        yield
    except BaseException:
        for handle, _ in mine.values():
            handle.opened.close()
        raise
    else:
        for key, (handle, remote) in mine.items():
            pool, most = (_remote_files, KEPT_REMOTE) if remote else (_local_files, KEPT_LOCAL)
            pool.give(key, handle, most)
    finally:
        _borrowed.handles = outer


def dataset(href: str, level: int | None = None) -> Any:
    """An open dataset for the innermost :func:`borrowing`; ``level`` is one of its overviews.

    A local file that was replaced meanwhile, and a remote one after a minute, is opened anew.
    """
    # Asked each time: a secret that has changed is handed on to the datasets that are open.
    path = gdal.gdal_path(href)
    remote = is_remote(href)
    key = (path, level, _thread(path) if remote else version(href))
    mine: dict[Key, tuple[_Handle, bool]] = _borrowed.handles
    if key not in mine:
        now = time.monotonic()
        found = (_remote_files if remote else _local_files).take(
            key, now - KEPT_SECONDS if remote else float("-inf")
        )
        if found is None:
            options = {} if level is None else {"overview_level": level}
            opened = rasterio.open(**gdal.opening(href), **options)
            found = _Handle(opened, now, _weight(opened))
        mine[key] = found, remote
    return mine[key][0].opened


def _weight(opened: Any) -> int:
    rows, columns = opened.block_shapes[0]
    kind = opened.dtypes[0]
    # A type that GDAL has and numpy has not.
    size = 4 if kind == "complex_int16" else np.dtype(kind).itemsize
    return int(rows * columns * size) + 65_536


def forget() -> None:
    """Close all idle datasets: the next reading opens its files anew."""
    _local_files.clear()
    _remote_files.clear()


def _thread(path: str) -> tuple[int, int, int] | None:
    """The thread, where a dataset is of no other: GDAL reads it through a connection of its own."""
    return (threading.get_ident(), 0, 0) if path.startswith(("sftp://", "ssh://")) else None


def version(href: str) -> tuple[int, int, int] | None:
    """What changes when a local file is written anew; None where there is no such file."""
    try:
        status = os.stat(href)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
