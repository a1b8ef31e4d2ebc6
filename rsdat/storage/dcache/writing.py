"""Uploads: from memory, from a local file, or from a writer who is still writing.

A PUT is first sent with ``Expect: 100-continue`` and without its body, so that a dCache door can
send it on to a pool, and so that every refusal (no permission, quota, a directory in the way)
arrives before the data leaves. An upload ends with the door's checksum compared with our own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from io import FileIO
from typing import TYPE_CHECKING, Any, Protocol

from rsdat.storage.dcache import retrying
from rsdat.storage.dcache.checksums import Buffer, Sums
from rsdat.storage.dcache.client import MOST_REDIRECTS, REDIRECTS, Client, Reply
from rsdat.storage.dcache.paths import redirected
from rsdat.storage.dcache.retrying import Tries

if TYPE_CHECKING:
    import aiohttp

# Seconds to wait for "100 Continue" at doors that may not know it, and then say nothing.
CONTINUE_SECONDS = 3.0
# A body up to this size goes with the request: asking first would take longer than sending it.
SMALL = 64 * 1024
# What is handed to the socket at one time: small enough to stay in the processor's cache.
PIECE = 512 * 1024
# What is collected from a writer, to be sent at one time.
BLOCK = 4 * 1024 * 1024
# What is read from a file at one time, and how many of these are read ahead.
READ = 1024 * 1024
AHEAD = 2


#: What a writer hands over at one time, in pieces that need not be copied together.
Block = Sequence[Buffer]


class Source(Protocol):
    """Where the bytes of an upload come from.

    Attributes
    ----------
    size
        Their number, None if it is not known before the end.
    repeatable
        Whether they can be sent again from the beginning.
    spent
        Whether they can be sent no more.
    trouble
        What it cannot be read to its end for; then another try is of no use.
    sums
        The checksums of what was taken; complete at the end.
    """

    size: int | None
    repeatable: bool
    spent: bool
    trouble: BaseException | None
    sums: Sums

    def blocks(self) -> AsyncIterator[Buffer]:
        """The bytes from the beginning, and the checksums of them."""
        ...


class Memory:
    """Bytes that are in memory."""

    repeatable = True
    spent = False
    trouble: BaseException | None = None

    def __init__(self, data: Buffer, names: tuple[str, ...]) -> None:
        self._data = memoryview(data).cast("B")
        self.size: int | None = self._data.nbytes
        self.sums = Sums(names)
        self.sums.update(self._data)

    async def blocks(self) -> AsyncIterator[Buffer]:
        """The bytes; the checksums are known before."""
        yield self._data


class LocalFile:
    """A file on this machine; some blocks are read and summed while one is sent.

    The blocks lie in a few buffers that are used again and again: memory that is new to a process
    takes longer to get than to fill.
    """

    repeatable = True
    spent = False

    def __init__(
        self,
        path: str,
        names: tuple[str, ...],
        progress: Callable[[int], None] | None = None,
        *,
        size: int | None = None,
    ) -> None:
        import os

        self._path = path
        self._names = names
        self._progress = progress
        self.trouble: BaseException | None = None
        self.size: int | None = os.path.getsize(path) if size is None else size
        self.sums = Sums(names)

    async def blocks(self) -> AsyncIterator[Buffer]:
        """The content of the file as it is now.

        Raises
        ------
        OSError
            It cannot be read, or has another size meanwhile.
        """
        self.sums = Sums(self._names)
        sent = 0
        try:
            async with aclosing(self._read()) as blocks:
                async for block in blocks:
                    yield block
                    sent += len(block)
                    if self._progress is not None:
                        self._progress(sent)
            if self.sums.size != self.size:
                raise OSError(f"{self._path} changed its size while it was uploaded")
        except OSError as error:
            self.trouble = error
            raise

    def _open(self) -> FileIO:
        return open(self._path, "rb", buffering=0)

    async def _read(self) -> AsyncGenerator[Buffer]:
        size = min(READ, max(self.size or 0, 1))
        # Beside those ahead: one that is sent, and the one before it, whose last bytes may wait in
        # the connection (at most 512 kB, with TLS, when the next piece is asked for).
        buffers = itertools.cycle([bytearray(size) for _ in range(AHEAD + 2)])
        own = ThreadPoolExecutor(1, thread_name_prefix="rsdat-upload")
        loop, sums = asyncio.get_running_loop(), self.sums
        with self._open() as stream:

            def read() -> asyncio.Future[Buffer]:
                return loop.run_in_executor(own, _filled, stream, next(buffers), sums)

            coming = deque(read() for _ in range(AHEAD))
            try:
                while data := await coming.popleft():
                    coming.append(read())
                    yield data
            finally:
                # The file may be closed only when nobody reads it.
                if coming:
                    await asyncio.wait(coming)
                own.shutdown(wait=False)


def _filled(stream: FileIO, buffer: bytearray, sums: Sums) -> Buffer:
    """Fill a buffer from a file as far as it goes, and sum what is in it."""
    view = memoryview(buffer)
    filled = 0
    while filled < len(buffer) and (count := stream.readinto(view[filled:])):
        filled += count
    sums.update(view[:filled])
    return view[:filled]


class Queue:
    """What a writer hands over block by block; at most ``depth`` of them wait."""

    repeatable = False

    def __init__(self, names: tuple[str, ...], size: int | None = None, depth: int = 2) -> None:
        self.size = size
        self.spent = False
        self.trouble: BaseException | None = None
        self.sums = Sums(names)
        self._waiting: asyncio.Queue[Block | None] = asyncio.Queue(depth)

    async def offer(self, block: Block | None) -> None:
        """Hand a block over (None: the end); waits while the queue is full."""
        await self._waiting.put(block)

    async def blocks(self) -> AsyncIterator[Buffer]:
        """The blocks, as they come.

        Raises
        ------
        OSError
            There were more or fewer bytes than announced.
        """
        self.spent = True
        while (block := await self._waiting.get()) is not None:
            for part in block:
                yield part
        if self.size is not None and self.size != self.sums.size:
            self.trouble = OSError(
                f"{self.sums.size} bytes were written, and {self.size} announced"
            )
            raise self.trouble


class Sending:
    """One PUT of a source: asks, follows the redirect, sends, with a time limit on every step."""

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self.begun = asyncio.Event()
        self._answered = False

    async def put(self, url: str, headers: dict[str, str]) -> Reply:
        """The door's or pool's answer. A redirect is followed as long as no byte was sent.

        Raises
        ------
        aiohttp.ClientError, OSError, TimeoutError
            The connection failed.
        """
        size = self._source.size
        asks = size is None or size > SMALL or not self._source.repeatable
        for _ in range(MOST_REDIRECTS):
            response = await self._ask(url, headers) if asks else None
            if response is None:
                response = await self._put(url, headers)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                async with response:
                    return Reply(response.status, response.headers, await response.read())
            response.close()
            if self._source.spent:
                raise OSError(f"{url} sends uploads on only after their data was sent")
            self.begun.clear()
            url = redirected(url, location)
            asks = False
        raise OSError(f"{url}: more than {MOST_REDIRECTS} redirects")

    async def _ask(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse | None:
        """The PUT with ``Expect``; None if the server does not know it, and nothing was sent."""
        if self._client.ignores_expect:
            return None
        task = asyncio.ensure_future(self._put(url, {**headers, "Expect": "100-continue"}))
        begun = asyncio.ensure_future(self.begun.wait())
        try:
            await asyncio.wait(
                {task, begun}, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED
            )
            if task.done() or self.begun.is_set():
                return await self._asked(task)
            self._client.ignores_expect = True
            return None
        finally:
            begun.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def _patience(self) -> float:
        """Seconds to wait for an answer to ``Expect``.

        dCache knows it, however long it looks for a pool: unasked, the data would go to the door,
        which may refuse it when it is spent.
        """
        return self._client.limits.idle if self._client.door.api is not None else CONTINUE_SECONDS

    async def _asked(
        self, task: asyncio.Future[aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse | None:
        import aiohttp

        try:
            response = await task
        except aiohttp.ClientResponseError:
            # A "100 Continue" that is not HTTP; the next try does without.
            self._client.ignores_expect = True
            raise
        if response.status != 417:
            return response
        response.close()
        return None

    async def _put(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        size = self._source.size
        length = {} if size is None else {"Content-Length": str(size)}
        idle = self._client.limits.idle
        self._answered = False
        async with asyncio.timeout(None) as limit:
            data: Any = self._body(limit, idle) if size != 0 else b""
            try:
                return await self._client.send("PUT", url, headers={**headers, **length}, data=data)
            finally:
                self._answered = True

    async def _body(self, limit: asyncio.Timeout, idle: float) -> AsyncIterator[memoryview]:
        """The pieces; a server that takes none for too long ends the upload.

        The time in which the writer thinks does not count.
        """
        now = asyncio.get_running_loop().time
        self.begun.set()
        async for block in self._source.blocks():
            view = memoryview(block)
            for start in range(0, view.nbytes, PIECE):
                if self._answered:
                    return
                limit.reschedule(now() + idle)
                yield view[start : start + PIECE]
            if not self._answered:
                limit.reschedule(None)


async def upload(client: Client, path: str, source: Source, headers: dict[str, str]) -> Reply:
    """Send a source to a path, again from the beginning where that is possible.

    Returns
    -------
    Reply
        The last answer, a success or a refusal.

    Raises
    ------
    Unreachable
        The connection failed for good.
    OSError
        The source cannot be read to its end.
    """
    tries = Tries(client.policy)
    renewed = False
    url = client.door.file(path)
    wanted = {"Want-Digest": ",".join(source.sums.values()), **headers}
    while True:
        sending = Sending(client, source)
        after = None
        try:
            # A stream takes no turn: it may wait for its writer, and others for it.
            async with client.slot() if source.repeatable else nullcontext():
                reply = await sending.put(url, wanted)
            if reply.status == 401 and not (renewed or source.spent):
                renewed = True
                if await client.renewed(url):
                    continue
            if source.spent or not retrying.passes(reply.status, tries):
                return Reply(reply.status, reply.headers, reply.body, tries.made)
            after = reply.headers.get("Retry-After")
        except Exception as error:
            if source.trouble is not None:
                # aiohttp says only that sending failed.
                raise source.trouble from None
            if not retrying.is_break(error):
                raise
            if source.spent or not retrying.breaks(error, tries, known=client.knows(url)):
                raise client.unreachable(error, url, path) from error
        await tries.pause(after)


def mismatches(source: Source, sums: dict[str, str], size: int | None) -> list[str]:
    """What differs between what was sent and what the server has: checksums, or the size."""
    wrong = source.sums.differing(sums)
    size_of_source = source.size if source.size is not None else source.sums.size
    return wrong + ["size"] * (size is not None and size != size_of_source)
