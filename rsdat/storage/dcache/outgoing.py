"""What is written to a door block by block: collected, handed over, sent by a task of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rsdat.storage.dcache.checksums import Buffer
from rsdat.storage.dcache.storing import ANSWERED, ended
from rsdat.storage.dcache.writing import Block, Memory, Queue

if TYPE_CHECKING:
    from rsdat.storage.dcache.filesystem import DCacheFileSystem

# From this size on, bytes are kept as they are until they are sent, and not copied together.
LARGE = 64 * 1024


class Parts:
    """Bytes that were written and not yet handed over: at most a block of them.

    Parameters
    ----------
    size
        Bytes of a block.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[bytearray | memoryview] = []
        self._filled = 0

    @property
    def full(self) -> bool:
        """Whether nothing more has room."""
        return self._filled >= self._size

    def add(self, data: Any, start: int) -> int:
        """Keep bytes from an offset on, as many as have room; their number."""
        view = memoryview(data).cast("B")
        piece = view[start : start + self._size - self._filled]
        self._filled += piece.nbytes
        # Bytes cannot change while they wait to be sent: large ones are not copied.
        if type(data) is bytes and view.nbytes >= LARGE:
            self._parts.append(piece)
        elif self._parts and isinstance(last := self._parts[-1], bytearray):
            last += piece
        else:
            self._parts.append(bytearray(piece))
        return piece.nbytes

    def take(self) -> Block:
        """All of it, which is not kept any longer."""
        taken, self._parts, self._filled = self._parts, [], 0
        return taken

    def whole(self) -> Buffer:
        """The same as one buffer."""
        taken = self.take()
        return taken[0] if len(taken) == 1 else b"".join(taken)


class Outgoing:
    """An upload that is being written: a task that sends, and the queue that feeds it.

    All methods run in the filesystem's event loop.
    """

    def __init__(
        self, fs: DCacheFileSystem, path: str, *, create: bool, commit: bool, size: int | None
    ) -> None:
        self._fs = fs
        self._path = path
        self._create = create
        self._commit = commit
        self.queue = Queue(fs.store.names, size)
        self._task: asyncio.Task[None] | None = None
        self.growing: str | None = None

    async def offer(self, block: Block | None) -> None:
        """Hand a block over (None: the end); raises what has ended the upload."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._send())
        handing = asyncio.ensure_future(self.queue.offer(block))
        try:
            await asyncio.wait({handing, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not handing.done():
                handing.cancel()
        if self._task.done() and block is not None:
            self._task.result()
            raise OSError(f"the upload of {self._path} ended before its data")

    async def _send(self) -> None:
        await self._fs.ready()
        if self._commit:
            await self._fs.store.store(self._path, self.queue, create=self._create)
        else:
            self.growing = await self._fs.store.grow(self._path, self.queue)

    async def finish(self) -> None:
        """Say that this was all, and wait until the door has it."""
        await self.offer(None)
        assert self._task is not None
        await self._task

    async def whole(self, data: Buffer) -> None:
        """Upload a file that turned out to be small: known as a whole, it can be sent again."""
        source = Memory(data, self._fs.store.names)
        await self._fs.ready()
        if self._commit:
            await self._fs.store.store(self._path, source, create=self._create)
        else:
            self.growing = await self._fs.store.grow(self._path, source)

    async def abort(self) -> None:
        """End the upload; what it has left at the door is removed."""
        if self._task is not None:
            self._task.cancel()
            await ended(self._task)
            with suppress(BaseException):
                # What it has ended with is known, or of no interest any more.
                self._task.result()
        await self.discard()

    async def settle(self) -> None:
        """Give a file that was kept under a temporary name its own."""
        if self.growing is not None:
            await self._fs.store.settle(self.growing, self._path)
            self.growing = None

    async def discard(self) -> None:
        """Remove a file that was kept under a temporary name."""
        if self.growing is not None:
            await self._fs.store.discard(self.growing, ANSWERED)
            self.growing = None
