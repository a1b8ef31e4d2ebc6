"""Copies of catalogs between real servers: complete, repeatable, merged, undisturbed by faults."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest

from rsdat.catalog import copy_catalog, open_catalog, search
from rsdat.catalog.copying import CopyReport
from rsdat.catalog.validating import validate_catalog
from rsdat.errors import ConfigError, DataError
from tests.catalog.catalogs import item, served, write, write_catalog
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import Ends, all_ends, ends, short_clock

__all__ = ["all_ends", "ends", "person", "short_clock"]

KEYS = ("red", "nir")


def content(name: str, key: str) -> bytes:
    return f"{name} {key}\n".encode() * 500


def an_item(name: str, **properties: Any) -> dict[str, Any]:
    """An item with two files of data, a thumbnail and a link to its licence."""
    assets = {
        key: {"href": f"./{key}.tif", "roles": ["data"], "type": "image/tiff"} for key in KEYS
    }
    assets["thumbnail"] = {"href": "./small.png", "roles": ["thumbnail"]}
    found = item(name, **properties)
    found["properties"].setdefault("eo:cloud_cover", 10)
    return {**found, "assets": assets}


def a_source(directory: Path, names: tuple[str, ...] = ("i0", "i1", "i2")) -> Path:
    """A catalog of items with their files; its ``catalog.json``."""
    catalog = write_catalog(directory, [an_item(name) for name in names])
    for name in names:
        for key in KEYS:
            (directory / "c" / name / f"{key}.tif").write_bytes(content(name, key))
    return catalog


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return a_source(tmp_path / "source")


@pytest.fixture
def web(source: Path) -> Iterator[str]:
    with served(source.parent) as (address, _):
        yield f"{address}/catalog.json"


def puts(ends: Ends) -> list[str]:
    """The uploads of assets that the door has completed."""
    done = [one for one in ends.door.requests(method="PUT") if one.status == 201]
    return [one.path for one in done if one.path.endswith(".tif")]


def items_of(target: str) -> dict[str, pystac.Item]:
    return {one.id: one for one in search(f"{target}/catalog.json")}


def stored(target: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(target, "c", name, f"{name}.json").read_text())
    return found


def everything(directory: str | Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in Path(directory).rglob("*")
        if file.is_file()
    }


def reasons(report: CopyReport) -> str:
    return "\n".join(one.reason for one in report.failed)


def test_from_a_web_server_to_a_door_and_again(web: str, ends: Ends) -> None:
    target = ends.url("dcache", "scenes")
    report = copy_catalog(web, target)
    assert (len(report.copied), report.skipped, report.failed) == (6, (), ())
    assert report.items == 3
    assert report.nbytes == sum(len(content(f"i{n}", key)) for n in range(3) for key in KEYS)
    for name, found in items_of(target).items():
        for key in KEYS:
            href = found.assets[key].href
            assert href == f"{target}/c/{name}/{key}.tif"
            assert ends.read(href) == content(name, key)
    assert len(puts(ends)) == 6
    ends.door.clear_log()
    again = copy_catalog(web, target)
    assert (again.copied, len(again.skipped), again.failed, again.nbytes) == ((), 6, (), 0)
    assert ends.door.requests(method="PUT") == []
    assert ends.hidden() == []


def test_from_a_door_to_this_machine(source: Path, ends: Ends) -> None:
    base = ends.url("dcache", "source")
    for file in source.parent.rglob("*"):
        if file.is_file():
            ends.write(f"{base}/{file.relative_to(source.parent)}", file.read_bytes())
    target = ends.url("local", "target")
    report = copy_catalog(base, target, assets=["red"])
    assert (len(report.copied), report.failed) == (3, ())
    assert Path(target, "c", "i1", "red.tif").read_bytes() == content("i1", "red")
    assert stored(target, "i1")["assets"]["nir"]["href"] == f"{base}/c/i1/nir.tif"


def test_from_this_machine_to_a_bucket(source: Path, all_ends: Ends) -> None:
    target = all_ends.url("s3", "scenes")
    assert len(copy_catalog(source, target).copied) == 6
    assert all_ends.read(items_of(target)["i2"].assets["nir"].href) == content("i2", "nir")
    again = copy_catalog(source, target)
    assert (again.copied, len(again.skipped)) == ((), 6)


def test_the_copy_is_a_valid_catalog_with_relative_hrefs_sizes_and_checksums(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    copy_catalog(source, target)
    asset = stored(str(target), "i0")["assets"]["red"]
    data = content("i0", "red")
    assert asset["href"] == "./red.tif"
    assert asset["file:size"] == len(data)
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert validate_catalog(str(target)).problems == []
    hrefs = [link["href"] for file in target.rglob("*.json") for link in _links(file)]
    assert hrefs
    assert all(href.startswith(".") for href in hrefs)
    os.rename(target, tmp_path / "moved")
    found = items_of(str(tmp_path / "moved"))["i0"].assets["red"].href
    assert Path(found).read_bytes() == data


def _links(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["links"]
    return found


def test_thumbnails_stay_where_they_are_and_are_led_to(source: Path, tmp_path: Path) -> None:
    copy_catalog(source, tmp_path / "target")
    href = stored(str(tmp_path / "target"), "i0")["assets"]["thumbnail"]["href"]
    assert href == str(source.parent / "c" / "i0" / "small.png")


def test_what_is_not_at_the_target_can_be_left_out(source: Path, tmp_path: Path) -> None:
    (source.parent / "c" / "i1" / "red.tif").unlink()
    report = copy_catalog(source, tmp_path / "target", assets=["red"], drop_missing=True)
    assert set(items_of(str(tmp_path / "target"))) == {"i0", "i2"}
    assert set(stored(str(tmp_path / "target"), "i0")["assets"]) == {"red"}
    assert report.items == 2
    assert "none of its assets is at the target" in reasons(report)


def test_two_collections_may_hold_one_id(source: Path, tmp_path: Path) -> None:
    features = []
    for name in ("c", "d"):
        own = f"{source.parent}/{name}/i0/x.json"
        links = [{"rel": "self", "href": own}]
        features.append({**an_item("i0"), "collection": name, "links": links})
    place = write(tmp_path / "f.json", {"type": "FeatureCollection", "features": features})
    report = copy_catalog(place, tmp_path / "target", drop_missing=True)
    assert report.items == 1
    assert {(one.collection, one.item) for one in report.copied} == {("c", "i0")}
    assert {(one.collection, one.asset) for one in report.failed} == {
        ("d", "red"), ("d", "nir"), ("d", None),
    }  # fmt: skip


def test_a_search_chooses_the_items(tmp_path: Path) -> None:
    items = [an_item(f"i{cover}", **{"eo:cloud_cover": cover}) for cover in (5, 15, 50)]
    source = write_catalog(tmp_path / "source", items)
    for cover in (5, 15, 50):
        for key in KEYS:
            (tmp_path / f"source/c/i{cover}/{key}.tif").write_bytes(b"x")
    report = copy_catalog(source, tmp_path / "target", where="eo:cloud_cover < 20", ids=["i15"])
    assert {one.item for one in report.copied} == {"i15"}
    with pytest.raises(DataError, match="eo:cloud_cover < 1"):
        copy_catalog(source, tmp_path / "other", where="eo:cloud_cover < 1")
    assert not (tmp_path / "other").exists()


def test_a_feature_collection_becomes_a_catalog(source: Path, tmp_path: Path) -> None:
    features = [an_item("a"), {**an_item("b"), "collection": None}]
    for feature in features:
        own = f"{source.parent}/c/i0/x.json"
        feature["links"] = [{"rel": "self", "href": own}, {"rel": "license", "href": "./l.txt"}]
    place = write(tmp_path / "f.json", {"type": "FeatureCollection", "features": features})
    target = tmp_path / "target"
    report = copy_catalog(place, target)
    assert (len(report.copied), report.failed) == (4, ())
    assert (target / "b" / "red.tif").read_bytes() == content("i0", "red")
    licences = [one["href"] for one in _links(target / "b/b.json") if one["rel"] == "license"]
    assert licences == [f"{source.parent}/c/i0/l.txt"]
    opened = open_catalog(target)
    assert {one.id for one in opened.get_items(recursive=True)} == {"a", "b"}
    assert validate_catalog(str(target)).problems == []


# --- what is there already


def test_other_items_of_the_target_stay_and_updated_ones_are_replaced(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    copy_catalog(source, target, ids=["i0", "i1"])
    changed = an_item("i1", platform="new")
    write(
        source.parent / "c/i1/item.json",
        {**changed, "links": _links(source.parent / "c/i1/item.json")},
    )
    (source.parent / "c/i1/nir.tif").write_bytes(b"newer")
    report = copy_catalog(source, target, ids=["i1", "i2"])
    assert {(one.item, one.asset) for one in report.copied} == {
        ("i1", "nir"), ("i2", "nir"), ("i2", "red"),
    }  # fmt: skip
    found = items_of(str(target))
    assert set(found) == {"i0", "i1", "i2"}
    assert found["i1"].properties["platform"] == "new"
    assert (target / "c/i1/nir.tif").read_bytes() == b"newer"
    assert stored(str(target), "i1")["assets"]["nir"]["file:size"] == 5


def test_what_an_earlier_copy_has_brought_stays_when_other_assets_follow(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    copy_catalog(source, target, assets=["red"])
    copy_catalog(source, target, assets=["nir"])
    assets = stored(str(target), "i0")["assets"]
    assert (assets["red"]["href"], assets["nir"]["href"]) == ("./red.tif", "./nir.tif")
    # Neither does a source that is gone take away what is there.
    (source.parent / "c/i0/red.tif").unlink()
    report = copy_catalog(source, target)
    assert len(report.failed) == 1
    assert stored(str(target), "i0")["assets"]["red"]["href"] == "./red.tif"


def test_a_second_copy_writes_nothing(source: Path, tmp_path: Path) -> None:
    copy_catalog(source, tmp_path / "target")
    before = everything(tmp_path / "target")
    copy_catalog(source, tmp_path / "target")
    assert everything(tmp_path / "target") == before


def test_a_copy_onto_itself_changes_nothing(source: Path, tmp_path: Path) -> None:
    before = everything(source.parent)
    report = copy_catalog(source, source.parent)
    assert (report.copied, len(report.skipped)) == ((), 9)
    assert everything(source.parent) == before
    linked = tmp_path / "link"
    linked.symlink_to(source.parent)
    assert copy_catalog(source, linked).copied == ()
    assert everything(source.parent) == before


def test_a_target_within_the_source_and_around_it_is_harmless(source: Path) -> None:
    before = everything(source.parent)
    assert len(copy_catalog(source, source.parent / "c" / "inner").copied) == 6
    assert {name: everything(source.parent)[name] for name in before} == before
    around = copy_catalog(source, source.parent.parent)
    assert around.copied == ()
    assert {name: everything(source.parent)[name] for name in before} == before
    assert items_of(str(source.parent.parent))["i0"].assets["red"].href == str(
        source.parent / "c/i0/red.tif"
    )


def test_a_target_that_holds_another_thing_is_left_alone(source: Path, tmp_path: Path) -> None:
    write(tmp_path / "target" / "catalog.json", {"type": "Feature"})
    with pytest.raises(DataError, match="is no STAC catalog"):
        copy_catalog(source, tmp_path / "target")
    assert len(everything(tmp_path / "target")) == 1


# --- bad input


def test_assets_with_one_file_name_do_not_overwrite_one_another(tmp_path: Path) -> None:
    found = an_item("i")
    for key in KEYS:
        found["assets"][key]["href"] = f"./{key}/data.tif"
    source = write_catalog(tmp_path / "source", [found])
    for key in KEYS:
        file = tmp_path / "source/c/i" / key / "data.tif"
        file.parent.mkdir()
        file.write_bytes(content("i", key))
    target = tmp_path / "target"
    copy_catalog(source, target, assets=["red"])
    copy_catalog(source, target)
    for key in KEYS:
        assert (target / f"c/i/data_{key}.tif").read_bytes() == content("i", key)
        assert stored(str(target), "i")["assets"][key]["href"] == f"./data_{key}.tif"


def test_broken_links_and_items_are_told_and_the_rest_is_copied(tmp_path: Path) -> None:
    names = ("i0", "i1", "i2", "i3")
    source = a_source(tmp_path / "source", names)
    (source.parent / "c/i1/item.json").unlink()
    (source.parent / "c/i2/item.json").write_text("{")
    no_place = {**an_item("i3"), "geometry": None}
    no_place.pop("bbox")
    write(source.parent / "c/i3/item.json", no_place)
    (source.parent / "c/i0/nir.tif").unlink()
    report = copy_catalog(source, tmp_path / "target")
    assert {one.item for one in report.copied} == {"i0", "i3"}
    assert len(report.failed) == 3
    assert "i1/item.json does not exist" in reasons(report)
    assert "i2/item.json is not JSON" in reasons(report)
    assert [(one.item, one.asset) for one in report.failed if one.item] == [("i0", "nir")]
    with pytest.raises(DataError, match=r"i1/item\.json does not exist"):
        copy_catalog(source, tmp_path / "other", on_error="raise")
    assert not (tmp_path / "other").exists()


def test_an_asset_that_no_item_has_is_refused_with_those_there_are(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="'blue'") as caught:
        copy_catalog(source, tmp_path / "target", assets=["red", "blue"])
    assert caught.value.hint == "its items have nir, red, thumbnail"


@pytest.mark.parametrize(
    ("target", "words"), [("https://a.org/x", "plain http"), ("here/catalog.json", "is a file")]
)
def test_targets_that_cannot_be_are_refused(source: Path, target: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        copy_catalog(source, target)


def test_a_target_that_cannot_be_written_fails_in_words(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be"):
        copy_catalog(source, tmp_path / "file" / "target")


def test_signatures_in_a_source_are_not_written(tmp_path: Path) -> None:
    found = an_item("i")
    found["assets"]["red"]["href"] = "https://a.example.org/red.tif?sv=1&sig=SECRET"
    found["assets"]["nir"]["href"] = "https://anna:SECRET@a.example.org/nir.tif?v=2"
    for key in KEYS:
        found["assets"][key]["roles"] = ["thumbnail"]
    source = write_catalog(tmp_path / "source", [found])
    copy_catalog(source, tmp_path / "target")
    assets = stored(str(tmp_path / "target"), "i")["assets"]
    assert assets["red"]["href"] == "https://a.example.org/red.tif"
    assert assets["nir"]["href"] == "https://a.example.org/nir.tif?v=2"


def test_a_file_that_is_not_what_its_item_says_is_not_named(source: Path, tmp_path: Path) -> None:
    place = source.parent / "c/i0/item.json"
    changed = json.loads(place.read_text())
    changed["assets"]["red"]["file:checksum"] = "1220" + "0" * 64
    changed["assets"]["nir"]["file:size"] = 3
    write(place, changed)
    report = copy_catalog(source, tmp_path / "target")
    assert {(one.item, one.asset) for one in report.failed} == {("i0", "red"), ("i0", "nir")}
    assert "its checksum is not what its item says" in reasons(report)
    assert "its item says 3" in reasons(report)
    assert stored(str(tmp_path / "target"), "i0")["assets"]["red"]["href"].startswith("/")


# --- faults of servers


@pytest.mark.parametrize(
    ("kind", "value"), [("status", 503), ("reset", None), ("truncate", 1000), ("corrupt", 99)]
)
def test_passing_faults_of_the_source_are_bridged(
    source: Path, ends: Ends, kind: Any, value: float | None
) -> None:
    base = ends.url("https", "source")
    for file in source.parent.rglob("*"):
        if file.is_file():
            ends.write(f"{base}/{file.relative_to(source.parent)}", file.read_bytes())
    ends.door.fault(kind, "/d/source/c/i1/red.tif", verb="GET", value=value, times=2)
    target = ends.url("local", "target")
    report = copy_catalog(f"{base}/catalog.json", target)
    assert (len(report.copied), report.failed) == (6, ())
    assert Path(target, "c/i1/red.tif").read_bytes() == content("i1", "red")


def test_an_upload_that_the_door_does_not_confirm_is_not_in_the_catalog(
    source: Path, ends: Ends
) -> None:
    target = ends.url("dcache", "t")
    ends.door.fault("corrupt", "/d/t/c/i1/red.tif", verb="PUT", value=99, times=None)
    report = copy_catalog(source, target)
    assert [(one.item, one.asset) for one in report.failed] == [("i1", "red")]
    assert len(report.copied) == 5
    assert not ends.door.exists("/d/t/c/i1/red.tif")
    href = items_of(target)["i1"].assets["red"].get_absolute_href()
    assert href == f"file://{source.parent}/c/i1/red.tif"
    ends.door.clear_faults()
    again = copy_catalog(source, target)
    assert [(one.item, one.asset) for one in again.copied] == [("i1", "red")]
    assert items_of(target)["i1"].assets["red"].href == f"{target}/c/i1/red.tif"


def test_a_quota_ends_a_copy_in_words_and_what_fits_is_not_copied_again(
    source: Path, ends: Ends
) -> None:
    target = ends.url("dcache", "t")
    ends.door.options.quota = 20_000
    with pytest.raises(DataError, match=r"the assets are copied.*no room is left in the quota"):
        copy_catalog(source, target, concurrency=1)
    there = len(puts(ends))
    assert there > 0
    assert not ends.door.exists("/d/t/catalog.json")
    ends.door.options.quota = None
    report = copy_catalog(source, target)
    assert (len(report.copied), len(report.skipped), report.failed) == (6 - there, there, ())


def test_a_door_that_allows_no_uploads_fails_every_asset_and_writes_nothing(
    source: Path, ends: Ends
) -> None:
    ends.door.deny("/d", "UPLOAD")
    with pytest.raises(DataError, match="does not allow"):
        copy_catalog(source, ends.url("dcache", "t"))
    assert not ends.door.exists("/d/t/catalog.json")


def test_a_network_that_is_gone_for_a_while_is_bridged(source: Path, ends: Ends) -> None:
    target = ends.url("dcache", "t")
    back: list[threading.Timer] = []

    def drop(progress: Any) -> None:
        if progress.files == 2 and not back:
            ends.door.disconnect()
            back.append(threading.Timer(0.3, ends.door.reconnect))
            back[0].start()

    report = copy_catalog(source, target, concurrency=2, progress=drop)
    back[0].join()
    assert (len(report.copied) + len(report.skipped), report.failed) == (6, ())
    assert ends.read(f"{target}/c/i2/nir.tif") == content("i2", "nir")


# --- interruptions


def test_an_interrupt_leaves_the_catalog_as_it_was_and_the_next_run_goes_on(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"

    def interrupt(progress: Any) -> None:
        if progress.files >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_catalog(source, target, concurrency=1, progress=interrupt)
    assert not list(target.rglob("*.json"))
    report = copy_catalog(source, target)
    assert len(report.copied) + len(report.skipped) == 6
    assert len(report.skipped) >= 1


def test_a_killed_copy_names_complete_files_only_and_is_taken_up(
    source: Path, ends: Ends, tmp_path: Path
) -> None:
    base, target = ends.url("https", "source"), tmp_path / "target"
    for file in source.parent.rglob("*"):
        if file.is_file():
            ends.write(f"{base}/{file.relative_to(source.parent)}", file.read_bytes())
    copy_catalog(f"{base}/catalog.json", target, ids=["i0"])
    program = f"""
        from rsdat import copy_catalog
        copy_catalog({f"{base}/catalog.json"!r}, {str(target)!r}, concurrency=1,
                     progress=lambda now: print(now.files, flush=True), ids=["i1", "i2"])
    """
    ends.door.fault("slow", "/d/source/c/i2/red.tif", value=60, times=None)
    ends.door.fault("slow", "/d/source/c/i2/nir.tif", value=60, times=None)
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "2":
            pass
        process.send_signal(signal.SIGKILL)
    ends.door.clear_faults()
    for found in items_of(str(target)).values():
        for key in KEYS:
            assert Path(found.assets[key].href).read_bytes() == content(found.id, key)
    report = copy_catalog(f"{base}/catalog.json", target)
    assert (len(report.skipped), len(report.copied)) == (4, 2)
    assert set(items_of(str(target))) == {"i0", "i1", "i2"}
    assert not [name for name in everything(target) if name.endswith(".part")]


# --- a look, and workers


def test_a_dry_run_says_bytes_and_files_and_writes_nothing(web: str, ends: Ends) -> None:
    target = ends.url("dcache", "t")
    copy_catalog(web, target, ids=["i0"])
    ends.door.clear_log()
    report = copy_catalog(web, target, dry_run=True)
    assert (len(report.copied), len(report.skipped), report.dry_run) == (4, 2, True)
    assert report.nbytes == sum(len(content(f"i{n}", key)) for n in (1, 2) for key in KEYS)
    assert {one.method for one in ends.door.log} <= {"GET", "HEAD", "PROPFIND"}
    assert not ends.door.exists("/d/t/c/i1")


def test_workers_copy_with_credentials_of_their_own(
    source: Path, ends: Ends, person: Person
) -> None:
    from distributed import Client

    target = ends.url("dcache", "t")
    said = []
    (source.parent / "c/i1/red.tif").unlink()
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as client:
        report = copy_catalog(source, target, client=client, progress=said.append)
        assert (len(report.copied), len(report.failed)) == (5, 1)
        assert "i1/red.tif" in reasons(report)
        again = copy_catalog(source, target, client=client)
        assert (again.copied, len(again.skipped)) == ((), 5)
        with pytest.raises(DataError, match=r"i1/red\.tif"):
            copy_catalog(source, target, client=client, on_error="raise")
    assert said[-1].files == 6
    assert said[-1].failed == 1
    assert ends.read(f"{target}/c/i2/nir.tif") == content("i2", "nir")
