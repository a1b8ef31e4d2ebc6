"""Copies of catalogs where access, files or servers fail: told in words, the rest is there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsdat.catalog import copy_catalog
from rsdat.catalog.copying import CopyReport
from rsdat.errors import DataError
from tests.catalog.test_copying import a_source, everything, items_of, reasons
from tests.storage.secrets import Person, macaroon, person
from tests.storage.transfer_ends import Ends, ends, short_clock

__all__ = ["ends", "person", "short_clock"]


@pytest.fixture
def source(tmp_path: Path, ends: Ends) -> str:
    """A catalog of three items with two files each, at the door."""
    here = a_source(tmp_path / "source").parent
    for file in here.rglob("*"):
        if file.is_file():
            ends.write(f"{ends.url('https', 'source')}/{file.relative_to(here)}", file.read_bytes())
    return ends.url("dcache", "source")


def hints(report: CopyReport) -> str:
    return "\n".join(str(one.hint) for one in report.failed)


def failures(report: CopyReport) -> set[tuple[str, str | None]]:
    return {(one.item, one.asset) for one in report.failed}


def once_copied(files: int, action: Callable[[], object]) -> Callable[[Any], None]:
    """A progress that does something when some files are done."""
    left = [action]

    def progress(now: Any) -> None:
        if now.files >= files and left:
            left.pop()()

    return progress


def test_a_token_that_is_refused_is_told_and_nothing_is_written(source: str, ends: Ends) -> None:
    (ends.home / "token").write_text("unknown-token")
    target = ends.url("local", "t")
    with pytest.raises(PermissionError) as caught:
        copy_catalog(ends.url("https", "source") + "/catalog.json", target)
    assert isinstance(caught.value, DataError)
    assert "unknown-token" not in str(caught.value)
    assert caught.value.hint
    assert not Path(target).exists()


def test_a_token_that_ends_in_the_middle_fails_the_rest_which_a_new_one_brings(
    source: str, ends: Ends
) -> None:
    old, target = ends.door.token, ends.url("local", "t")

    def forget() -> None:
        ends.door.forget(old)

    report = copy_catalog(source, target, concurrency=1, progress=once_copied(3, forget))
    assert len(report.copied) == 3
    assert len(report.failed) == 3
    assert old not in f"{reasons(report)}{hints(report)}"
    # What failed leads to its source meanwhile.
    assert set(items_of(target)) == {"i0", "i1", "i2"}
    ends.door.allow("renewed")
    (ends.home / "token").write_text("renewed")
    again = copy_catalog(source, target)
    assert (len(again.copied), len(again.skipped), again.failed) == (3, 3, ())


def test_a_file_that_vanishes_between_list_and_read(source: str, ends: Ends) -> None:
    target = ends.url("local", "t")

    def vanish() -> None:
        for key in ("red", "nir"):
            ends.door.remove(f"/d/source/c/i2/{key}.tif")

    report = copy_catalog(source, target, concurrency=1, progress=once_copied(1, vanish))
    assert failures(report) == {("i2", "red"), ("i2", "nir")}
    assert "does not exist" in reasons(report)
    assert len(report.copied) == 4
    assert not [name for name in everything(target) if "i2/" in name and ".tif" in name]


@pytest.mark.parametrize("dry_run", [True, False])
def test_files_on_tape_and_lost_ones_are_named_with_what_to_do(
    source: str, ends: Ends, dry_run: bool
) -> None:
    ends.door.to_tape("/d/source/c/i1/red.tif")
    ends.door.to_tape("/d/source/c/i2/nir.tif")
    ends.door.entry("/d/source/c/i2/nir.tif").trouble = "LOST"
    report = copy_catalog(source, ends.url("local", "t"), dry_run=dry_run)
    assert failures(report) == {("i1", "red"), ("i2", "nir")}
    assert "NEARLINE" in reasons(report)
    assert "LOST" in reasons(report)
    assert "rsdat data stage" in hints(report)
    assert len(report.copied) == 4


def test_a_door_that_nobody_knows_or_whose_certificate_is_wrong(
    source: str, ends: Ends, person: Person, free_port: int
) -> None:
    target = ends.url("local", "t")
    with pytest.raises(DataError) as caught:
        copy_catalog(f"https://127.0.0.1:{free_port}/d/source/catalog.json", target)
    assert f":{free_port}" in caught.value.message
    person.credentials(**{host: {"token_file": "~/token"} for host in ends.entries})
    with pytest.raises(DataError, match="certificate"):
        copy_catalog(ends.url("https", "source") + "/catalog.json", target)
    assert not Path(target).exists()


def test_a_target_that_cannot_be_read_keeps_what_it_holds(source: str, ends: Ends) -> None:
    target = ends.url("dcache", "t")
    copy_catalog(source, target, ids=["i0", "i1"])
    before = ends.door.read("/d/t/c/collection.json")
    ends.door.deny("/d/t/c/i0/i0.json", "DOWNLOAD")
    with pytest.raises(DataError, match=r"i0\.json"):
        copy_catalog(source, target, ids=["i2"])
    assert ends.door.read("/d/t/c/collection.json") == before
    ends.door.deny("/d/t/c/i0/i0.json", "DELETE")
    assert len(copy_catalog(source, target, ids=["i2"]).copied) == 2
    links = json.loads(ends.door.read("/d/t/c/collection.json"))["links"]
    assert [one["href"] for one in links if one["rel"] == "item"] == [
        f"./i{number}/i{number}.json" for number in range(3)
    ]


def test_a_token_that_has_expired_is_told_with_its_end(source: str, ends: Ends) -> None:
    (ends.home / "token").write_text(macaroon("before:2026-01-02T03:04:05Z"))
    with pytest.raises(PermissionError) as caught:
        copy_catalog(source, ends.url("local", "t"))
    assert "expired" in str(caught.value)
    assert "2026-01-02" in str(caught.value)


def test_a_cycle_is_told_and_the_rest_is_copied(tmp_path: Path) -> None:
    place = a_source(tmp_path / "source")
    home = place.parent / "c" / "collection.json"
    content = json.loads(home.read_text())
    content["links"].append({"rel": "child", "href": "../catalog.json"})
    home.write_text(json.dumps(content))
    report = copy_catalog(place, tmp_path / "t")
    assert "a cycle" in reasons(report)
    assert "remove that link" in hints(report)
    assert (len(report.copied), set(items_of(str(tmp_path / "t")))) == (6, {"i0", "i1", "i2"})


@pytest.mark.parametrize("scheme", ["dcache", "https"])
@pytest.mark.parametrize("name", ["catalog.json", "c/collection.json", "c/i1/item.json"])
def test_connections_that_break_while_the_source_is_read(
    source: str, ends: Ends, scheme: str, name: str
) -> None:
    ends.door.fault("reset", f"/d/source/{name}", verb="GET", times=2)
    report = copy_catalog(f"{ends.url(scheme, 'source')}/catalog.json", ends.url("local", "t"))
    assert (len(report.copied), report.failed) == (6, ())


def gone_for_a_moment(ends: Ends, files: int) -> tuple[Callable[[Any], None], list[Any]]:
    """A network that goes when some files are done, and comes back a little later."""
    back: list[threading.Timer] = []

    def go() -> None:
        ends.door.disconnect()
        back.append(threading.Timer(0.3, ends.door.reconnect))
        back[0].start()

    return once_copied(files, go), back


def test_a_network_that_is_gone_while_the_target_is_written(tmp_path: Path, ends: Ends) -> None:
    place, target = a_source(tmp_path / "source"), ends.url("dcache", "t")
    progress, back = gone_for_a_moment(ends, 6)
    report = copy_catalog(place, target, progress=progress)
    back[0].join()
    assert (len(report.copied), report.failed) == (6, ())
    assert set(items_of(target)) == {"i0", "i1", "i2"}
    assert ends.hidden() == []


def test_a_network_that_is_gone_while_workers_copy(tmp_path: Path, ends: Ends) -> None:
    from distributed import Client

    place, target = a_source(tmp_path / "source"), ends.url("dcache", "t")
    progress, back = gone_for_a_moment(ends, 1)
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as client:
        report = copy_catalog(place, target, client=client, progress=progress)
    back[0].join()
    assert (len(report.copied) + len(report.skipped), report.failed) == (6, ())
    assert set(items_of(target)) == {"i0", "i1", "i2"}
