"""Tape: localities, staging in bulk, and reading what is not on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fsspec.callbacks import Callback

from rsdat.storage.dcache import errors, reading, tape
from tests.dcache.door import Door
from tests.storage.waiting import LONG


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TAPE_PATIENCE", 0.05)
    monkeypatch.setattr(tape, "FIRST_LOOK", 0.01)
    monkeypatch.setattr(tape, "LAST_LOOK", 0.02)


@pytest.fixture
def archive(door: Door) -> Door:
    for n in range(5):
        door.put(f"/a/{n}", b"%d" % n)
        if n < 3:
            door.to_tape(f"/a/{n}", on_disk=n == 2)
    return door


def test_localities(fs: Any, archive: Door) -> None:
    assert fs.locality([f"/a/{n}" for n in range(4)] + ["/a"]) == {
        "/a/0": "NEARLINE",
        "/a/1": "NEARLINE",
        "/a/2": "ONLINE_AND_NEARLINE",
        "/a/3": "ONLINE",
        "/a": "NONE",
    }
    assert fs.locality("/a/0") == "NEARLINE"
    with pytest.raises(FileNotFoundError):
        fs.locality(["/a/0", "/nix"])


def test_reading_a_nearline_file_says_what_to_do(fs: Any, archive: Door, tmp_path: Any) -> None:
    reads = [
        lambda: fs.cat("/a/0"),
        lambda: fs.open("/a/0"),
        lambda: fs.cat_file("/a/0", 0, 1),
        lambda: fs.get_file("/a/0", str(tmp_path / "f")),
    ]
    if fs.namespace.has_rest:  # else the door copies by itself
        reads.append(lambda: fs.cp("/a/0", "/a/copy"))
    for read in reads:
        with pytest.raises(errors.Nearline, match="on tape only") as caught:
            read()
        assert "rsdat data stage dcache://" in str(caught.value.hint)
        assert str(caught.value.hint).rstrip("`").endswith("/a/0")
    assert fs.cat("/a/2") == b"2"
    assert not fs.exists("/a/copy")


def test_lost_files_are_said_to_be_lost(fs: Any, archive: Door) -> None:
    archive.entry("/a/4").trouble = "LOST"
    with pytest.raises(errors.Lost, match="LOST"):
        fs.cat("/a/4")


def test_staging_waits_and_reports(rest_fs: Any, archive: Door) -> None:
    staging = rest_fs.stage(["/a/0", "/a/1", "/a/3"], timedelta(hours=2))
    assert not staging.over
    assert [file.path for file in staging.files] == ["/a/0", "/a/1", "/a/3"]
    seen = []

    class Progress(Callback):
        def absolute_update(self, value: int) -> None:
            seen.append(value)
            archive.advance(1000)

    done = rest_fs.staging(staging, wait=True, limit=LONG, callback=Progress())
    assert done.over
    assert not done.failed
    assert (seen[0], seen[-1]) == (1, 3)
    assert rest_fs.cat("/a/0") == b"0"
    rest_fs.release(done)
    assert archive.entry("/a/0").pins == set()


def test_staging_that_fails_names_the_file(rest_fs: Any, archive: Door) -> None:
    archive.entry("/a/1").trouble = "LOST"
    archive.call(lambda: setattr(archive.state.tape, "delay", 0.0))
    with pytest.raises(errors.StagingFailed, match="1 of 2 files were not staged; /a/1"):
        rest_fs.stage(["/a/0", "/a/1"], wait=True, limit=LONG)


def test_staging_that_takes_too_long_goes_on(rest_fs: Any, archive: Door) -> None:
    with pytest.raises(errors.StagingFailed, match="still on their way"):
        rest_fs.stage(["/a/0"], wait=True, limit=0.05)


def test_many_files_are_few_requests(
    rest_fs: Any, archive: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "MOST_FILES", 2)
    archive.clear_log()
    staging = rest_fs.stage([f"/a/{n}" for n in range(5)])
    assert len(staging.ids) == 3
    assert len([r for r in archive.requests("frontend", "POST") if "stage" in r.path]) == 3
    rest_fs.cancel(staging)


def test_staging_needs_the_interface(make_fs: Callable[..., Any], archive: Door) -> None:
    with pytest.raises(errors.Unsupported, match="no REST interface"):
        make_fs(archive, rest=False).stage(["/a/0"])


def test_a_reader_in_a_coroutine_is_not_held_by_the_tape(
    make_fs: Callable[..., Any], archive: Door
) -> None:
    async def read() -> list[Any]:
        fs = make_fs(archive, asynchronous=True)
        found = await asyncio.gather(
            *(fs._cat_file(f"/a/{n}") for n in range(5)), return_exceptions=True
        )
        await fs._close()
        return found

    found = asyncio.run(read())
    assert [type(one) for one in found[:2]] == [errors.Nearline] * 2
    assert found[2:] == [b"2", b"3", b"4"]


def test_more_readers_than_turns_are_all_answered(
    make_fs: Callable[..., Any], archive: Door
) -> None:
    """Each asks for the locality while its own download holds a turn."""
    fs = make_fs(archive, concurrency=1)
    found = fs.cat([f"/a/{n}" for n in range(5)], on_error="return")
    assert [type(found[f"/a/{n}"]) for n in range(2)] == [errors.Nearline] * 2
    assert found["/a/3"] == b"3"
