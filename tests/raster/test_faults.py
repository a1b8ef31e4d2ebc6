"""Wrong input: each fault names the item, the asset, the file and the next step."""

from __future__ import annotations

import os
import socket
import threading
import warnings

import numpy as np
import pytest
import rasterio

from rsdat.errors import ConfigError, DataError
from rsdat.raster import chain, composite, load, mask_clouds, ndvi


@pytest.fixture
def item(scenes, reflectance):
    path = scenes.write("red", np.full((64, 64), 1500, "uint16"), block=16, nodata=0)
    return scenes.item("scene", {"red": path}, bands={"red": reflectance})


def test_missing_file(item):
    item.assets["red"].href += ".gone"
    with pytest.raises(
        DataError, match=r"item scene: asset red \(.*gone\) cannot be read"
    ) as caught:
        load([item], "red")
    assert "is missing" in caught.value.hint


def test_the_secret_of_a_signed_address_is_in_no_message(item):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        port = taken.getsockname()[1]
        item.assets["red"].href = f"http://me:word@127.0.0.1:{port}/B04.tif?sig=hidden"
        with pytest.raises(DataError, match=rf"http://127\.0\.0\.1:{port}/B04\.tif\?…") as caught:
            load([item], "red")
    assert "hidden" not in str(caught.value)
    assert "word" not in str(caught.value)


def test_not_a_raster(item, tmp_path):
    (tmp_path / "text.tif").write_text("hello")
    item.assets["red"].href = str(tmp_path / "text.tif")
    with pytest.raises(DataError, match="item scene: asset red") as caught:
        load([item], "red")
    assert "damaged" in caught.value.hint


def test_truncated_file_is_found_when_its_block_is_computed(item):
    ds = load([item], "red", chunks=16)
    with open(item.assets["red"].href, "r+b") as stream:
        stream.truncate(4000)
    with pytest.raises(DataError, match=r"asset red .* cannot be read, at x 600\d+ to") as caught:
        ds.compute()
    assert "fetch it again" in caught.value.hint


def test_file_without_a_crs(scenes):
    path = scenes.write("a", np.ones((4, 4), "uint16"), crs=None)
    with pytest.raises(DataError, match="no CRS"):
        load([scenes.item("scene", {"a": path})], "a")


def test_file_without_a_crs_takes_the_declared_one(scenes):
    declared = {
        "proj:code": "EPSG:32632",
        "proj:shape": [4, 4],
        "proj:transform": [10, 0, 600_000, 0, -10, 5_000_000],
    }
    path = scenes.write("a", np.ones((4, 4), "uint16"), crs=None)
    ds = load([scenes.item("scene", {"a": path}, bands={"a": declared})], "a")
    assert ds.odc.geobox.crs.epsg == 32632


def test_no_overlap_with_the_bbox(item):
    with pytest.raises(DataError, match=r"does not meet the items, which cover 10\.") as caught:
        load([item], "red", bbox=(100, 10, 101, 11))
    assert "west,south,east,north" in caught.value.hint


def test_no_items():
    with pytest.raises(DataError, match="no items"):
        load([], "red")


@pytest.mark.parametrize("given", ["catalog.json", {"type": "Feature"}, None, 5, ["item"]])
def test_what_is_no_item(given):
    with pytest.raises(DataError, match="load takes STAC items") as caught:
        load(given, "red")
    assert "rsdat.search()" in (caught.value.hint or "")


def test_what_contradicts_itself(item):
    ds = load([item], "red")
    for wrong in (
        {"geobox": ds.odc.geobox, "resolution": 10},
        {"resampling": "fuzzy"},
        {"resolution": -1},
        {"chunks": 0},
    ):
        with pytest.raises(ConfigError):
            load([item], "red", **wrong)
    with pytest.raises(ConfigError, match="no variable 'nir'"):
        ndvi(ds)
    with pytest.raises(ConfigError, match="no variable 'scl'"):
        mask_clouds(ds)
    with pytest.raises(ConfigError, match="mode"):
        composite(ds, "mode")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resolution": 0}, "resolution 0 is not a positive number"),
        ({"resolution": float("nan")}, "resolution nan"),
        ({"resolution": float("inf")}, "resolution inf"),
        ({"resolution": "10"}, "resolution '10'"),
        ({"resolution": (10, 20)}, r"resolution \(10, 20\)"),
        ({"resolution": 1e-9}, "make a grid of 640000000000 × 640000000000"),
        ({"bbox": (1, 2, 3)}, "is not four numbers"),
        ({"bbox": "1,2,3,4"}, "is not four numbers"),
        ({"bbox": (float("nan"),) * 4}, "is not on the earth"),
        ({"bbox": (600_000, 4_999_000, 600_640, 5_000_000)}, "is not on the earth"),
        ({"bbox": (10.27, 45.2, 10.28, 45.1)}, "south above its north"),
        ({"geobox": (64, 64)}, "tuple is no grid with a CRS"),
        ({"crs": "EPSG:0"}, "CRS 'EPSG:0' is not known"),
        ({"crs": "EPSG:4326", "resolution": 10}, "a pixel of 10 is larger than all"),
    ],
)
@pytest.mark.parametrize("door", [load, lambda *given, **more: chain(*given, **more).geobox])
def test_a_grid_that_cannot_be_meant(item, door, wrong, said):
    with pytest.raises(ConfigError, match=said) as caught:
        door([item], "red", **wrong)
    assert caught.value.hint


@pytest.mark.parametrize(
    "chunks", [0, -5, "auto", 1e3, {"x": 0}, {"x": "a"}, {"z": 5}, {"time": 0}]
)
def test_chunks_that_are_not_possible(item, chunks):
    with pytest.raises(ConfigError, match=r"chunks .* are not possible") as caught:
        load([item], "red", chunks=chunks)
    assert "-1: one chunk" in caught.value.hint


@pytest.mark.parametrize("bands", [[], "", ["red", None], ["red", 4]])
def test_bands_that_are_no_names(item, bands):
    for door in (load, chain):
        with pytest.raises(ConfigError, match=r"no names|no bands"):
            door([item], bands)


def test_an_item_that_is_given_twice_counts_once(item, scenes):
    path = scenes.write("other", np.full((64, 64), 3500, "uint16"), block=16, nodata=0)
    other = scenes.item("scene", {"red": path})  # of the same id, and another image
    with pytest.warns(UserWarning, match="1 of 3 items were given twice") as caught:
        ds = load([item, other, item.clone()], "red")
    assert ds.sizes["time"] == 2
    assert [one.filename for one in caught if one.category is UserWarning] == [__file__]
    with pytest.warns(UserWarning, match="1 of 2 items were given twice") as caught:
        made = chain([item, item], "red")
    assert [one.filename for one in caught if one.category is UserWarning] == [__file__]
    assert (made.composite("count").evaluate() == 1).all()


def test_stored_integers_of_items_that_differ_in_offset_are_refused(sentinel2):
    one = sentinel2(dates=1)
    other = sentinel2(dates=1, **{"earthsearch:boa_offset_applied": True})
    other[0].id = "other"
    with pytest.raises(DataError, match="differ in scale or offset"):
        load([*one, *other], "red", scale=False)


def test_the_old_landsat_layout_is_refused_unless_told(scenes):
    path = scenes.write("bqa", np.full((4, 4), 20480, "uint16"))
    red = scenes.write("red", np.full((4, 4), 9, "uint16"))
    item = scenes.item("scene", {"bqa": path, "red": red})
    ds = load([item], ["red", "bqa"])
    with pytest.raises(ConfigError, match="layout"):
        mask_clouds(ds, "bqa")
    assert np.isnan(mask_clouds(ds, "bqa", bits=[12]).red.values).all()
    with pytest.raises(DataError, match="not Landsat Collection 2"):
        mask_clouds(ds.rename(bqa="qa_pixel"), "qa_pixel").compute()


def test_a_replaced_file_is_read_anew(item, scenes):
    os.utime(item.assets["red"].href, (0, 0))  # however coarse the times of the file system are
    ds = load([item], "red")
    assert float(ds.red.max()) == pytest.approx(0.05)
    scenes.write("red", np.full((64, 64), 2500, "uint16"), block=16, nodata=0)
    assert float(load([item], "red").red.max()) == pytest.approx(0.15)


def test_many_threads_read_the_same_file(item):
    ds = load([item], "red", chunks=8)
    results = []
    work = [
        threading.Thread(target=lambda: results.append(ds.red.compute(scheduler="threads").sum()))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len({float(result) for result in results}) == 1


def test_radar_with_ground_control_points_is_refused(scenes):
    path = scenes.directory / "hh.tif"
    points = [
        rasterio.control.GroundControlPoint(row, column, 10 + column / 100, 50 - row / 100)
        for row in (0, 9)
        for column in (0, 9)
    ]
    profile = {"driver": "GTiff", "height": 10, "width": 10, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", **profile, gcps=points, crs="EPSG:4326") as opened:
        opened.write(np.ones((1, 10, 10), "uint16"))
    # What catalogs declare of such files is no grid that their pixels lie on.
    declared = {
        "proj:code": "EPSG:4326",
        "proj:shape": [10, 10],
        "proj:transform": [0.01, 0, 10, 0, -0.01, 50],
    }
    item = scenes.item("scene", {"hh": path}, bands={"hh": declared})
    with pytest.raises(DataError, match=r"item scene: asset hh .* ground control points") as caught:
        load([item], "hh")
    assert "RTC" in caught.value.hint


@pytest.mark.parametrize("kind", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused(scenes, kind):
    path = scenes.directory / "slc.tif"
    profile = {"driver": "GTiff", "height": 9, "width": 9, "count": 1, "crs": "EPSG:32632"}
    transform = rasterio.transform.from_origin(600_000, 5_000_000, 10, 10)
    with rasterio.open(path, "w", **profile, dtype=kind, transform=transform) as opened:
        opened.write(np.ones((1, 9, 9), "complex64"))
    for door in (load, lambda *given: chain(*given).evaluate()):
        with pytest.raises(DataError, match=r"item scene: asset vv .* complex") as caught:
            door([scenes.item("scene", {"vv": path})], "vv")
        assert "not SLC" in caught.value.hint


def test_a_file_that_says_nothing_of_its_place_takes_the_declared_grid_of_its_size(scenes):
    path = scenes.directory / "bare.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        profile = {"driver": "GTiff", "height": 4, "width": 4, "count": 1, "dtype": "uint16"}
        with rasterio.open(path, "w", **profile) as opened:
            opened.write(np.arange(16, dtype="uint16").reshape(1, 4, 4))
        declared = {
            "proj:code": "EPSG:32632",
            "proj:shape": [4, 4],
            "proj:transform": [10, 0, 600_000, 0, -10, 5_000_000],
        }
        item = scenes.item("scene", {"a": path}, bands={"a": declared})
        assert load([item], "a").odc.geobox.transform.c == 600_000
        item.assets["a"].extra_fields["proj:shape"] = [48, 48]
        with pytest.raises(DataError, match="does not say where it lies") as caught:
            load([item], "a")
    assert "aux.xml" in caught.value.hint


@pytest.mark.parametrize("code", ["EPSG:999999", "here"])
def test_a_declared_crs_that_is_none(scenes, code):
    declared = {
        "proj:code": code,
        "proj:shape": [4, 4],
        "proj:transform": [10, 0, 600_000, 0, -10, 5_000_000],
    }
    good = scenes.write("a", np.ones((4, 4), "uint16"))
    items = [scenes.item(f"scene{n}", {"a": good}, bands={"a": declared}) for n in (1, 2)]
    assert load(items, "a").odc.geobox.crs.epsg == 32632
    bad = scenes.write("b", np.ones((4, 4), "uint16"), crs=None)
    with pytest.raises(DataError, match=f"no CRS that is known: {code}"):
        load([scenes.item("scene", {"a": bad}, bands={"a": declared})], "a")


@pytest.mark.parametrize("wrong", [-9999, 300, 0.5, "nan"])
def test_a_declared_nodata_that_the_type_cannot_hold_hides_nothing(scenes, wrong):
    pixels = np.arange(16, dtype="uint8").reshape(4, 4)
    fields = {"raster:bands": [{"nodata": wrong}]}
    item = scenes.item("scene", {"a": scenes.write("a", pixels)}, bands={"a": fields})
    wider = load([item], "a").odc.geobox.pad(1)
    for scale in (True, False):
        ds = load([item], "a", geobox=wider, scale=scale)
        np.testing.assert_array_equal(ds.a[0, 1:-1, 1:-1], pixels)
    found = load([item], "a", resolution=15, resampling="bilinear").a.values
    assert np.isfinite(found[0, :2, :2]).all()
