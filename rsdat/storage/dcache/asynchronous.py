"""Open files for coroutines: reading ranges, writing as a stream of constant memory."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AbstractAsyncStreamedFile

from rsdat.storage.dcache.outgoing import Outgoing, Parts
from rsdat.storage.dcache.writing import BLOCK

if TYPE_CHECKING:
    from rsdat.storage.dcache.filesystem import DCacheFileSystem


class AsyncReadFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """A file open for reading in coroutines: ``await file.read(n)``, each a range of the door."""

    async def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(await self.fs._cat_file(self.path, start=start, end=end))


class AsyncWriteFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """A file open for writing in coroutines: what is written leaves at once, block by block.

    As :class:`~rsdat.storage.dcache.files.WriteFile`: a file of one block is sent when it is
    closed, and again if the connection breaks; a larger one fails as a whole. It is there, complete
    and with the right checksum, when ``close`` has returned; leaving ``async with`` with an
    exception, a cancellation or forgetting to close it discards it.

    Parameters
    ----------
    size
        The number of bytes, if it is known: some servers take no upload without it.
    """

    def __init__(
        self,
        fs: DCacheFileSystem,
        path: str,
        mode: str,
        *,
        block_size: int | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(fs, path, mode=mode, block_size=block_size or BLOCK)
        self._parts = Parts(self.blocksize)
        self._streams = False
        self._done = False
        self._loop = asyncio.get_running_loop()
        self._outgoing = Outgoing(fs, path, create=mode == "xb", commit=True, size=size)

    async def write(self, data: Any) -> int:
        """Write bytes; waits while the door is slower than the writer.

        Raises
        ------
        DoorError
            The upload has failed.
        """
        if self._done:
            raise ValueError("I/O operation on closed file")
        count = memoryview(data).nbytes
        start = 0
        try:
            while start < count:
                if self._parts.full:
                    await self._send()
                start += self._parts.add(data, start)
        except BaseException:
            # Cancelled, too: nobody knows whether the block has left.
            await self.discard()
            raise
        self.loc += count
        return count

    async def _send(self) -> None:
        self._streams = True
        block = self._parts.take()
        for part in block:
            await asyncio.to_thread(self._outgoing.queue.sums.update, part)
        await self._outgoing.offer(block)

    async def flush(self, force: bool = False) -> None:
        """Do nothing: a block leaves when it is full, the last one when the file is closed."""

    async def close(self) -> None:
        """Send the rest, and wait until the door has the file and its checksum is right."""
        if not self._done:
            self._done = self.closed = True
            await self._finish()

    async def _finish(self) -> None:
        try:
            with self.fs._changes(self.path):
                if self._streams:
                    await self._send()
                    await self._outgoing.finish()
                else:
                    await self._outgoing.whole(self._parts.whole())
        except BaseException:
            await self._outgoing.abort()
            raise

    async def discard(self) -> None:
        """Throw the file away; nothing stays at the door."""
        self._done = self.closed = True
        self._parts.take()
        with self.fs._changes(self.path):
            await self._outgoing.abort()

    async def __aexit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None and not self._done:
            await self.discard()
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_done", True):
            return
        self._done = self.closed = True
        warnings.warn(f"{self.path} was not closed and is discarded", ResourceWarning, stacklevel=2)
        # Not waited for: garbage may be collected in the thread of the loop itself.
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self._outgoing.abort(), self._loop)
