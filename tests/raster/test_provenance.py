"""What lies beside the result of a chain: a true item, or none."""

from __future__ import annotations

import errno
import importlib
import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation.local_validator import LocalValidator

import rsdat
from rsdat import chain
from rsdat.errors import DataError
from rsdat.raster.image import Skipped
from rsdat.raster.provenance import beside
from rsdat.raster.skips import left_out


def described(path: Path) -> dict:
    return json.loads(Path(beside(path, ".json")).read_text())


@pytest.mark.filterwarnings("ignore:.*LocalValidator.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_the_item_says_how_it_was_made(sentinel2, tmp_path, name):
    made = chain(sentinel2(), ["red", "nir"]).mask_clouds().index("ndvi").composite("max")
    write = made.to_zarr if name.endswith("zarr") else made.to_cog
    write(tmp_path / name, dtype="int16", preview=True)
    item = described(tmp_path / name)
    assert list(LocalValidator().item_validator().iter_errors(item)) == []
    properties = item["properties"]
    assert properties["rsdat:chain"] == json.loads(json.dumps(made.words()))
    assert properties["processing:software"] == {"rsdat": rsdat.__version__}
    assert properties["processing:lineage"].endswith(
        "composite max; resampling nearest; from 3 items"
    )
    assert properties["proj:code"] == "EPSG:32632"
    assert properties["proj:shape"] == [96, 96]
    assert "rsdat:skipped" not in properties
    (band,) = item["assets"]["data"]["bands"]
    assert (band["name"], band["data_type"], band["raster:scale"]) == ("ndvi", "int16", 0.0001)
    assert [one["title"] for one in item["links"]] == ["scene0", "scene1", "scene2"]
    assert (tmp_path / item["assets"]["preview"]["href"]).read_bytes().startswith(b"\x89PNG")


def test_the_item_says_what_was_masked(sentinel2, tmp_path):
    def dark(classes):
        return classes == 2

    made = chain(sentinel2(), ["red"])
    for masked, words, said, told in (
        (made.mask_clouds(), {"classes": [0, 1, 3, 8, 9, 10]}, "classes [0, 1, ", "mask scl"),
        (made.mask_clouds(classes=[3, 9]), {"classes": [3, 9]}, "[3, 9]", "classes 3, 9"),
        (made.mask_clouds("scl", bits=[1]), {"bits": [1]}, "bits [1]", "mask scl, bits 1"),
        (made.mask_clouds("scl", function=dark), {"function": "dark"}, "dark", "function dark"),
    ):
        one = masked.composite("mean")
        one.to_cog(tmp_path / "a.tif")
        properties = described(tmp_path / "a.tif")["properties"]
        assert properties["rsdat:chain"]["masks"] == [{"mask": "scl", **words}]
        assert "mask scl" in properties["processing:lineage"]
        assert said in properties["processing:lineage"]
        assert told in str(one.explain())
        assert told.removeprefix("mask ") in one._repr_html_()


def test_the_item_of_a_chain_and_of_its_file_are_the_same(sentinel2, tmp_path):
    made = chain(sentinel2(), ["red", "nir"]).composite("mean")
    made.to_cog(tmp_path / "a.tif", dtype="int16")
    told = described(tmp_path / "a.tif")
    from rsdat.catalog import describe_result

    again = json.loads(describe_result(tmp_path / "a.tif", made.items, made.words()).read_text())
    for one in (told, again):
        del one["properties"]["created"]
    assert told == again


def test_only_inputs_on_the_grid_are_named(sentinel2, scenes, tmp_path):
    far = scenes.write("far", np.ones((96, 96), "uint16"), origin=(700_000, 5_000_000))
    items = [*sentinel2(dates=2), scenes.item("far", {"red": far}, day=9)]
    grid = chain(items[:1], ["red"]).geobox
    chain(items, ["red"], geobox=grid).composite("mean").to_cog(tmp_path / "a.tif")
    item = pystac.Item.from_file(str(tmp_path / "a.json"))
    assert [link.title for link in item.get_links("derived_from")] == ["scene0", "scene1"]
    assert item.properties["end_datetime"].startswith("2024-06-02")


def test_what_was_left_out_is_in_the_item(sentinel2, tmp_path):
    items = sentinel2(dates=3)
    Path(items[1].assets["red"].href).unlink()
    del items[2].assets["red"]
    made = chain(items, ["red"], on_error="skip").composite("mean")
    written = made.to_cog(tmp_path / "a.tif")
    assert {one.item for one in written.skipped} == {"scene1", "scene2"}
    item = described(tmp_path / "a.tif")
    told = item["properties"]["rsdat:skipped"]
    assert {(one["item"], one["asset"]) for one in told} == {("scene1", "red"), ("scene2", "red")}
    assert [one["title"] for one in item["links"]] == ["scene0"]  # and of no other is it made


@pytest.mark.parametrize("door", ["to_cog", "to_zarr"])
def test_an_item_that_is_missing_from_some_tiles_is_an_input(scenes, tmp_path, door):
    rng = np.random.default_rng(3)
    items = []
    for day in (1, 2, 3):
        pixels = rng.integers(1, 999, (1030, 700)).astype("uint16")
        path = scenes.write(f"red{day}", pixels, block=512)
        items.append(scenes.item(f"scene{day}", {"red": path}, day=day))
    half = Path(items[1].assets["red"].href)
    with open(half, "r+b") as stream:
        stream.truncate(int(half.stat().st_size * 0.5))
    gone = Path(items[2].assets["red"].href)
    with open(gone, "r+b") as stream:
        stream.truncate(1000)
    made = chain(items, ["red"], on_error="skip").composite("max")
    options = {"tile": 512} if door == "to_cog" else {"chunk": 512, "shard": 512}
    written = getattr(made, door)(tmp_path / "a", **options)
    assert written.unread == {"scene3"}
    item = json.loads(Path(written.item).read_text())
    assert [one["title"] for one in item["links"]] == ["scene1", "scene2"]
    told = {one["item"]: one["places"] for one in item["properties"]["rsdat:skipped"]}
    assert told["scene3"] == written.tiles > told["scene2"] > 0


def test_one_entry_for_an_asset_that_fails_in_many_places():
    found = left_out([Skipped("a", "red", f"at {tile}") for tile in range(400)])
    assert found == [{"item": "a", "asset": "red", "reason": "at 0", "places": 400}]


def test_no_item_is_left_of_an_earlier_result(sentinel2, tmp_path):
    """An item that describes another file than the one that it lies beside is worse than none."""
    made = chain(sentinel2(), ["red"]).composite("mean")
    made.to_cog(tmp_path / "a.tif", preview=True)
    made.to_cog(tmp_path / "a.tif", describe=False)
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.tif"]


@pytest.mark.parametrize("preview", [False, True])
def test_a_description_that_finds_no_room(sentinel2, tmp_path, monkeypatch, preview):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("preview", "provenance"):
        module = importlib.import_module(f"rsdat.raster.{name}")
        monkeypatch.setattr(module, "write_atomically", full)
    made = chain(sentinel2(), ["red"]).composite("mean")
    with pytest.raises(DataError, match=r"a\.tif is complete, and .* No space left") as caught:
        made.to_cog(tmp_path / "a.tif", preview=preview)
    assert "make room" in caught.value.hint
    with rasterio.open(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(opened.read(), made.evaluate())


def test_a_failed_run_leaves_the_earlier_result_with_its_item(sentinel2, tmp_path):
    items = sentinel2()
    chain(items, ["red"]).composite("mean").to_cog(tmp_path / "a.tif")
    before = (tmp_path / "a.tif").read_bytes(), (tmp_path / "a.json").read_text()
    Path(items[2].assets["red"].href).write_bytes(b"II*\0")
    with pytest.raises(DataError, match="scene2"):
        chain(items, ["red"]).composite("max").to_cog(tmp_path / "a.tif")
    assert ((tmp_path / "a.tif").read_bytes(), (tmp_path / "a.json").read_text()) == before


def test_inputs_and_foreign_files_are_not_written_over(sentinel2, tmp_path):
    items = sentinel2()
    made = chain(items, ["red"]).composite("mean")
    for describe in (True, False):
        with pytest.raises(DataError, match="is one of the inputs"):
            made.to_cog(items[0].assets["red"].href, describe=describe)
    for name, item, write in (("a.tif", "a.json", made.to_cog), ("a", "a.json", made.to_zarr)):
        (tmp_path / item).write_text("{}")
        with pytest.raises(DataError, match="no description of an earlier result"):
            write(tmp_path / name)
        assert not (tmp_path / name).exists()
        write(tmp_path / name, describe=False)
        assert (tmp_path / item).read_text() == "{}"


@pytest.mark.parametrize("door", ["to_cog", "to_zarr"])
def test_a_foreign_picture_is_not_written_over(sentinel2, tmp_path, door):
    items = sentinel2()
    Path(items[0].assets["red"].href).write_bytes(b"II*\0")  # nothing is read before it is refused
    write = getattr(chain(items, ["red"], resolution=10, crs="EPSG:32632"), door)
    out = tmp_path / {"to_cog": "a.tif", "to_zarr": "a.zarr"}[door]
    png = Path(beside(out, ".png"))
    for foreign in (b"mine", b"\x89PNG\r\n\x1a\n", b""):
        png.write_bytes(foreign)
        with pytest.raises(DataError, match=r"png is there, and is no picture") as caught:
            write(out, preview=True)
        assert str(png) in caught.value.message
        assert "move it away" in caught.value.hint
        assert png.read_bytes() == foreign
        assert not out.exists()


def test_a_foreign_picture_outlives_a_run_that_makes_none(sentinel2, tmp_path):
    made = chain(sentinel2(), ["red"]).composite("mean")
    made.to_cog(tmp_path / "a.tif")
    made.preview().save(tmp_path / "a.png")
    made.to_cog(tmp_path / "a.tif")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("describe", [True, False])
def test_the_picture_of_an_earlier_result_is_replaced(sentinel2, tmp_path, describe):
    made = chain(sentinel2(), ["red"])
    pictures = set()
    for method in ("min", "max"):
        made.composite(method).to_cog(tmp_path / "ä.tif", describe=describe, preview=True)
        pictures.add((tmp_path / "ä.png").read_bytes())
    assert len(pictures) == 2


def test_the_picture_of_another_result_is_not_written_over(sentinel2, tmp_path):
    made = chain(sentinel2(), ["red"]).composite("mean")
    options = {"describe": False, "preview": True}
    made.to_cog(tmp_path / "a.tif", **options)
    with pytest.raises(DataError, match=r"a\.png shows a\.tif, which lies beside it"):
        made.to_cog(tmp_path / "a.tiff", **options)
    (tmp_path / "a.tif").rename(tmp_path / "a.tiff")
    made.to_cog(tmp_path / "a.tiff", **options)


def test_a_file_and_a_store_of_one_name_have_an_item_each(sentinel2, tmp_path):
    made = chain(sentinel2(), ["red"]).composite("mean")
    file = made.to_cog(tmp_path / "a.tif", preview=True)
    store = made.to_zarr(tmp_path / "a.zarr", preview=True)
    for written in (file, store):
        assert written.item is not None
        item = pystac.Item.from_file(written.item)
        assert item.assets["data"].href == Path(written.path).name
        assert written.preview == str(tmp_path / item.assets["preview"].href)
    assert file.item != store.item
    assert {path.name for path in tmp_path.glob("a.*")} == {
        *("a.tif", "a.json", "a.png"),
        *("a.zarr", "a.zarr.json", "a.zarr.png"),
    }


def test_the_item_of_another_result_is_not_written_over(sentinel2, tmp_path):
    made = chain(sentinel2(), ["red"]).composite("mean")
    made.to_cog(tmp_path / "a.tif")
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(
        DataError, match=r"a\.json describes a\.tif, which lies beside it"
    ) as caught:
        made.to_cog(tmp_path / "a.tiff")
    assert "another name" in caught.value.hint
    assert not (tmp_path / "a.tiff").exists()
    assert (tmp_path / "a.json").read_bytes() == before
    (tmp_path / "a.tif").unlink()  # what it describes is gone: it is free
    made.to_cog(tmp_path / "a.tiff")
    assert pystac.Item.from_file(str(tmp_path / "a.json")).assets["data"].href == "a.tiff"


def test_a_store_at_an_address_has_its_item_there(sentinel2, monkeypatch):
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})  # nothing of it is left to other tests
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    made = chain(sentinel2(), ["red"])
    made.to_zarr("memory://results/a.zarr", preview=True)
    item = json.loads(fsspec.filesystem("memory").cat_file("/results/a.zarr.json"))
    assert item["id"] == "a"
    assert set(item["assets"]) == {"data"}
    assert beside("s3://bucket/a.b/c", ".json") == "s3://bucket/a.b/c.json"


def test_the_file_is_tagged_with_its_maker(sentinel2, tmp_path):
    chain(sentinel2(), ["red"]).composite("mean").to_cog(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert opened.tags()["TIFFTAG_SOFTWARE"] == f"rsdat {rsdat.__version__}"
