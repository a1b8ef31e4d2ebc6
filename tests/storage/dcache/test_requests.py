"""How many requests things take, and how a network that is gone for a while is bridged."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.asyn import sync

from rsdat.storage.dcache import known, ranges
from tests.dcache.door import Door
from tests.storage.waiting import LONG

DATA = random.Random(7).randbytes(1 << 20)


class Clock:
    """Goes on by a moment at every look: addresses are as fresh on a busy machine."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "time", Clock())


def count(door: Door) -> Counter[tuple[str, str]]:
    return Counter((r.origin, r.method) for r in door.requests())


def spread(count: int, length: int = 10) -> tuple[list[str], list[int], list[int]]:
    """Ranges of /f that do not touch, as cat_ranges takes them."""
    starts = [n * (len(DATA) // count) for n in range(count)]
    return ["/f"] * count, starts, [start + length for start in starts]


def read_spread(fs: Any, count: int, **options: Any) -> None:
    paths, starts, stops = spread(count)
    found = fs.cat_ranges(paths, starts, stops, max_gap=0, **options)
    assert found == [DATA[a:b] for a, b in zip(starts, stops, strict=True)]


def test_ranges_of_a_file_share_few_requests(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    for path in ("/e", "/f"):
        door.put(path, DATA)
    fs = make_fs(door)
    # A door whose addresses are known to last is asked once.
    assert [fs.cat_file("/e", n, n + 5) for n in range(2)] == [DATA[0:5], DATA[1:6]]
    door.clear_log()
    read_spread(fs, 100)
    assert count(door) == {("webdav", "GET"): 1, ("pool", "GET"): ranges.STREAMS}
    assert all(not r.authorized for r in door.requests("pool"))


def test_ranges_wait_for_nobody_until_addresses_are_known_to_last(
    make_fs: Callable[..., Any], door: Door
) -> None:
    door.put("/f", DATA)
    fs = make_fs(door)
    for _ in range(3):
        read_spread(fs, 100)
    # Once it was tried whether an address lasts: by one request, not by all that read.
    assert [r.status for r in door.requests("pool")].count(404) == 1
    assert count(door)["webdav", "GET"] == 3 * ranges.STREAMS


def test_readers_at_one_time_ask_for_one_address(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    door.put("/f", DATA)
    fs = make_fs(door)
    for n in range(2):
        fs.cat_file("/f", n, n + 1)
    door.call(door.state.transfers.clear)
    door.clear_log()

    async def read() -> list[bytes]:
        return await asyncio.gather(*(fs._cat_file("/f", n, n + 9) for n in range(20)))

    assert sync(fs.loop, read) == [DATA[n : n + 9] for n in range(20)]
    # All of them were refused, and wait for the one that asks the door.
    assert count(door) == {("webdav", "GET"): 1, ("pool", "GET"): 40}


def test_an_address_that_ended_is_asked_for_again(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    door.put("/f", DATA)
    fs = make_fs(door)
    assert [fs.cat_file("/f", n, n + 5) for n in range(2)] == [DATA[:5], DATA[1:6]]
    door.call(door.state.transfers.clear)
    door.clear_log()
    assert fs.cat_file("/f", 5, 10) == DATA[5:10]
    assert fs.cat_file("/f", 10, 15) == DATA[10:15]
    assert count(door) == {("webdav", "GET"): 1, ("pool", "GET"): 3}


def test_addresses_of_one_use_are_left_alone(make_fs: Callable[..., Any], door: Door) -> None:
    door.put("/f", DATA)
    fs = make_fs(door)
    door.clear_log()
    for n in range(10):
        assert fs.cat_file("/f", n, n + 5) == DATA[n : n + 5]
    refused = [r for r in door.requests("pool") if r.status == 404]
    assert len(refused) == 1


def test_a_written_file_is_not_read_from_its_old_pool(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    fs = make_fs(door)
    fs.pipe_file("/f", b"old")
    assert fs.cat("/f") == b"old"
    fs.pipe_file("/f", b"new")
    assert fs.cat("/f") == b"new"
    fs.pipe_file("/g", b"moved here")
    assert fs.cat("/g") == b"moved here"
    fs.mv("/f", "/g")
    assert fs.cat("/g") == b"new"


def test_what_is_missing_is_asked_for_once(fs: Any, door: Door) -> None:
    door.clear_log()
    with pytest.raises(FileNotFoundError):
        fs.cat_file("/missing")
    assert count(door) == {("webdav", "GET"): 1}


def test_a_filesystem_beside_another_knows_what_that_has_found(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(announce=True, lasting_addresses=True)
    door.put("/f", DATA)
    first, second = (make_fs(door, api=None) for _ in range(2))
    assert [first.cat_file("/f", n, n + 1) for n in range(2)] == [DATA[:1], DATA[1:2]]
    assert first.door.api is not None
    door.clear_log()
    assert second.cat_file("/f", 2, 3) == DATA[2:3]
    assert second.door == first.door
    assert count(door) == {("pool", "GET"): 1}
    second.pipe_file("/f", b"new")
    assert first.cat_file("/f") == b"new"


def test_a_filesystem_of_another_credential_knows_nothing_of_it(
    make_fs: Callable[..., Any], make_door: Callable[..., Door], tmp_path: Path
) -> None:
    door = make_door(lasting_addresses=True)
    door.put("/f", DATA)
    fs = make_fs(door)
    for n in range(2):
        fs.cat_file("/f", n, n + 1)
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("of somebody else")
    with pytest.raises(PermissionError):
        make_fs(door, token_file=str(wrong)).cat_file("/f", 2, 3)


def test_an_array_is_read_with_the_requests_that_its_files_take(
    make_door: Callable[..., Door], token_file: Path
) -> None:
    import numpy as np
    import zarr

    door = make_door(announce=True)
    fs = fsspec.filesystem("dcache", webdav=door.webdav, token_file=str(token_file))
    values = np.arange(100.0).reshape(10, 10)
    zarr.create_array(fs.get_mapper("/z"), data=values, chunks=(5, 5))
    door.clear_log()
    back = zarr.open_array(fs.get_mapper("/z"), mode="r", zarr_format=3)[...]
    assert np.array_equal(back, values)
    # Metadata and four chunks.
    assert count(door) == {("webdav", "GET"): 5, ("pool", "GET"): 5}


def test_requests_of_common_work(rest_fs: Any, door: Door) -> None:
    expected = {
        "pipe": (lambda: rest_fs.pipe_file("/f", b"x"), {("webdav", "PUT"): 1}),
        "info": (lambda: rest_fs.info("/f"), {("frontend", "GET"): 1}),
        "ls": (lambda: rest_fs.ls("/"), {("frontend", "GET"): 1}),
        "exists": (lambda: rest_fs.exists("/f"), {("frontend", "GET"): 1}),
        "cat": (lambda: rest_fs.cat_file("/f"), {("webdav", "GET"): 1, ("pool", "GET"): 1}),
        "rm_file": (lambda: rest_fs.rm_file("/f"), {("frontend", "DELETE"): 1}),
        "mkdir": (lambda: rest_fs.mkdir("/d"), {("webdav", "MKCOL"): 1}),
        "stream": (
            lambda: rest_fs.pipe_file("/d/big", DATA),
            {("webdav", "PUT"): 1, ("pool", "PUT"): 1},
        ),
        "mv": (
            lambda: sync(rest_fs.loop, rest_fs._mv_file, "/d/big", "/d/b"),
            {("webdav", "MOVE"): 1},
        ),
    }
    for name, (work, requests) in expected.items():
        door.clear_log()
        work()
        assert count(door) == requests, name


def test_uploads_into_a_missing_directory_make_it_once(rest_fs: Any, door: Door) -> None:
    door.clear_log()
    rest_fs.pipe({f"/new/deep/{n}": b"x" for n in range(40)})
    assert len(door.paths("/new/deep")) == 40
    # /new/deep (its parent is missing), /new, /new/deep
    assert count(door)["webdav", "MKCOL"] == 3


def test_no_more_requests_at_one_time_than_allowed(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door()
    # Nobody is answered before six ask.
    door.fault("meet", "/d/*", verb="PUT", value=6, times=None)
    fs = make_fs(door, concurrency=6)
    fs.pipe({f"/d/{n}": b"x" for n in range(40)})
    fs.cat([f"/d/{n}" for n in range(40)])
    fs.rm("/d", recursive=True)
    assert door.most_active == 6


@pytest.mark.parametrize("work", ["get", "put", "ls"])
def test_a_network_that_is_gone_for_a_while(
    make_fs: Callable[..., Any], door: Door, tmp_path: Path, work: str
) -> None:
    fs = make_fs(door, pause=0.05, retries=10)
    door.put("/d/f", DATA)
    (tmp_path / "source").write_bytes(DATA)
    works = {
        "get": lambda: fs.get_file("/d/f", str(tmp_path / "got")),
        "put": lambda: fs.put_file(str(tmp_path / "source"), "/d/put"),
        "ls": lambda: fs.ls("/d"),
    }
    fs.exists("/d/f")
    failures: list[BaseException] = []
    door.disconnect()

    def run() -> None:
        try:
            works[work]()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), failures
    door.reconnect()
    thread.join(LONG)
    assert failures == []
    assert not thread.is_alive()
    if work == "get":
        assert (tmp_path / "got").read_bytes() == DATA
    if work == "put":
        assert door.read("/d/put") == DATA
