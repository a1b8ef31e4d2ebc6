"""Uploads that end before their end: nothing is left of them, however slow the server is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.dcache.door import Door
from tests.storage.waiting import LONG, eventually, left

DATA = os.urandom(1 << 20) * 6


def files(door: Door) -> list[str]:
    return [path for path in door.paths() if not path.endswith("/")]


def failing(fs: Any, door: Door, path: str) -> None:
    """A writer that fails when a part has arrived."""
    door.clear_log()

    def write() -> None:
        with fs.open(path, "wb") as file:
            file.write(DATA)
            assert eventually(lambda: any(one.received for one in door.requests("pool")))
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        write()


@pytest.mark.parametrize(("shown", "answered"), [(1.2, 0.0), (0.5, 0.2)])
def test_what_a_server_shows_late_is_removed(
    make_fs: Callable[..., Any], door: Door, shown: float, answered: float
) -> None:
    fs = make_fs(door, rest=False)
    door.options.keeps_broken_uploads, door.options.latency = shown, answered
    failing(fs, door, "/d/f")
    assert eventually(lambda: door.state.kept > 0)
    assert files(door) == []


def test_a_file_that_is_locked_for_a_while_is_removed(
    make_fs: Callable[..., Any], door: Door
) -> None:
    fs = make_fs(door, rest=False, retries=0)
    door.options.keeps_broken_uploads = 0.0
    door.fault("status", "/d/*", origin="webdav", verb="DELETE", value=423, times=2)
    failing(fs, door, "/d/f")
    assert files(door) == []


@pytest.mark.parametrize("rest", [True, False])
def test_who_is_cancelled_twice_waits_for_the_tidying_up(
    make_fs: Callable[..., Any], door: Door, rest: bool
) -> None:
    fs = make_fs(door, rest=rest, temporary=True)
    fs.mkdir("/d")
    door.fault("slow", "/d/*", value=0.5, times=None)
    door.fault("delay", "/d/*", verb="DELETE", value=0.5)

    async def called_off() -> None:
        task = asyncio.ensure_future(fs._pipe_file("/d/f", DATA))
        await _until(lambda: any(r.received for r in door.requests("pool", "PUT")))
        # dCache itself keeps nothing.
        door.options.keeps_broken_uploads = None if rest else 0.0
        task.cancel()
        await _until(lambda: bool(door.requests(method="DELETE")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run_coroutine_threadsafe(called_off(), fs.loop).result(2 * LONG)
    assert left(lambda: files(door)) == []


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not true():
            await asyncio.sleep(0.01)


def test_a_refused_upload_is_not_waited_for(make_fs: Callable[..., Any], door: Door) -> None:
    fs = make_fs(door, rest=False)
    fs.mkdir("/d")
    door.options.quota = 1000
    door.clear_log()
    with pytest.raises(OSError, match="quota"):
        fs.pipe_file("/d/f", DATA)
    # The door has answered: nothing can appear any more.
    assert len(door.requests("webdav", "DELETE")) == 1
    assert files(door) == []
