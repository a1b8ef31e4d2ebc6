"""Questions about many names of a directory: a listing in their place, and how long it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rsdat.storage.dcache import namespace, recent
from rsdat.storage.dcache.errors import Denied
from rsdat.storage.dcache.recent import MANY, TOGETHER, Recent
from tests.dcache.door import Door

NAMES = [f"/d/{number:03}" for number in range(200)]
# Before the pauses between questions are known to be short, and the first has none.
ASKED = MANY + 1


class Clock:
    """Stands still unless it is told to go on."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(door: Door) -> Door:
    for name in NAMES:
        door.put(name, name.encode())
    door.mkdir("/d/below")
    return door


@pytest.fixture
def fs(files: Door, make_fs: Callable[..., Any], clock: Clock) -> Any:
    made = make_fs(files)
    made.recent = Recent(made.namespace, 1.0, clock)
    made.exists("/")
    files.clear_log()
    return made


def listings(door: Door) -> int:
    return sum("children" in request.query for request in door.requests())


def listed(fs: Any, door: Door) -> None:
    """Ask until the directory has been listed, and answers come from there."""
    for name in NAMES[: ASKED + 1]:
        fs.info(name)
    assert listings(door) == 1
    door.clear_log()
    fs.info(NAMES[-1])
    assert door.requests() == []


def test_a_loop_of_questions_is_one_listing(fs: Any, files: Door) -> None:
    found = [fs.info(name) for name in [*NAMES, "/d/below"]]
    assert len(files.requests()) == ASKED + 1
    assert found == [fs.info(name, refresh=True) for name in [*NAMES, "/d/below"]]


def test_questions_at_one_time_are_one_listing(fs: Any, files: Door) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(fs._info(name) for name in NAMES))

    found = asyncio.run_coroutine_threadsafe(ask(), fs.loop).result()
    assert [(one["name"], one["size"]) for one in found] == [(name, len(name)) for name in NAMES]
    assert len(files.requests()) == TOGETHER + 1
    assert listings(files) == 1


def test_few_questions_are_asked_one_by_one(fs: Any, files: Door) -> None:
    for name in NAMES[:ASKED]:
        fs.info(name)
    assert listings(files) == 0


def test_questions_far_apart_are_asked_one_by_one(fs: Any, files: Door, clock: Clock) -> None:
    for name in NAMES[:50]:
        fs.info(name)
        clock.seconds += 0.2
        files.clear_log() if name == NAMES[0] else None
    assert len(files.requests()) == 49
    assert listings(files) == 0


def test_what_others_change_is_seen_after_a_second(fs: Any, files: Door, clock: Clock) -> None:
    listed(fs, files)
    files.put(NAMES[0], b"another content")
    files.remove(NAMES[1])
    assert fs.info(NAMES[0])["size"] == len(NAMES[0])
    clock.seconds += 1.0
    assert fs.info(NAMES[0])["size"] == len(b"another content")
    with pytest.raises(FileNotFoundError):
        fs.info(NAMES[1])


def test_what_depends_on_it_is_never_remembered(fs: Any, files: Door, tmp_path: Path) -> None:
    listed(fs, files)
    before = {name: (fs.ukey(name), fs.modified(name)) for name in NAMES[:1]}
    files.advance(10)
    files.put(NAMES[0], b"another content")
    files.remove(NAMES[1])
    files.put("/d/new", b"new")
    # Still the moment of the listing.
    assert fs.info(NAMES[1])["name"] == NAMES[1]
    assert fs.info("/d/new")["size"] == 3
    assert fs.exists("/d/new")
    assert not fs.exists(NAMES[1])
    assert not fs.isfile(NAMES[1])
    with fs.open(NAMES[0], "rb") as stream:
        assert stream.read() == b"another content"
    assert fs.tail(NAMES[0], 7) == b"content"
    assert fs.cat_file(NAMES[0], start=-7) == b"content"
    fs.get_file(NAMES[0], str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"another content"
    assert before[NAMES[0]] != (fs.ukey(NAMES[0]), fs.modified(NAMES[0]))
    with pytest.raises(FileNotFoundError):
        fs.open(NAMES[1], "rb")


CHANGES: dict[str, Callable[[Any, Path], Any]] = {
    "pipe": lambda fs, _: fs.pipe_file(NAMES[0], b"new"),
    "put": lambda fs, local: fs.put_file(str(local), NAMES[0]),
    "open": lambda fs, _: write(fs),
    "cp": lambda fs, _: fs.cp_file(NAMES[1], NAMES[0]),
    "mv": lambda fs, _: fs.mv(NAMES[1], NAMES[0]),
    "rm": lambda fs, _: fs.rm(NAMES[0]),
    "rm_file": lambda fs, _: fs.rm_file(NAMES[0]),
    "rm -r": lambda fs, _: fs.rm("/d", recursive=True),
    "mkdir": lambda fs, _: fs.mkdir("/d/made"),
    "rmdir": lambda fs, _: fs.rmdir("/d/below"),
    "touch": lambda fs, _: fs.touch(NAMES[0]),
    "stage": lambda fs, _: fs.stage(NAMES[0], timedelta(days=1), wait=True),
    "release": lambda fs, _: fs.release(NAMES[0]),
    "label": lambda fs, _: fs.add_label(NAMES[0], "gold"),
}


def write(fs: Any) -> None:
    with fs.open(NAMES[0], "wb") as stream:
        stream.write(b"new")


@pytest.mark.parametrize("change", CHANGES)
def test_own_changes_end_it_at_once(fs: Any, files: Door, tmp_path: Path, change: str) -> None:
    listed(fs, files)
    (tmp_path / "local").write_bytes(b"new")
    CHANGES[change](fs, tmp_path / "local")
    files.clear_log()
    try:
        now = fs.info(NAMES[0])
    except FileNotFoundError:
        assert change.startswith("rm")
    else:
        assert now == fs.info(NAMES[0], refresh=True)
    assert files.requests("frontend", "GET")[0].path == NAMES[0]


def test_a_change_that_fails_ends_it_too(fs: Any, files: Door) -> None:
    listed(fs, files)
    files.deny("/d", "UPLOAD")
    with pytest.raises(PermissionError):
        fs.pipe_file(NAMES[0], b"new")
    files.clear_log()
    fs.info(NAMES[0])
    assert len(files.requests()) == 1


def test_it_can_be_switched_off(files: Door, make_fs: Callable[..., Any]) -> None:
    fs = make_fs(files, recent=0)
    fs.exists("/")
    files.clear_log()
    for name in NAMES[:40]:
        fs.info(name)
    assert len(files.requests()) == 40
    assert listings(files) == 0


def test_without_rest_nothing_is_listed_unasked(files: Door, make_fs: Callable[..., Any]) -> None:
    fs = make_fs(files, rest=False)
    files.clear_log()
    for name in NAMES[:40]:
        fs.info(name)
    assert {request.headers["depth"] for request in files.requests()} == {"0"}


def test_other_facts_than_the_usual_are_asked_for(fs: Any, files: Door) -> None:
    listed(fs, files)
    assert fs.info(NAMES[0], checksum=True)["checksums"]
    assert "locality" not in fs.info(NAMES[0], locality=False)


def test_a_link_is_asked_for(fs: Any, files: Door) -> None:
    files.link("/d/link", NAMES[0])
    listed(fs, files)
    assert fs.info("/d/link") == fs.info("/d/link", refresh=True)
    assert len(files.requests()) == 2


def test_who_may_not_list_may_still_ask(fs: Any, files: Door) -> None:
    files.deny("/d", "LIST")
    assert [fs.info(name)["size"] for name in NAMES] == [len(name) for name in NAMES]
    assert listings(files) == 1


def test_a_long_directory_is_listed_in_part_and_once(
    fs: Any, files: Door, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "PAGE", 50)
    for _ in range(3):
        assert [fs.info(name)["size"] for name in NAMES] == [len(name) for name in NAMES]
        clock.seconds += 1.0
    assert listings(files) == 1
    clock.seconds += recent.LEFT_ALONE
    for name in NAMES[: ASKED + 1]:
        fs.info(name)
    assert listings(files) == 2


class Scripted:
    """A namespace whose listings wait until they are let go."""

    has_rest = True

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock = clock
        self.takes = takes
        self.size = 1
        self.listings = 0
        self.asked = 0
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def info(self, path: str, flags: tuple[str, ...]) -> dict[str, Any]:
        self.asked += 1
        return {"name": path, "type": "file", "size": self.size}

    async def page(self, path: str, flags: tuple[str, ...]) -> tuple[list[dict[str, Any]], bool]:
        self.listings += 1
        shown = [{"name": name, "type": "file", "size": self.size} for name in NAMES]
        self.begun.set()
        await self.let_go.wait()
        self.clock.seconds += self.takes
        return shown, True


def make(scripted: Scripted, clock: Clock) -> Recent:
    door: Any = scripted
    return Recent(door, 1.0, clock)


def test_a_listing_from_before_a_change_answers_nothing_after_it(clock: Clock) -> None:
    async def run() -> None:
        door = Scripted(clock)
        known = make(door, clock)
        door.let_go.clear()
        for name in NAMES[:ASKED]:
            await known.info(name)
        early = asyncio.ensure_future(known.info(NAMES[0]))
        await door.begun.wait()
        door.size = 2
        known.forget(NAMES[0])
        door.let_go.set()
        assert (await known.info(NAMES[0]))["size"] == 2
        # Its question came before the change ended: either answer is right.
        assert (await early)["size"] == 1
        assert (await known.info(NAMES[0]))["size"] == 2

    asyncio.run(run())


def test_a_slow_listing_is_not_repeated(clock: Clock) -> None:
    async def run() -> None:
        door = Scripted(clock, takes=2.0)
        known = make(door, clock)
        for name in NAMES:
            await known.info(name)
        assert door.listings == 1

    asyncio.run(run())


def test_a_cancelled_question_leaves_the_listing_to_others(clock: Clock) -> None:
    async def run() -> None:
        door = Scripted(clock)
        known = make(door, clock)
        door.let_go.clear()
        for name in NAMES[:ASKED]:
            await known.info(name)
        first, second = (asyncio.ensure_future(known.info(name)) for name in NAMES[:2])
        await door.begun.wait()
        first.cancel()
        door.let_go.set()
        assert (await second)["name"] == NAMES[1]
        assert (first.cancelled(), door.listings, door.asked) == (True, 1, ASKED)

    asyncio.run(run())


def test_a_listing_that_fails_is_asked_around(clock: Clock) -> None:
    class Refusing(Scripted):
        async def page(self, path: str, flags: tuple[str, ...]) -> Any:
            self.listings += 1
            raise Denied("no", hint="ask", path=path)

    async def run() -> None:
        door = Refusing(clock)
        known = make(door, clock)
        assert [(await known.info(name))["name"] for name in NAMES] == NAMES
        assert (door.listings, door.asked) == (1, len(NAMES))

    asyncio.run(run())


def test_memory_is_bounded(clock: Clock) -> None:
    async def run() -> None:
        door = Scripted(clock)
        known = make(door, clock)
        for number in range(3 * recent.DIRECTORIES):
            await known.info(f"/{number}/f")
        (kept,) = known._loops.values()
        assert len(kept) == recent.DIRECTORIES
        for directory in ("/d", "/e"):
            for number in range(ASKED + 1):
                await known.info(f"{directory}/{number:03}")
            clock.seconds += 5
        assert kept["/d"].shown == {}

    asyncio.run(run())
