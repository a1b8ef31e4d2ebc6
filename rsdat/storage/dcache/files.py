"""Open files: reading through fsspec's block caches, writing as a stream of constant memory."""

from __future__ import annotations

import asyncio
import io
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fsspec.asyn import sync
from fsspec.core import OpenFile
from fsspec.spec import AbstractBufferedFile

from rsdat.storage.dcache import errors, tape
from rsdat.storage.dcache.caching import Growing
from rsdat.storage.dcache.outgoing import Outgoing, Parts
from rsdat.storage.dcache.writing import BLOCK

if TYPE_CHECKING:
    from rsdat.storage.dcache.filesystem import DCacheFileSystem


# From OpenFile.__exit__ to our close(): its own close, a text layer, a compressor.
CLOSING_FRAMES = 6


class ReadFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file open for reading: seeking, read-ahead and fsspec's caches, on ranges of the door."""

    def __init__(self, fs: DCacheFileSystem, path: str, **options: Any) -> None:
        size = options.pop("size", None)
        if size is None:
            details = sync(fs.loop, fs._look, path)
            _refuse_unreadable(details, fs.door.webdav)
            size = details["size"]
            self._details = details
        options.setdefault("cache_type", Growing.name)
        super().__init__(fs, path, mode="rb", size=size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start=start, end=end))


def _refuse_unreadable(details: dict[str, Any], door: str) -> None:
    path = details["name"]
    if details["type"] == "directory":
        raise errors.IsDirectory(
            f"{path} at {door} is a directory", hint="name a file in it", path=path, door=door
        )
    tape.refuse_offline(path, details.get("locality", ""), door)


class WriteFile(io.RawIOBase):
    """A file open for writing: what is written leaves at once, block by block.

    A file that is not larger than one block is sent when it is closed, and sent again if the
    connection breaks; a larger one cannot be repeated, and fails as a whole. Leaving a ``with``
    block with an exception discards the file, as does forgetting to close it.

    Parameters
    ----------
    exclusive
        Whether the file must not exist.
    autocommit
        Whether closing gives the file its name; else :meth:`commit` does (in a transaction).
    size
        The number of bytes, if it is known: some servers take no upload without it.
    """

    def __init__(
        self,
        fs: DCacheFileSystem,
        path: str,
        *,
        block_size: int | None = None,
        exclusive: bool = False,
        autocommit: bool = True,
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.fs = fs
        self.path = path
        self.mode = "xb" if exclusive else "wb"
        self.blocksize = block_size or BLOCK
        self._parts = Parts(self.blocksize)
        self._position = 0
        self._streams = False
        self.done = False
        self._outgoing = Outgoing(fs, path, create=exclusive, commit=autocommit, size=size)
        if exclusive and fs.exists(path):
            raise errors.Exists(
                f"{path} at {fs.door.webdav} exists",
                hint="choose another name",
                path=path,
                door=fs.door.webdav,
            )

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def writable(self) -> bool:
        """Whether it can be written: yes."""
        return True

    def tell(self) -> int:
        """The number of bytes written."""
        return self._position

    def write(self, data: Any) -> int:
        """Write bytes; waits while the door is slower than the writer.

        Raises
        ------
        DoorError
            The upload has failed.
        """
        if self.closed or self.done:
            raise ValueError("I/O operation on closed file")
        count = memoryview(data).nbytes
        start = 0
        while start < count:
            if self._parts.full:
                self._send()
            start += self._parts.add(data, start)
        self._position += count
        return count

    def _send(self) -> None:
        self._streams = True
        block = self._parts.take()
        # Here, in the writer's thread: the loop's thread has the sockets to serve.
        for part in block:
            self._outgoing.queue.sums.update(part)
        try:
            sync(self.fs.loop, self._outgoing.offer, block)
        except BaseException:
            self.discard()
            raise

    def close(self) -> None:
        """Send the rest, and wait until the door has the file and its checksum is right."""
        if self.closed:
            return
        try:
            if not self.done and _left_by_error():
                self.discard()
            elif not self.done:
                self.done = True
                self._finish()
        finally:
            super().close()

    def _finish(self) -> None:
        try:
            if self._streams:
                self._send()
                sync(self.fs.loop, self._outgoing.finish)
            else:
                sync(self.fs.loop, self._outgoing.whole, self._parts.whole())
        except BaseException:
            sync(self.fs.loop, self._outgoing.abort)
            raise
        finally:
            self.fs.invalidate_cache(self.path)

    def commit(self) -> None:
        """Give the file its name (end of a transaction)."""
        with self.fs._changes(self.path):
            sync(self.fs.loop, self._outgoing.settle)

    def discard(self) -> None:
        """Throw the file away; nothing stays at the door."""
        self.done = True
        self._parts.take()
        with self.fs._changes(self.path):
            sync(self.fs.loop, self._outgoing.abort)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None and not self.done:
            self.discard()
        self.close()

    def __del__(self) -> None:
        if getattr(self, "done", True) or self.closed:
            return
        self.done = True
        warnings.warn(f"{self.path} was not closed and is discarded", ResourceWarning, stacklevel=2)
        # Not waited for: garbage may be collected in the thread of the loop itself.
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self._outgoing.abort(), self.fs.loop)


def _left_by_error() -> bool:
    """Whether the file is being closed by ``with fsspec.open(…)`` because of an exception.

    fsspec's ``OpenFile`` closes its files without a word about the exception, which would make a
    half-written file look finished. Its frame is the only place that knows.
    """
    frame = sys._getframe(1)
    for _ in range(CLOSING_FRAMES):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code is OpenFile.__exit__.__code__:
            reason = frame.f_locals.get("args") or (None,)
            return reason[0] is not None
    return False


class Layered(io.RawIOBase):
    """A compressor on top of a file that is written: closing it closes both.

    Most compressors leave the file below them open, and would so leave it without its end.
    """

    def __init__(self, compressor: Any, below: WriteFile) -> None:
        super().__init__()
        self._compressor = compressor
        self._below = below

    def writable(self) -> bool:
        """Whether it can be written: yes."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes."""
        return int(self._compressor.write(data))

    def discard(self) -> None:
        """Throw the file away; nothing stays at the door."""
        self._below.discard()

    def close(self) -> None:
        """Write the end, and send what is left."""
        if self.closed:
            return
        try:
            if not self._below.done:
                self._compressor.close()
            self._below.close()
        finally:
            super().close()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.discard()
        self.close()


class TextWriter(io.TextIOWrapper):
    """Text on top of a file that is written: an exception in its ``with`` block discards it."""

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            below: Any = self.buffer
            below.discard()
            # What is still in the text layer has nowhere to go.
            with suppress(ValueError):
                self.close()
            return
        self.close()


def open_layers(opened: Any, path: str, mode: str, given: dict[str, Any]) -> Any:
    """Open a file for writing, with compression and text on top where they are wanted."""
    text = {key: given.pop(key) for key in ("encoding", "errors", "newline") if key in given}
    compression = given.pop("compression", None)
    binary = mode.replace("t", "").replace("b", "") + "b"
    below = opened(path, binary, **given)
    top: Any = below
    if compression is not None:
        from fsspec.compression import compr
        from fsspec.core import get_compression

        name = get_compression(path, compression)
        if name is not None:
            top = Layered(compr[name](below, mode=binary[0]), below)
    return top if "b" in mode else TextWriter(top, **text)
