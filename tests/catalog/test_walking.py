"""Static catalogs: walked in order and at once, with every kind of broken file named."""

from __future__ import annotations

import datetime as dt
import json
import threading

import pystac
import pytest
from pystac.stac_io import DefaultStacIO, StacIO

from rsdat.catalog import open_catalog, search
from rsdat.catalog.walking import walk
from rsdat.errors import DataError
from rsdat.storage import transfer
from rsdat.storage.dcache.retrying import Policy
from tests.catalog.catalogs import item, served, write, write_catalog


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path, [item(f"i{n:02d}", day=n + 1) for n in range(20)])


def names(place, **options):
    return [found.content["id"] for found in walk(open_catalog(place), **options)]


def change(path, **fields):
    write(path, {**json.loads(path.read_text()), **fields})


def with_link(path, rel, href):
    links = json.loads(path.read_text())["links"]
    change(path, links=[*links, {"rel": rel, "href": href}])


def test_items_come_in_the_order_of_the_links(catalog):
    assert names(catalog) == [f"i{n:02d}" for n in range(20)]
    assert type(StacIO.default()) is DefaultStacIO


def test_hrefs_are_absolute_and_links_lead_on(catalog):
    found = search(catalog, ids="i03")[0]
    assert found.assets["red"].href == str(catalog.parent / "c" / "i03" / "red.tif")
    assert found.get_collection().id == "c"
    assert found.get_root().id == "top"


def test_remote_items_are_asked_for_at_once(catalog):
    together = threading.Barrier(10)  # the first ten are answered when all ten have been asked for

    def before(path):
        if path.startswith("/c/i0"):
            together.wait(timeout=60)

    with served(catalog.parent, before) as (base, _):
        assert names(f"{base}/catalog.json") == [f"i{n:02d}" for n in range(20)]


def test_only_what_is_wanted_is_asked_for(catalog):
    with served(catalog.parent) as (base, asked):
        walked = walk(open_catalog(f"{base}/catalog.json"))
        assert next(walked).content["id"] == "i00"
        walked.close()
        assert len(asked) == len(set(asked))


def test_absolute_links_lead_anywhere(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", Policy(retries=2, pause=0.01))
    other = write_catalog(tmp_path / "other", [item("elsewhere")])
    with served(other.parent) as (base, _):
        with_link(catalog, "child", f"{base}/catalog.json")
        assert names(catalog)[-1] == "elsewhere"
    with_link(catalog, "item", str(other.parent / "c" / "elsewhere" / "item.json"))
    assert "elsewhere" in names(catalog, on_error=lambda error: None)


def test_a_catalog_that_is_linked_twice_is_read_once(catalog):
    with_link(catalog, "child", "./c/collection.json")
    with_link(catalog, "item", "./c/i00/item.json")
    assert sorted(names(catalog)) == [f"i{n:02d}" for n in range(20)]


def test_a_catalog_in_memory_is_searched_as_it_is():
    made = pystac.Catalog("made", "in memory")
    time = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    made.add_item(pystac.Item("one", None, [5, 50, 6, 51], time, {"cover": 3}))
    child = pystac.Catalog("child", "in memory")
    made.add_child(child)
    child.add_item(pystac.Item("two", None, [5, 50, 6, 51], time, {"cover": 30}))
    assert [one.id for one in search(made, query="cover < 10", datetime="2024-05")] == ["one"]
    assert len(search(made, bbox=(5, 50, 6, 51))) == 2


def test_changes_in_memory_count(catalog):
    opened = open_catalog(catalog)
    child = next(iter(opened.get_children()))
    child.remove_item("i00")
    assert "i00" not in [one.id for one in search(opened)]


def break_cycle(home):
    with_link(home / "c" / "collection.json", "child", "../catalog.json")


def break_self(home):
    with_link(home / "c" / "collection.json", "child", "./collection.json")


def break_json(home):
    (home / "c" / "i03" / "item.json").write_text("{")


def break_text(home):
    (home / "c" / "i03" / "item.json").write_bytes(b"\xff\xfe\x00")


def break_kind(home):
    write(home / "c" / "i03" / "item.json", {"hello": 1})


def break_geometry(home):
    content = json.loads((home / "c" / "i03" / "item.json").read_text())
    del content["geometry"]
    write(home / "c" / "i03" / "item.json", content)


def break_shape(home):
    change(home / "c" / "i03" / "item.json", geometry={"type": "Polygon", "coordinates": "x"})


def break_time(home):
    change(home / "c" / "i03" / "item.json", properties={"datetime": "yesterday"})


def break_link(home):
    (home / "c" / "i03" / "item.json").unlink()


BREAKS = [
    (break_cycle, r"collection\.json leads back to .*catalog\.json, which .*: a cycle", 0),
    (
        break_self,
        "collection.json leads back to .*collection.json, which it belongs to: a cycle",
        0,
    ),
    (break_json, r"i03/item\.json is not JSON \(line 1", 1),
    (break_text, r"i03/item\.json is not a text file", 1),
    (break_kind, r"i03/item\.json is JSON, but not STAC", 1),
    (break_geometry, r"i03/item\.json is not a valid STAC object: geometry missing", 1),
    (break_shape, r"i03/item\.json: item i03: its geometry cannot be read", 1),
    (break_time, r"i03/item\.json: item i03: 'yesterday' is no time", 1),
    (break_link, r"i03/item\.json does not exist", 1),
]


@pytest.mark.parametrize(
    ("damage", "message", "lost"), BREAKS, ids=lambda v: getattr(v, "__name__", "")
)
def test_what_is_broken_is_named_or_left_out(catalog, damage, message, lost):
    damage(catalog.parent)
    asked = {"bbox": (5, 50, 6, 51), "datetime": "2024"}
    with pytest.raises(DataError, match=message):
        search(catalog, **asked)
    with pytest.warns(UserWarning, match=message):
        assert len(search(catalog, on_error="skip", **asked)) == 20 - lost


def test_an_item_of_no_place_is_found_without_a_bbox_and_not_with_one(catalog):
    change(catalog.parent / "c" / "i03" / "item.json", geometry=None, bbox=None)
    content = json.loads((catalog.parent / "c" / "i03" / "item.json").read_text())
    del content["bbox"]
    write(catalog.parent / "c" / "i03" / "item.json", content)
    assert len(search(catalog)) == 20
    assert len(search(catalog, bbox=(5, 50, 6, 51))) == 19


def test_no_thread_outlives_a_walk_that_is_left(catalog):
    walked = walk(open_catalog(catalog))
    next(walked)
    walked.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("rsdat-walk")]


def test_a_server_that_goes_away_between_list_and_read(catalog, monkeypatch, free_port):
    monkeypatch.setattr(transfer, "PATIENCE", Policy(retries=2, pause=0.01))
    with served(catalog.parent, port=free_port) as (base, _):
        opened = open_catalog(f"{base}/catalog.json")
    with pytest.raises(DataError, match=r"collection\.json cannot be read"):
        search(opened)


def test_a_server_that_breaks_off_for_a_moment_is_asked_again(catalog, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", Policy(retries=4, pause=0.01))
    broken = ["c/i03/item.json", "c/i03/item.json", "c/i03/item.json", "c/collection.json"]

    def break_off(path):
        if path.lstrip("/") in broken:
            broken.remove(path.lstrip("/"))
            raise ConnectionAbortedError

    with served(catalog.parent, break_off) as (base, _):
        assert len(search(f"{base}/catalog.json")) == 20
    assert broken == []


def test_a_server_that_stays_away_is_waited_for_once(catalog, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", Policy(retries=3, pause=0.01))
    asked = []

    def break_off(path):
        if path.endswith("item.json"):
            asked.append(path)
            raise ConnectionAbortedError

    errors = []
    with served(catalog.parent, break_off) as (base, _):
        assert list(walk(open_catalog(f"{base}/catalog.json"), on_error=errors.append)) == []
    assert len(errors) == 20
    # aiohttp asks each file once more by itself.
    assert len(asked) <= 2 * 20 * 4
    assert all("cannot be read" in error.message for error in errors)
