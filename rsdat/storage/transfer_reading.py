"""Reading the source of a copy: in blocks from an offset, ahead of the writer, across breaks."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rsdat.storage.dcache.retrying import FIRST_CONTACT_TRIES, Policy, ShortRead
from rsdat.storage.dcache.spans import Span
from rsdat.storage.files import is_remote
from rsdat.storage.transfer_errors import Replaced, Stopped, Trouble, passing
from rsdat.storage.transfer_places import LOOK, Facts, Place, asked, facts_of, of_headers, place_of

# Bytes of a block, and blocks that wait for the writer: some 10 MB for each copy under way.
BLOCK = 2 * 1024 * 1024
DEPTH = 3

#: Origins that this process has had an answer from: they are waited for when they are gone.
ANSWERED: set[str] = set()

Offer = Callable[[bytes], Awaitable[None]]
Stop = threading.Event


@dataclass
class Patience:
    """The tries of one copy: how many there were, and whether there is another."""

    policy: Policy = field(default_factory=Policy)
    made: int = 0
    moved: bool = False

    def progressed(self) -> None:
        """Bytes have arrived: a long copy may be interrupted many times."""
        self.made, self.moved = 0, True

    def left(self, url: str = "") -> bool:
        """Whether there is another try; fewer as long as nothing has ever come.

        Parameters
        ----------
        url
            Whose server is asked. One that has stayed away for all tries is not waited for again,
            file by file, before it has answered.
        """
        most, server = self.policy.retries, origin(url)
        known = self.moved or server in ANSWERED
        if self.made < (most if known else min(FIRST_CONTACT_TRIES - 1, most)):
            return True
        ANSWERED.discard(server)
        return False

    def pause(self, stop: Stop) -> None:
        """Wait before the next try, unless the copy is called off meanwhile."""
        seconds = self.policy.seconds(self.made)
        self.made += 1
        if stop.wait(seconds):
            raise Stopped


def origin(url: str) -> str:
    """The server of an address; empty for this machine."""
    return "/".join(url.split("/", 3)[:3]) if is_remote(url) else ""


def blocks(
    place: Place, facts: Facts, start: int, patience: Patience, stop: Stop
) -> Generator[bytes]:
    """The bytes of a file from an offset, once each and in order, across breaks.

    Raises
    ------
    Trouble
        Of the side "source": it cannot be read, or (:class:`Replaced`) is another file now.
    """
    at = start
    while True:
        try:
            for block in READERS[place.kind](place, facts, at, stop):
                at += len(block)
                patience.progressed()
                yield block
            _check_end(at, facts)
            return
        except Stopped:
            raise
        except Exception as error:
            if not (facts.version or at == start == 0) or not passing(error):
                raise Trouble("source", error) from error
            if not patience.left():
                raise Trouble("source", error) from error
        patience.pause(stop)
        place = _again(place, facts, patience, stop)


def _check_end(at: int, facts: Facts) -> None:
    if facts.size is not None and at < facts.size:
        raise ShortRead
    if facts.size is not None and at > facts.size:
        raise Replaced


def _again(place: Place, facts: Facts, patience: Patience, stop: Stop) -> Place:
    """The same file after a break, or Trouble if it is another one meanwhile."""
    while True:
        try:
            place = place_of(place.url)
            now = facts_of(place, stop)
        except Exception as error:
            if isinstance(error, Stopped):
                raise
            if not passing(error) or not patience.left():
                raise Trouble("source", error) from error
            patience.pause(stop)
            continue
        if (now.version, now.size) != (facts.version, facts.size):
            raise Trouble("source", Replaced())
        return place


# --- one reader for each kind


def _local(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    with open(place.path, "rb") as stream:
        stream.seek(start)
        while data := stream.read(BLOCK):
            yield data
        now = os.fstat(stream.fileno())
        if f"{now.st_mtime_ns}-{now.st_size}" != facts.version:
            raise Replaced


def _sftp(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    with place.fs.ftp.open(place.path, "rb") as stream:
        stream._prefetch_thread = partial(_asking, stream._prefetch_thread)
        at, size = start, facts.size or 0
        while at < size:
            # Asks for all pieces of a block at one time; read() would wait for each 32 kB.
            data = b"".join(stream.readv([(at, min(BLOCK, size - at))]))
            if not data:
                return
            at += len(data)
            yield data


def _asking(ask: Callable[..., None], *given: Any) -> None:
    """Paramiko's thread that sends requests; a break is told to whoever waits for the answers."""
    with suppress(OSError, EOFError):
        ask(*given)


def _any(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    at, size = start, facts.size
    while size is None or at < size:
        data = place.fs.cat_file(place.path, start=at, end=at + BLOCK)
        if not data:
            return
        at += len(data)
        yield data


def _door(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    async def produce(offer: Offer) -> None:
        await place.fs.ready()
        await place.fs.reader.stream(place.path, Span(start, None), offer)

    return _from_loop(place.fs.loop, produce, stop)


def _http(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and facts.version and not facts.weak:
        headers["If-Range"] = facts.version

    async def produce(offer: Offer) -> None:
        session = await place.fs.set_session()
        async with session.get(**asked(place, headers)) as answer:
            if answer.status == 416 and start == facts.size:
                return
            answer.raise_for_status()
            now = of_headers(answer.status, answer.headers)
            if facts.version and (now.version, now.size) != (facts.version, facts.size):
                raise Replaced
            # A server without ranges sends it all.
            skip = start if answer.status == 200 else 0
            async for data in answer.content.iter_any():
                piece, skip = (data[skip:], max(skip - len(data), 0)) if skip else (data, 0)
                if piece:
                    await offer(piece)

    return _from_loop(place.fs.loop, produce, stop)


def _s3(place: Place, facts: Facts, start: int, stop: Stop) -> Iterator[bytes]:
    bucket, key, _ = place.fs.split_path(place.path)

    async def produce(offer: Offer) -> None:
        if facts.size == start:
            return
        asked = {"Range": f"bytes={start}-"} if start else {}
        answer = await place.fs._call_s3("get_object", Bucket=bucket, Key=key, **asked)
        async with answer["Body"] as body:
            if str(answer.get("ETag", "")).strip('"') != facts.version:
                raise Replaced
            while data := await body.read(BLOCK // 8):
                await offer(data)

    return _from_loop(place.fs.loop, produce, stop)


READERS = {
    "local": _local,
    "sftp": _sftp,
    "other": _any,
    "door": _door,
    "http": _http,
    "s3": _s3,
}


def _from_loop(
    loop: asyncio.AbstractEventLoop, produce: Callable[[Offer], Awaitable[None]], stop: Stop
) -> Iterator[bytes]:
    """What a coroutine offers in an event loop, as blocks for this thread."""
    ready: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
    room = asyncio.Semaphore(2)

    async def work() -> None:
        parts: list[bytes] = []
        filled = 0

        async def offer(data: bytes) -> None:
            nonlocal filled
            parts.append(data)
            filled += len(data)
            if filled >= BLOCK:
                await room.acquire()
                ready.put(b"".join(parts))
                parts.clear()
                filled = 0

        end: BaseException | None = None
        try:
            await produce(offer)
        except BaseException as error:
            end = error
        if parts:
            ready.put(b"".join(parts))
        ready.put(end)

    task = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        while not stop.is_set():
            with suppress(queue.Empty):
                block = ready.get(timeout=LOOK)
                if block is None:
                    return
                if isinstance(block, BaseException):
                    raise block
                yield block
                loop.call_soon_threadsafe(room.release)
        raise Stopped
    finally:
        task.cancel()


class Ahead:
    """An iterator that runs in a thread of its own, some blocks ahead of who takes them.

    Parameters
    ----------
    make
        Makes the iterator; it gets an event that says that nobody wants more.
    stop
        Set when the copy is called off.
    """

    def __init__(self, make: Callable[[Stop], Generator[bytes]], stop: Stop) -> None:
        self._called_off = stop
        self._stopped = threading.Event()
        self._source = make(self._stopped)
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(DEPTH)
        self._thread = threading.Thread(target=self._run, name="rsdat-read-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            for block in self._source:
                if not self._put(block):
                    break
        except BaseException as error:
            end = error
        finally:
            self._source.close()
        self._put(end)

    def _put(self, item: bytes | BaseException | None) -> bool:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=LOOK)
                return True
        return False

    def get(self) -> bytes | None:
        """The next block, None at the end.

        Raises
        ------
        Stopped
            The copy is called off, or :meth:`stop` was called.
        """
        while not (self._stopped.is_set() or self._called_off.is_set()):
            with suppress(queue.Empty):
                item = self._queue.get(timeout=LOOK)
                if isinstance(item, BaseException):
                    raise item
                return item
        raise Stopped

    def __iter__(self) -> Iterator[bytes]:
        while (block := self.get()) is not None:
            yield block

    def stop(self) -> None:
        """Let the thread end soon; does not wait."""
        self._stopped.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.join()
