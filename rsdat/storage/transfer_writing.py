"""Writing the target of a copy: growing under a hidden name, resumed, renamed when complete."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rsdat.storage.transfer_disks import Disk, part_of
from rsdat.storage.transfer_errors import Differs, Replaced, Stopped, Trouble
from rsdat.storage.transfer_etags import Layout, PassingSums
from rsdat.storage.transfer_places import Facts, Place, run
from rsdat.storage.transfer_reading import BLOCK, Ahead, Patience, blocks

# A part that is not worth to be kept for another try.
WORTH = 1024 * 1024
# The smallest part of an upload to S3, and the most parts that it takes (10 000).
S3_PART, S3_PARTS = 16 * 1024 * 1024, 9000

Moved = Callable[[int], None]


@dataclass
class Job:
    """One copy under way: its ends, what to compute, whom to tell.

    Parameters
    ----------
    moved
        Told the number of bytes that have arrived so far.
    sums
        The checksums of what was read in this try; complete at its end.
    resumed
        Bytes that an earlier try had left at the target.
    layouts
        The parts of each side that is an S3 object of several.
    compared
        The checksums that were compared with what a side says.
    """

    source: Place
    target: Place
    facts: Facts
    verify: bool
    patience: Patience
    stop: threading.Event
    moved: Moved
    names: tuple[str, ...] = ("adler32",)
    sums: PassingSums = None  # type: ignore[assignment]
    resumed: int = 0
    layouts: dict[str, Layout] = field(default_factory=dict)
    compared: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def fresh(self) -> PassingSums:
        """Begin to sum anew."""
        self.sums = PassingSums(self.names, self.layouts)
        return self.sums

    def reading(self, start: int) -> Ahead:
        """The source's blocks from an offset, read ahead."""

        def make(stop: threading.Event) -> Generator[bytes]:
            return blocks(self.source, self.facts, start, self.patience, stop)

        return Ahead(make, self.stop)

    @contextmanager
    def taken(self, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The source's blocks, summed and told of."""
        if self.source.kind == self.target.kind == "sftp":
            # Both may be one connection, which is for one thread.
            source = blocks(self.source, self.facts, start, self.patience, self.stop)
            try:
                yield self._summed(source)
            finally:
                source.close()
            return
        with self.reading(start) as ahead:
            yield self._summed(ahead)

    def _summed(self, source: Any) -> Iterator[bytes]:
        for block in source:
            if self.stop.is_set():
                raise Stopped
            yield block
            self.sums.update(block)
            self.moved(self.sums.size)

    def check(self, told: Facts, side: str) -> None:
        """Compare what passed with what one side says.

        Raises
        ------
        Trouble
            It differs.
        """
        wrong = ["size"] if told.size is not None and told.size != self.sums.size else []
        if self.verify:
            wrong += self.sums.differing(told.sums)
            self.compared[side] = self.sums.compared
            etag = self.sums.etag(side)
            if etag and told.etag:
                self.compared[side] += ("etag",)
                wrong += ["etag"] * (etag != told.etag)
        if wrong:
            words = "size" if wrong == ["size"] else f"checksum ({', '.join(wrong)})"
            raise Trouble(side, Differs(f"the {words} is not what the {side} says"))

    def check_source(self) -> None:
        """Compare what passed with what the source says."""
        self.check(self.facts, "source")


# --- targets that keep a part: this machine, SFTP


def to_disk(job: Job, disk: Disk) -> None:
    """Copy to a target that keeps a part for the next try."""
    path = os.path.realpath(job.target.path) if job.target.kind == "local" else job.target.path
    part, resumable = part_of(path, job.source.url, job.facts)
    try:
        stream, part, resumable = _opened(disk, path, part, resumable)
    except FileNotFoundError:
        disk.make_directory(os.path.dirname(path))
        stream, part, resumable = _opened(disk, path, part, resumable)
    job.fresh()
    try:
        with stream:
            _grow(job, stream, disk.length(part) or 0)
        job.check_source()
        job.check(Facts(disk.length(part)), "target")
        disk.replace(part, path)
        disk.sweep(path)
    except BaseException as error:
        kept = resumable and not _spoiled(error)
        # The connection to remove it by may be gone itself.
        with suppress(Exception):
            if not kept or (disk.length(part) or 0) < WORTH:
                disk.remove(part)
        raise


def _opened(disk: Disk, path: str, part: str, resumable: bool) -> tuple[Any, str, bool]:
    there = resumable and disk.length(part) is not None
    try:
        return disk.open(part, "r+b" if there else "wb"), part, resumable
    except BlockingIOError:
        # Another process copies the same; let it have its part.
        part = f"{part.removesuffix('.part')}.{secrets.token_hex(4)}.part"
        return disk.open(part, "wb"), part, False


def _grow(job: Job, stream: Any, have: int) -> None:
    """Take in what an earlier try has left, and write the rest behind it."""
    if job.facts.size is not None and have > job.facts.size:
        stream.truncate(0)
        have = 0
    while job.sums.size < have:
        data = _piece(stream, job.sums.size, min(BLOCK, have - job.sums.size))
        if not data:
            break
        job.sums.update(data)
        job.moved(job.sums.size)
    job.resumed = job.sums.size
    stream.seek(job.resumed)
    with job.taken(job.resumed) as source:
        for block in source:
            stream.write(block)


def _piece(stream: Any, at: int, size: int) -> bytes:
    if hasattr(stream, "readv"):
        # Asks for the whole at one time; read() of SFTP would wait for each 32 kB.
        return b"".join(stream.readv([(at, size)]))
    return bytes(stream.read(size))


def _spoiled(error: BaseException) -> bool:
    """Whether a part is of no use for another try: the source is gone, or is another one."""
    while isinstance(error, Trouble):
        error = error.error
    gone = isinstance(error, FileNotFoundError) or getattr(error, "status", None) in (404, 410)
    return gone or isinstance(error, Differs | Replaced)


# --- doors


class Streamed:
    """The source of a copy as what an upload to a door takes; it can be begun again."""

    repeatable = True

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ahead: Ahead | None = None
        self.trouble: BaseException | None = None
        self.size = job.facts.size
        self.sums = job.fresh()

    @property
    def spent(self) -> bool:
        """Whether it is of no use to send it again: it cannot be read."""
        return self.trouble is not None

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning."""
        self.stop()
        self.sums = self._job.fresh()
        loop = asyncio.get_running_loop()
        own = ThreadPoolExecutor(1, thread_name_prefix="rsdat-upload")
        ahead = self._ahead = self._job.reading(0)
        # One block is held back until the checksum is known to be right: with its last byte, the
        # door gives the file its name.
        held = b""
        try:
            while (block := await loop.run_in_executor(own, ahead.get)) is not None:
                await loop.run_in_executor(own, self.sums.update, block)
                if held:
                    yield held
                    self._job.moved(self.sums.size - len(block))
                held = block
            self._job.check_source()
            yield held
            self._job.moved(self.sums.size)
        except Exception as error:
            self.trouble = error
            raise
        finally:
            ahead.stop()
            own.shutdown(wait=False)

    def stop(self) -> None:
        """Let the reading end."""
        if self._ahead is not None:
            self._ahead.stop()


def to_door(job: Job) -> None:
    """Copy to a dCache door or another WebDAV door, whose filesystem tries again and verifies."""
    fs = job.target.fs
    source: Streamed | None = None

    async def store() -> None:
        nonlocal source
        await fs.ready()
        job.names = tuple({*job.names, *fs.store.names})
        source = Streamed(job)
        await fs.store.store(job.target.path, source)
        job.compared["target"] = source.sums.compared
        fs.invalidate_cache(job.target.path)

    try:
        run(fs, store, job.stop)
    finally:
        if source is not None:
            source.stop()


# --- object stores and others


def to_s3(job: Job) -> None:
    """Copy to S3: one request for a small file, a multipart upload that ends in one for others."""
    size = job.facts.size
    part = max(S3_PART, (size or 0) // S3_PARTS)
    if job.verify and (size is None or size < part):
        job.names = tuple({*job.names, "md5"})
    if job.verify and (size is None or size >= part):
        job.layouts["target"] = part
    job.fresh()
    stream = job.target.fs.open(job.target.path, "wb", block_size=part)
    try:
        with job.taken() as source:
            for block in source:
                _write_parts(stream, block, part)
        job.check_source()
        stream.close()
    except BaseException:
        # Closing it would finish the upload; without its end nothing appears.
        stream.closed = True
        with suppress(Exception):
            stream.discard()
        raise


def _write_parts(stream: Any, block: bytes, part: int) -> None:
    """Write so that each part is of one size: a part is sent when at least so much is there."""
    view = memoryview(block)
    while view:
        room = part - stream.tell() % part
        stream.write(view[:room])
        view = view[room:]


def to_other(job: Job) -> None:
    """Copy to any other filesystem: under a temporary name, then renamed."""
    fs, path = job.target.fs, job.target.path
    part, _ = part_of(path, secrets.token_hex(6), Facts(None))
    above = os.path.dirname(path)
    if above.strip("/"):
        fs.makedirs(above, exist_ok=True)
    job.fresh()
    try:
        with job.taken() as source, fs.open(part, "wb") as stream:
            for block in source:
                stream.write(block)
        job.check_source()
        fs.mv(part, path)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(part)
        raise
