"""stac-geoparquet: read and written, and as the index beside a catalog."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pystac
import pytest

from rsdat.catalog import open_catalog, search
from rsdat.catalog.geoparquet import items_in
from rsdat.catalog.geoparquet_writing import write_items
from rsdat.catalog.indexing import make_index, usable_index
from rsdat.catalog.opening import ItemFile
from rsdat.errors import ConfigError, DataError
from tests.catalog.catalogs import item, served, write, write_catalog
from tests.catalog.test_antimeridian import UNCUT

pytest.importorskip("pyarrow")


def various() -> list[dict]:
    """Items that differ in their fields, as real ones do."""
    items = [
        item(f"i{n:02d}", x=float(n), day=n + 1, cover=n * 10 if n % 3 else n * 10.5)
        for n in range(12)
    ]
    items[1]["properties"] |= {"start_datetime": "2024-01-01T00:00:00Z", "datetime": None}
    items[1]["properties"]["end_datetime"] = "2024-06-01T00:00:00.5Z"
    items[2]["assets"]["dem"] = {"href": "../dem.tif", "raster:bands": [{"nodata": "nan"}]}
    items[3]["assets"]["dem"] = {"href": "https://a.test/d.tif", "raster:bands": [{"nodata": 0}]}
    items[4]["properties"]["proj:geometry"] = {"type": "Point", "coordinates": [1.0, 2.0]}
    items[5]["properties"]["deep"] = {"a": {"b": [1, 2]}, "empty": {}}
    items[6] |= {"geometry": None}
    del items[6]["bbox"]
    items[7] |= {"geometry": UNCUT.__geo_interface__, "bbox": [-179.28, 66.6, 179.76, 67.6]}
    return items


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "there", various())


def test_items_survive_the_file(tmp_path):
    items = various()
    del items[5]["properties"]["deep"]["empty"]
    write_items(items, tmp_path / "a.parquet", {})
    found = list(items_in(str(tmp_path / "a.parquet")))
    for old, new in zip(items, found, strict=True):
        old, new = json.loads(json.dumps(old)), json.loads(json.dumps(new))
        if old["id"] == "i01":
            assert new["properties"].pop("end_datetime").startswith("2024-06-01T00:00:00.5")
            del old["properties"]["end_datetime"]
        if old["id"] == "i03":
            new["assets"]["dem"]["raster:bands"] = [{"nodata": 0}]  # a float among floats
        assert {name: new.get(name) for name in old} == old


ASKED = [
    {},
    {"bbox": (3.5, 50, 5.5, 51)},
    {"bbox": (179, 66, -179, 68)},
    {"datetime": "2024-05-03/2024-05-05"},
    {"datetime": "2024-02"},
    {"query": "cover < 35"},
    {"query": {"cover": {"gte": 40}}, "sortby": "-cover", "limit": 3},
    {"query": "cover > 20 AND cover <= 80 OR id = 'i00'"},
    {"ids": ["i03", "i09"]},
    {"collections": "c", "bbox": (0, 50, 1, 51)},
    {"query": "deep IS NOT NULL"},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_search_with_the_index_finds_what_one_without_finds(catalog, asked):
    without = search(catalog, **asked)
    make_index(open_catalog(catalog))
    assert usable_index(open_catalog(catalog))
    with_index = search(catalog, **asked)
    assert [one.id for one in with_index] == [one.id for one in without]
    for one, other in zip(with_index, without, strict=True):
        assert {key: asset.href for key, asset in one.assets.items()} == {
            key: asset.href for key, asset in other.assets.items()
        }
        assert one.get_self_href() == other.get_self_href()
        assert one.get_collection().id == "c"


def test_a_search_with_the_index_reads_no_item(catalog):
    make_index(open_catalog(catalog))
    with served(catalog.parent) as (base, asked):
        assert len(search(f"{base}/catalog.json", bbox=(3.5, 50, 5.5, 51))) == 3
        assert not [path for path in asked if "item.json" in path]


def test_catalog_and_index_can_be_moved(catalog, tmp_path):
    make_index(open_catalog(catalog))
    moved = tmp_path / "elsewhere"
    shutil.copytree(catalog.parent, moved)  # with their times
    shutil.rmtree(catalog.parent)
    assert usable_index(open_catalog(moved))
    found = search(moved, ids="i02")[0]
    assert found.assets["dem"].href == str(moved / "c" / "dem.tif")


def change_item(home):
    path = home / "c" / "i03" / "item.json"
    write(path, json.loads(path.read_text()) | {"bbox": [0, 0, 1, 1]})


def change_collection(home):
    path = home / "c" / "collection.json"
    content = json.loads(path.read_text())
    write(path, {**content, "links": content["links"][:-1]})


def touch_item(home):
    os.utime(home / "c" / "i03" / "item.json", (1, 1))


def remove_item(home):
    (home / "c" / "i03" / "item.json").unlink()


@pytest.mark.parametrize("change", [change_item, change_collection, touch_item, remove_item])
def test_an_index_that_is_stale_is_noticed_and_not_used(catalog, change):
    make_index(open_catalog(catalog))
    change(catalog.parent)
    with pytest.warns(UserWarning, match="does not fit its catalog and is not used"):
        assert usable_index(open_catalog(catalog)) is None


def test_a_damaged_index_is_not_used(catalog):
    index, _ = make_index(open_catalog(catalog))
    file = Path(index)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(search(catalog)) == 12


def test_an_index_is_not_used_where_the_catalog_was_changed_in_memory(catalog):
    make_index(open_catalog(catalog))
    opened = open_catalog(catalog)
    next(iter(opened.get_children()))
    assert usable_index(opened) is None


def test_nothing_of_an_index_stays_when_it_cannot_be_made(catalog):
    items = various()
    items[3]["properties"]["cover"] = "many"
    home = write_catalog(catalog.parent, items).parent
    with pytest.raises(DataError, match=r"items i00 to i11 have a field .* one type: cover"):
        make_index(open_catalog(home))
    assert not list(home.rglob("*.parquet*"))


def test_without_pyarrow_a_search_walks_and_an_index_says_what_to_install(catalog, monkeypatch):
    make_index(open_catalog(catalog))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(search(catalog)) == 12
    with pytest.raises(ConfigError, match="needs pyarrow") as caught:
        make_index(open_catalog(catalog))
    assert "rsdat[geoparquet]" in (caught.value.hint or "")


def test_a_file_of_items_opens_as_one(tmp_path):
    write_items(various(), tmp_path / "items.parquet", {})
    opened = open_catalog(tmp_path / "items.parquet")
    assert isinstance(opened, ItemFile)
    first = next(opened.get_items())
    assert isinstance(first, pystac.Item)
    assert first.assets["red"].href == str(tmp_path / "red.tif")
    assert len(search(opened, query="cover < 35")) == 4


def test_what_is_no_stac_geoparquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column geometry, id"):
        search(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"b\.parquet cannot be read as stac-geoparquet"):
        search(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="does not exist"):
        open_catalog(tmp_path / "c.parquet")
