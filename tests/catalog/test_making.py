"""Catalogs of raster files: made, extended, kept in step with the files, and checked."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pystac
import pytest
from shapely.geometry import shape

from rsdat.catalog import make_catalog, search
from rsdat.catalog.adding import add_to_catalog
from rsdat.catalog.updating import update_catalog
from rsdat.catalog.validating import validate_catalog
from rsdat.errors import ConfigError, DataError
from tests.catalog.catalogs import item, raster, write, write_catalog

A, B = "S2A_31UFS_20240501_0_L2A", "S2B_31UFS_20240506_0_L2A"


@pytest.fixture
def scenes(tmp_path):
    for name in (A, B):
        for band in ("B04", "B08"):
            raster(tmp_path / "scenes" / name / f"{band}.tif", scale=(1e-4, -0.1))
        raster(tmp_path / "scenes" / name / "SCL.tif", dtype="uint8")
    return tmp_path / "scenes"


@pytest.fixture
def catalog(scenes, tmp_path):
    return make_catalog(scenes, tmp_path / "catalog").catalog


def one(catalog, name=A):
    return search(catalog, ids=name)[0]


def problems(catalog):
    return validate_catalog(catalog, assets=True).problems


def test_what_the_files_say_is_in_the_catalog(catalog, scenes):
    found = one(catalog)
    red = found.assets["red"]
    assert set(found.assets) == {"red", "nir", "scl"}
    assert red.href == str(scenes / A / "B04.tif")
    fields = red.extra_fields
    assert fields["proj:shape"] == [16, 32]
    assert fields["proj:transform"] == [10, 0, 500_000, 0, -10, 5_700_000]
    assert fields["proj:bbox"] == [500_000, 5_699_840, 500_320, 5_700_000]
    assert fields["file:size"] == os.path.getsize(red.href)
    assert fields["bands"] == [
        {
            "name": "B04",
            "eo:common_name": "red",
            "data_type": "uint16",
            "nodata": 0,
            "raster:scale": 1e-4,
            "raster:offset": -0.1,
        }
    ]
    assert found.properties["proj:code"] == "EPSG:32631"
    assert found.properties["platform"] == "sentinel-2a"
    assert f"{found.datetime:%Y-%m-%d}" == "2024-05-01"
    assert shape(found.geometry).bounds == pytest.approx(found.bbox)
    collection = found.get_collection()
    assert collection.id == "scenes"
    assert collection.extent.temporal.intervals[0][1].day == 6
    assert collection.summaries.to_dict()["platform"] == ["sentinel-2a", "sentinel-2b"]
    assert problems(catalog) == []


def test_pystac_reads_it_and_it_can_be_moved_with_its_files(catalog, tmp_path):
    shutil.move(tmp_path / "catalog", tmp_path / "there" / "catalog")
    shutil.move(tmp_path / "scenes", tmp_path / "there" / "scenes")
    items = list(pystac.Catalog.from_file(tmp_path / "there/catalog/catalog.json").get_items(
        recursive=True
    ))  # fmt: skip
    assert [each.id for each in items] == [A, B]
    assert os.path.exists(items[0].assets["red"].get_absolute_href())
    assert problems(tmp_path / "there" / "catalog") == []


def test_a_catalog_that_is_there_is_not_overwritten(catalog, scenes):
    with pytest.raises(DataError, match="is there already"):
        make_catalog(scenes, catalog)


def test_bands_of_one_file_are_named_by_their_descriptions(tmp_path):
    raster(tmp_path / "in" / "a_20240501.tif", count=3, descriptions=("red", "B08", "other"))
    made = make_catalog(tmp_path / "in", tmp_path / "out")
    bands = search(made.catalog)[0].assets["data"].extra_fields["bands"]
    assert [band["name"] for band in bands] == ["red", "B08", "other"]
    assert [band.get("eo:common_name") for band in bands] == ["red", "nir", None]


def test_times_come_from_names_then_tags_then_age(tmp_path):
    raster(tmp_path / "in" / "a_20240501_B04.tif", tags={"TIFFTAG_DATETIME": "2020:01:01 00:00:00"})
    raster(tmp_path / "in" / "b_B04.tif", tags={"TIFFTAG_DATETIME": "2021:02:03 04:05:06"})
    old = raster(tmp_path / "in" / "c_B04.tif")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    made = make_catalog(tmp_path / "in", tmp_path / "out")
    years = {each.id: each.datetime.year for each in search(made.catalog)}
    assert years == {"a_20240501": 2024, "b": 2021, "c": 2001}
    assert len(made.notes) == 1
    assert "item c: no time in its names or tags" in made.notes[0]


def test_across_the_antimeridian(tmp_path):
    raster(tmp_path / "in/a_20240501.tif", crs="EPSG:32601", origin=(212_900, 7_200_000))
    raster(tmp_path / "in/b_20240501.tif", crs="EPSG:3832", origin=(3_339_500, 0))
    made = make_catalog(tmp_path / "in", tmp_path / "out")
    crossing = search(made.catalog, ids="b_20240501")[0]
    assert crossing.bbox[0] > 179.9
    assert crossing.bbox[2] < -179.9
    assert crossing.geometry["type"] == "MultiPolygon"
    assert problems(made.catalog) == []
    assert [e.id for e in search(made.catalog, bbox=(179.9, -1, -179.9, 1))] == ["b_20240501"]


def no_crs(folder):
    raster(folder / "x_20240501_B04.tif", crs=None)
    return r"x_20240501_B04\.tif has no CRS"


def no_raster(folder):
    (folder / "x_20240501_B04.tif").write_text("hello")
    return r"x_20240501_B04\.tif cannot be read"


def two_of_one_name(folder):
    raster(folder / "p" / "x_20240501_B04.tif")
    raster(folder / "q" / "x_20240501_B04.tif")
    return r"p/x_20240501_B04\.tif and .*q/x_20240501_B04\.tif would both be its asset red"


@pytest.mark.parametrize("damage", [no_crs, no_raster, two_of_one_name])
def test_files_that_cannot_be_used_are_named_or_left_out(scenes, tmp_path, damage):
    message = damage(scenes)
    with pytest.raises(DataError, match=message):
        make_catalog(scenes, tmp_path / "out")
    assert not (tmp_path / "out" / "catalog.json").exists()
    made = make_catalog(scenes, tmp_path / "out", on_error="skip")
    assert (made.items, len(made.skipped)) == (2, 1)
    assert problems(made.catalog) == []


def test_a_file_that_vanishes_between_list_and_read(scenes, tmp_path, monkeypatch):
    from rsdat.catalog import headers, making

    def listed(place):
        files = headers.files_in(place)
        (scenes / A / "B04.tif").unlink()
        return files

    monkeypatch.setattr(making, "files_in", listed)
    with pytest.raises(DataError, match=r"B04\.tif cannot be read: it is gone"):
        make_catalog(scenes, tmp_path / "out")


def test_nothing_to_catalog(scenes, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no raster files"):
        make_catalog(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        make_catalog(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="has the form"):
        make_catalog(scenes, tmp_path / "out", pattern="{id}_{date}.tif")


def test_a_catalog_appears_last(scenes, tmp_path, monkeypatch):
    from rsdat.catalog import making, static

    written = []
    original = making.write_json

    def write(href, content):
        original(href, content)
        written.append(href)

    for module in (making, static):
        monkeypatch.setattr(module, "write_json", write)
    make_catalog(scenes, tmp_path / "out")
    names = [href.rpartition("/")[2] for href in written]
    assert set(names[:2]) == {f"{A}.json", f"{B}.json"}
    assert names[2:] == ["collection.json", "catalog.json"]


def test_added_files_join_their_item_or_make_a_new_one(catalog, scenes, tmp_path):
    raster(tmp_path / "more" / A / "B03.tif")
    raster(tmp_path / "more" / "S2A_31UFS_20240511_0_L2A" / "B04.tif", origin=(600_000, 5_700_000))
    made = add_to_catalog(catalog, tmp_path / "more")
    assert (made.items, made.assets) == (2, 2)
    assert set(one(catalog).assets) == {"red", "nir", "scl", "green"}
    assert len(search(catalog)) == 3
    collection = one(catalog).get_collection()
    assert collection.extent.temporal.intervals[0][1].day == 11
    assert collection.extent.spatial.bboxes[0][2] > 4.4
    assert problems(catalog) == []


def test_an_item_that_gets_files_keeps_what_was_known_of_it(catalog, tmp_path):
    place = one(catalog).get_self_href()
    known = json.loads(Path(place).read_text())
    known["properties"] |= {"eo:cloud_cover": 12, "datetime": "2024-05-01T10:46:00Z"}
    write(Path(place), known)
    raster(tmp_path / "more" / A / "B03.tif")
    add_to_catalog(catalog, tmp_path / "more")
    found = one(catalog)
    assert (found.properties["eo:cloud_cover"], found.datetime.hour) == (12, 10)
    assert found.bbox == known["bbox"]
    raster(tmp_path / "east" / A / "B02.tif", origin=(500_320, 5_700_000))
    add_to_catalog(catalog, tmp_path / "east")
    assert one(catalog).bbox[2] > known["bbox"][2]
    assert one(catalog).bbox[0] == pytest.approx(known["bbox"][0])
    assert problems(catalog) == []


def test_an_item_that_is_there_stays_where_it_lies(tmp_path):
    catalog = write_catalog(tmp_path / "c", [item("a")])
    again = write(tmp_path / "a.json", item("a", platform="new"))
    again_file = tmp_path / "c" / "c" / "a" / "item.json"
    add_to_catalog(catalog, again)
    assert one(catalog, "a").get_self_href() == str(again_file)
    assert one(catalog, "a").properties["platform"] == "new"
    assert len(list(tmp_path.rglob("c/c/a/*.json"))) == 1


def test_an_id_is_no_way_out_of_the_catalog(tmp_path):
    catalog = write_catalog(tmp_path / "c", [item("a")])
    add_to_catalog(catalog, write(tmp_path / "x.json", item("../../out")))
    assert not (tmp_path / "c" / "out").exists()
    assert not (tmp_path / "out").exists()
    assert {each.id for each in search(catalog)} == {"a", "../../out"}


def test_several_items_are_read_and_written_at_one_time(scenes, catalog, tmp_path, monkeypatch):
    from rsdat.catalog import static, updating

    def together(module, name):
        original, meet = getattr(module, name), threading.Barrier(2)

        def met(*arguments):
            meet.wait(60)
            return original(*arguments)

        monkeypatch.setattr(module, name, met)

    for name in (A, B):
        raster(tmp_path / "more" / name / "B03.tif")
        os.utime(scenes / name / "B04.tif", (2e9, 2e9))
    with monkeypatch.context():
        together(static, "_write_item")
        add_to_catalog(catalog, tmp_path / "more")
    together(updating, "_read_again")
    assert update_catalog(catalog).items == 2


def test_an_update_names_each_file_that_it_cannot_use(scenes, catalog):
    for name in (A, B):
        (scenes / name / "B04.tif").write_text("no raster")
    with pytest.raises(DataError, match=r"B04\.tif cannot be read"):
        update_catalog(catalog)
    made = update_catalog(catalog, on_error="skip")
    assert (made.items, len(made.skipped)) == (0, 2)
    assert len(search(catalog)) == 2


def test_added_items_and_collections(catalog, tmp_path):
    file = write(tmp_path / "loose" / "i.json", item("loose"))
    raster(tmp_path / "loose" / "red.tif")
    add_to_catalog(catalog, file, collection="others")
    found = one(catalog, "loose")
    assert found.assets["red"].href == str(tmp_path / "loose" / "red.tif")
    assert found.collection_id == "others"
    assert problems(catalog) == []
    with pytest.raises(ConfigError, match="the collections others, scenes"):
        add_to_catalog(catalog, file)
    add_to_catalog(catalog, file, collection="../a b/c")
    assert {each.collection_id for each in search(catalog, ids="loose")} == {"others", "../a b/c"}
    assert not (tmp_path / "a b").exists()
    assert problems(catalog) == []


def test_progress_counts_items(scenes, tmp_path):
    said = {"made": [], "added": [], "looked": []}
    catalog = make_catalog(scenes, tmp_path / "catalog", progress=said["made"].append).catalog
    raster(tmp_path / "more" / A / "B03.tif")
    add_to_catalog(catalog, tmp_path / "more", progress=said["added"].append)
    update_catalog(catalog, progress=said["looked"].append)
    assert said == {"made": [1, 2], "added": [1], "looked": [1, 2]}


def test_only_changed_files_are_read_again(catalog, scenes):
    assert update_catalog(catalog).items == 0
    file = raster(scenes / A / "B04.tif", origin=(500_000, 5_700_160), nodata=9)
    os.utime(file, (time.time() + 5, time.time() + 5))
    untouched = os.stat(one(catalog, B).get_self_href())
    made = update_catalog(catalog)
    assert made.items == 1
    found = one(catalog)
    assert found.assets["red"].extra_fields["bands"][0]["nodata"] == 9
    assert found.bbox[3] > one(catalog, B).bbox[3]
    assert os.stat(one(catalog, B).get_self_href()) == untouched
    assert update_catalog(catalog).items == 0
    assert problems(catalog) == []


def test_vanished_files_are_named_and_taken_out_only_when_asked(catalog, scenes):
    (scenes / A / "B04.tif").unlink()
    shutil.rmtree(scenes / B)
    made = update_catalog(catalog)
    assert len(made.notes) == 4
    assert len(search(catalog)) == 2
    made = update_catalog(catalog, prune=True)
    assert len(made.removed) == 4
    assert [each.id for each in search(catalog)] == [A]
    assert set(one(catalog).assets) == {"nir", "scl"}
    assert problems(catalog) == []


def test_a_check_sees_what_is_wrong(tmp_path):
    items = [item(f"i{n}") for n in range(5)]
    items[0]["properties"] = {"datetime": "yesterday"}
    items[1]["bbox"] = [0, 0, 1, 1]
    items[2]["properties"] = {"datetime": None}
    items[3]["stac_version"] = "1.0.0"
    catalog = write_catalog(tmp_path, items)
    (tmp_path / "c" / "i4" / "item.json").write_text("{")
    found = validate_catalog(catalog)
    words = "\n".join(f"{place}: {problem}" for place, problem in found.problems)
    assert "i0/item.json: item i0: 'yesterday' is no time" in words
    assert "i1/item.json: bbox: the geometry reaches beyond it; its own is [5.0000" in words
    assert "i2/item.json" in words
    assert "i3/item.json" not in words
    assert "i4/item.json is not JSON" in words
    assert found.checked == 6
    assert not validate_catalog(tmp_path / "c" / "i3" / "item.json").problems


def test_extensions_are_listed_as_not_checked(catalog):
    found = validate_catalog(catalog)
    assert {name.split("/")[3]: count for name, count in found.unchecked.items()} == {
        "projection": 2, "eo": 2, "raster": 2, "file": 2,
    }  # fmt: skip
