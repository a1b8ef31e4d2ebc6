"""Files that coroutines write: streams that appear whole, with the right checksum, or not."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rsdat.storage.dcache import errors
from tests.dcache.door import Door
from tests.storage.waiting import LONG, left

pytestmark = pytest.mark.usefixtures("nothing_late")

BLOCK = 1 << 18
DATA = os.urandom(BLOCK) * 5 + b"end"


@pytest.fixture(params=["rest", "webdav"])
def work(
    request: pytest.FixtureRequest, make_fs: Callable[..., Any], door: Door
) -> Callable[..., Any]:
    """Do something with a filesystem in an event loop of one's own."""

    def run(todo: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            fs = make_fs(door, rest=request.param == "rest", asynchronous=True, **options)
            try:
                return await todo(fs)
            finally:
                await fs._close()

        return asyncio.run(main())

    return run


def files(door: Door) -> list[str]:
    return [path for path in door.paths() if not path.endswith("/")]


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, len(DATA)])
@pytest.mark.parametrize("step", [100_000, 10 * BLOCK])
def test_every_size_and_step_arrives(
    work: Callable[..., Any], door: Door, size: int, step: int
) -> None:
    async def write(fs: Any) -> None:
        async with await fs.open_async("/d/f", "wb", block_size=BLOCK) as file:
            for start in range(0, size, step):
                end = min(start + step, size)
                assert await file.write(DATA[start:end]) == end - start
            assert file.tell() == size
            assert "/d/f" not in door.paths() or size > BLOCK
        assert (await fs._info("/d/f"))["size"] == size

    work(write)
    assert door.read("/d/f") == DATA[:size]
    assert files(door) == ["/d/f"]


def test_blocks_leave_while_it_is_written(work: Callable[..., Any], door: Door) -> None:
    async def write(fs: Any) -> int:
        async with await fs.open_async("/d/f", "wb", block_size=BLOCK) as file:
            await file.write(DATA[: 4 * BLOCK])
            async with asyncio.timeout(LONG):
                while not any(one.received for one in door.requests("pool")):
                    await asyncio.sleep(0.01)
            return len(door.requests("pool"))

    assert work(write) == 1


def test_a_slow_writer_is_not_a_silence(work: Callable[..., Any], door: Door) -> None:
    async def write(fs: Any) -> None:
        async with await fs.open_async("/f", "wb", block_size=BLOCK) as file:
            await file.write(DATA[: 2 * BLOCK + 1])
            async with asyncio.timeout(LONG):
                while sum(one.received for one in door.requests("pool")) < 2 * BLOCK:
                    await asyncio.sleep(0.01)
            await rounds()
            # Much longer than the time limit: the writer thinks, and the door waits.
            pass_by(3600)
            await rounds()
            await file.write(DATA[:BLOCK])

    work(write)
    assert door.entry("/f").size == 3 * BLOCK + 1


async def rounds() -> None:
    """Let everybody in this loop do what they can do now."""
    for _ in range(100):
        await asyncio.sleep(0)


def pass_by(seconds: float) -> None:
    """Let the time of this loop go on at one leap; what was waiting for it is done at once."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


@pytest.mark.parametrize("amount", [10, len(DATA)])
def test_an_exception_leaves_nothing(work: Callable[..., Any], door: Door, amount: int) -> None:
    async def write(fs: Any) -> None:
        async with await fs.open_async("/d/f", "wb", block_size=BLOCK) as file:
            await file.write(DATA[:amount])
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        work(write)
    assert left(lambda: files(door)) == []


def test_a_cancelled_writer_leaves_nothing(work: Callable[..., Any], door: Door) -> None:
    door.mkdir("/d")
    door.fault("slow", "/d/*", value=0.1, times=None)

    async def write(fs: Any) -> None:
        file = await fs.open_async("/d/f", "wb", block_size=BLOCK)

        async def all_of_it() -> None:
            for _ in range(100):
                await file.write(DATA)

        task = asyncio.ensure_future(all_of_it())
        async with asyncio.timeout(LONG):
            while not any(one.received for one in door.requests("pool")):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Nothing more is done here, not even in this loop.
        assert left(lambda: files(door)) == []
        with pytest.raises(ValueError, match="closed"):
            await file.write(b"more")
        await file.close()

    work(write)
    assert files(door) == []


def test_a_broken_or_damaged_upload_leaves_nothing(work: Callable[..., Any], door: Door) -> None:
    async def write(fs: Any) -> None:
        async with await fs.open_async("/f", "wb", block_size=BLOCK) as file:
            for start in range(0, len(DATA), 100_000):
                await file.write(DATA[start : start + 100_000])

    door.fault("reset", "/*", verb="PUT", origin="pool", value=500_000)
    with pytest.raises(errors.Unreachable):
        work(write)
    assert files(door) == []
    door.fault("corrupt", "/*", verb="PUT", origin="pool", value=5)
    with pytest.raises(errors.WrongChecksum, match="was removed"):
        work(write)
    assert files(door) == []
    work(write)
    assert door.read("/f") == DATA


def test_a_small_file_survives_a_break(work: Callable[..., Any], door: Door) -> None:
    async def write(fs: Any) -> None:
        async with await fs.open_async("/f", "wb") as file:
            await file.write(b"small")

    door.fault("reset", "/*", verb="PUT")
    work(write)
    assert door.read("/f") == b"small"


def test_exclusive_files_and_other_modes(work: Callable[..., Any], door: Door) -> None:
    door.put("/f", b"old")

    async def write(fs: Any) -> None:
        with pytest.raises(FileExistsError):
            await fs.open_async("/f", "xb")
        async with await fs.open_async("/g", "xb") as file:
            await file.write(b"new")
        for mode in ("ab", "w", "r+b"):
            with pytest.raises(OSError, match="rb, wb or xb"):
                await fs.open_async("/f", mode)

    work(write)
    assert (door.read("/f"), door.read("/g")) == (b"old", b"new")


def test_a_file_that_nobody_closes_is_discarded_with_a_warning(
    work: Callable[..., Any], door: Door
) -> None:
    async def write(fs: Any) -> list[Any]:
        file = await fs.open_async("/f", "wb", block_size=BLOCK)
        await file.write(DATA)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del file
            gc.collect()
        # What earlier tests have left, and other threads, may warn of their own.
        ours = [one.category for one in seen if "/f was not closed" in str(one.message)]
        async with asyncio.timeout(LONG):
            while files(door):
                await asyncio.sleep(0.01)
        return ours

    assert work(write) == [ResourceWarning]


PROGRAM = """
import asyncio, resource, sys, fsspec

async def main(webdav, api, token, size):
    fs = fsspec.filesystem(
        "dcache", webdav=webdav, api=api or False, token_file=token, asynchronous=True
    )
    await fs._pipe_file("/warm", b"x" * (6 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = bytes(1 << 20)
    async with await fs.open_async("/f", "wb") as file:
        for _ in range(size >> 20):
            await file.write(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await fs._close()

asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
"""


def test_memory_does_not_grow_with_the_file(
    make_door: Callable[..., Door], token_file: Any
) -> None:
    door = make_door(storage="sink", md5=False)
    size = 100 << 20
    argv = [sys.executable, "-c", PROGRAM, door.webdav, f"{door.rest}/api/v1", str(token_file)]
    done = subprocess.run([*argv, str(size)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert door.entry("/f").size == size
    assert int(done.stdout) < 48 * 1024, f"{done.stdout} kB more for a file of 100 MB"
