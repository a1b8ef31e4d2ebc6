"""How many requests things take, and how a network that is gone for a while is bridged."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import sync

from rsdat.storage.dcache import reading
from tests.dcache.door import Door

DATA = random.Random(7).randbytes(1 << 20)


def count(door: Door) -> Counter[tuple[str, str]]:
    return Counter((r.origin, r.method) for r in door.requests())


def test_ranges_of_a_file_ask_the_door_once(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    door.put("/f", DATA)
    fs = make_fs(door)
    starts = list(range(0, len(DATA), 100_000))
    door.clear_log()
    found = fs.cat_ranges(["/f"] * len(starts), starts, [s + 10 for s in starts], max_gap=0)
    assert found == [DATA[s : s + 10] for s in starts]
    assert count(door) == {("webdav", "GET"): 1, ("pool", "GET"): len(starts)}
    assert all(not r.authorized for r in door.requests("pool"))


def test_an_address_that_ended_is_asked_for_again(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(lasting_addresses=True)
    door.put("/f", DATA)
    fs = make_fs(door)
    assert fs.cat_file("/f", 0, 5) == DATA[:5]
    door.call(door.state.transfers.clear)
    door.clear_log()
    assert fs.cat_file("/f", 5, 10) == DATA[5:10]
    assert fs.cat_file("/f", 10, 15) == DATA[10:15]
    assert count(door) == {("webdav", "GET"): 1, ("pool", "GET"): 3}


def test_addresses_of_one_use_are_soon_left_alone(make_fs: Callable[..., Any], door: Door) -> None:
    door.put("/f", DATA)
    fs = make_fs(door)
    door.clear_log()
    for n in range(10):
        assert fs.cat_file("/f", n, n + 5) == DATA[n : n + 5]
    refused = [r for r in door.requests("pool") if r.status == 404]
    assert len(refused) == reading.REFUSALS


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
    door = make_door(latency=0.005)
    fs = make_fs(door, concurrency=6)
    fs.pipe({f"/d/{n}": b"x" for n in range(40)})
    fs.cat([f"/d/{n}" for n in range(40)])
    fs.rm("/d", recursive=True)
    assert 2 <= door.most_active <= 6


@pytest.mark.parametrize("work", ["get", "put", "ls"])
def test_a_network_that_is_gone_for_a_while(
    make_fs: Callable[..., Any], door: Door, tmp_path: Path, work: str
) -> None:
    fs = make_fs(door, pause=0.05, retries=8)
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
    thread.join(30)
    assert failures == []
    if work == "get":
        assert (tmp_path / "got").read_bytes() == DATA
    if work == "put":
        assert door.read("/d/put") == DATA
