"""load, mask, index and composite give, pixel for pixel, what plain rasterio and numpy give."""

from __future__ import annotations

import warnings

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.vrt import WarpedVRT

from rsdat.raster import composite, load, mask_clouds, ndvi, write_cog
from rsdat.raster.sources import source


def equal(found: xr.DataArray | np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("block", [None, 16, 32, 64])
@pytest.mark.parametrize("chunks", [None, 17, {"time": -1, "y": 40, "x": -1}])
def test_composite_of_ndvi(sentinel2, plain, block, chunks):
    items = sentinel2(block=block)
    ds = mask_clouds(load(items, ["red", "nir", "scl"], chunks=chunks))
    stack = np.stack(
        [plain.ndvi(plain.masked(item, "red"), plain.masked(item, "nir")) for item in items]
    )
    equal(ndvi(ds), stack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        equal(composite(ndvi(ds)), np.nanmedian(stack, axis=0))
        equal(composite(ndvi(ds), "max"), np.nanmax(stack, axis=0))
        equal(composite(ndvi(ds), "mean"), np.nanmean(stack, axis=0))


def test_offset_is_applied_where_pixels_lack_it(sentinel2, plain):
    items = sentinel2(dates=1)
    equal(load(items, "red").red[0], plain.reflectance(items[0], "red", offset=-0.1))


def test_offset_is_not_applied_twice(sentinel2, plain):
    items = sentinel2(dates=1, **{"earthsearch:boa_offset_applied": True})
    equal(load(items, "red").red[0], plain.reflectance(items[0], "red", offset=0))


def test_offset_not_yet_applied_is_applied(sentinel2, plain):
    items = sentinel2(dates=1, **{"earthsearch:boa_offset_applied": False})
    equal(load(items, "red").red[0], plain.reflectance(items[0], "red", offset=-0.1))


def test_stored_integers_give_the_same_ndvi_and_composite(sentinel2):
    items = sentinel2()
    names = ["red", "nir", "scl"]
    physical, stored = load(items, names), load(items, names, scale=False)
    assert stored.red.dtype == np.uint16
    assert stored.red.attrs["offset"] == -0.1
    equal(ndvi(mask_clouds(stored)), ndvi(mask_clouds(physical)).values)
    one, other = composite(mask_clouds(stored)), composite(mask_clouds(physical))
    equal(one.red, other.red.values)


def test_results_carry_no_scale_of_the_numbers_they_were_made_from(sentinel2, tmp_path):
    stored = load(sentinel2(), ["red", "nir", "scl"], scale=False)
    clear = mask_clouds(stored)
    for result in (composite(clear).red, ndvi(clear), composite(ndvi(clear), "max")):
        assert not {"scale", "offset"} & set(result.attrs)
        assert np.isnan(result.attrs["nodata"])
    # A reader that applies the file's scale must get reflectances, not scale them once more.
    with rasterio.open(write_cog(composite(clear).red, tmp_path / "red.tif")) as opened:
        assert (opened.scales, opened.offsets) == ((1.0,), (0.0,))


def test_classes_stay_integers_and_are_repeated(sentinel2, plain):
    items = sentinel2(dates=2)
    ds = load(items, ["red", "scl"])
    assert ds.scl.dtype == np.uint8
    equal(ds.scl[1], plain.numbers(items[1], "scl").repeat(2, 0).repeat(2, 1))


def test_south_up_file(scenes, reflectance):
    pixels = np.arange(1, 31 * 20 + 1, dtype="uint16").reshape(31, 20)
    files = {"a": scenes.write("a", pixels), "b": scenes.write("b", pixels, up=True)}
    ds = load([scenes.item("one", files)], ["a", "b"], scale=False)
    equal(ds.b, ds.a.values)
    equal(ds.a[0], pixels)


def test_bbox_takes_the_pixels_it_touches(scenes):
    pixels = np.arange(40 * 40, dtype="uint16").reshape(40, 40)
    item = scenes.item("one", {"a": scenes.write("a", pixels, block=16)})
    grid = GeoBox.from_rio(rasterio.open(scenes.directory / "a.tif"))
    part = grid[7:29, 11:31]
    inner = part.pad(-1).boundingbox.polygon.to_crs("EPSG:4326").boundingbox
    ds = load([item], "a", bbox=tuple(inner), scale=False)
    rows = slice(*(round((5_000_000 - y) / 10 - 0.5) for y in ds.y.values[[0, -1]]))
    columns = slice(*(round((x - 600_000) / 10 - 0.5) for x in ds.x.values[[0, -1]]))
    equal(ds.a[0], pixels[rows.start : rows.stop + 1, columns.start : columns.stop + 1])
    assert abs(rows.start - 8) <= 1
    assert abs(columns.stop - 29) <= 1


def test_items_may_come_in_any_form(sentinel2):
    items = sentinel2()
    expected = load(items, "red").red.values
    catalog = pystac.Catalog("all", "items of one place")
    catalog.add_items(items)
    for form in (items[::-1], iter(items), pystac.ItemCollection(items), catalog):
        equal(load(form, "red").red, expected)
    equal(load(items[0], "red").red, expected[:1])


def test_single_pixel(scenes, reflectance):
    item = scenes.item("one", {"red": scenes.write("red", np.full((1, 1), 1500, "uint16"))})
    item.assets["red"].extra_fields.update(reflectance)
    assert load([item], "red").red.values.item() == pytest.approx(0.05)


def test_all_cloud_gives_no_data(scenes, reflectance):
    files = {
        "red": scenes.write("red", np.full((8, 8), 1500, "uint16")),
        "scl": scenes.write("scl", np.full((4, 4), 9, "uint8"), edge=20),
    }
    item = scenes.item("one", files, bands={"red": reflectance})
    ds = composite(mask_clouds(load([item], ["red", "scl"])))
    assert np.isnan(ds.red.values).all()


def test_items_side_by_side_fill_their_part(scenes):
    left, right = np.full((20, 20), 100, "uint16"), np.full((20, 20), 200, "uint16")
    items = [
        scenes.item("left", {"a": scenes.write("left", left, nodata=0)}, day=1),
        scenes.item(
            "right",
            {"a": scenes.write("right", right, nodata=0, origin=(600_150, 5_000_000))},
            day=2,
        ),
    ]
    ds = load(items, "a", chunks=8)
    assert ds.a.shape == (2, 20, 35)
    equal(ds.a[0], np.where(np.arange(35) < 20, np.float32(100), np.nan)[None].repeat(20, 0))
    equal(composite(ds).a[0, [0, 14, 15, 19, 20, 34]], np.float32([100, 100, 150, 150, 200, 200]))


@pytest.mark.parametrize("chunks", [64, 100, 333])
def test_other_crs_is_gdals_exact_nearest(scenes, chunks):
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 60_000, (300, 300)).astype("uint16")
    item = scenes.item("one", {"a": scenes.write("a", pixels, nodata=0, block=64)})
    ds = load([item], "a", crs="EPSG:32633", resolution=10, scale=False, chunks=chunks)
    grid = ds.odc.geobox
    with (
        rasterio.open(item.assets["a"].href) as opened,
        WarpedVRT(
            opened,
            crs="EPSG:32633",
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            tolerance=1e-9,
        ) as warped,
    ):
        expected = warped.read(1)
    equal(ds.a.values[0], expected)
    assert (expected > 0).mean() > 0.5


def test_warped_pixels_do_not_depend_on_chunks(scenes):
    rng = np.random.default_rng(4)
    pixels = rng.integers(1, 60_000, (200, 200)).astype("uint16")
    item = scenes.item("one", {"a": scenes.write("a", pixels, nodata=0)})
    options = {"crs": "EPSG:4326", "scale": False}
    whole = load([item], "a", **options, chunks=-1).a.values
    parts = load([item], "a", **options, chunks=37).a.values
    equal(whole, parts)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
def test_other_resamplings_are_gdals(scenes, resampling):
    pixels = np.add.outer(np.arange(100), np.arange(100)).astype("float32")
    item = scenes.item("one", {"a": scenes.write("a", pixels, nodata=-1)})
    ds = load([item], "a", resolution=25, resampling=resampling)
    grid = ds.odc.geobox
    with (
        rasterio.open(item.assets["a"].href) as opened,
        WarpedVRT(
            opened,
            crs="EPSG:32632",
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=rasterio.enums.Resampling[resampling],
            tolerance=0.001,
        ) as warped,
    ):
        expected = warped.read(1)
    np.testing.assert_allclose(ds.a.values[0], np.where(expected == -1, np.nan, expected))


def test_coarser_output_takes_the_overview(scenes):
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 999, (64, 64)).astype("uint16")
    path = scenes.write("a", pixels, block=16, overviews=(2, 4))
    item = scenes.item("one", {"a": path})
    with rasterio.open(path, overview_level=1) as opened:
        expected = opened.read(1)
    equal(load([item], "a", resolution=40, scale=False).a[0], expected)


def test_coarser_output_without_overviews_thins(scenes):
    pixels = np.arange(60 * 60, dtype="uint16").reshape(60, 60)
    item = scenes.item("one", {"a": scenes.write("a", pixels)})
    equal(load([item], "a", resolution=30, scale=False).a[0], pixels[1::3, 1::3])


def test_the_file_wins_over_the_declared_grid(scenes):
    pixels = np.arange(1, 17, dtype="uint16").reshape(4, 4)
    declared = {
        "proj:code": "EPSG:32632",
        "proj:shape": [48, 48],
        "proj:transform": [10, 0, 600_000, 0, -10, 5_000_000],
    }
    item = scenes.item("one", {"a": scenes.write("a", pixels, edge=120)}, bands={"a": declared})
    assert source(item, "a").declared is not None
    ds = load([item], "a", scale=False)
    equal(ds.a[0], pixels)
    assert float(ds.x[1] - ds.x[0]) == 120


def test_geobox_is_taken_as_it_is(scenes):
    pixels = np.arange(1, 401, dtype="uint16").reshape(20, 20)
    item = scenes.item("one", {"a": scenes.write("a", pixels, nodata=0)})
    grid = GeoBox.from_rio(rasterio.open(item.assets["a"].href)).pad(2)[3:9, :5]
    ds = load([item], "a", geobox=grid)
    assert ds.odc.geobox == grid
    equal(ds.a[0, :, 2:], pixels[1:7, :3].astype("float32"))
    assert np.isnan(ds.a[0, :, :2]).all()
