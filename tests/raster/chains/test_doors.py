"""All ways out of a chain give the pixels of evaluate(): xarray, files, threads, a cluster."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geom import box

from rsdat import chain, composite, load, mask_clouds, ndvi
from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.ends import token
from tests.raster.chains import reference
from tests.raster.chains.cases import stacks

equal = np.testing.assert_array_equal


@settings(deadline=None, max_examples=8)
@given(
    make=stacks(clouds=True, dtypes=("uint16", "float32")),
    method=st.sampled_from(["median", "max", "min", "count"]),
    chunks=st.sampled_from([23, -1, {"y": 40, "x": 19}]),
)
def test_load_and_xarray_agree_with_the_chain(shelf, make, method, chunks):
    stack = make(shelf)
    bands = ["red", "nir"]
    made = chain(stack.items, bands).mask_clouds()
    ds = mask_clouds(load(stack.items, [*bands, "scl"], geobox=made.geobox, chunks=chunks))
    equal(made.evaluate(), ds[bands].to_array("band").transpose("time", "band", "y", "x"))
    equal(made.index("ndvi").evaluate()[:, 0], ndvi(ds))
    found = made.composite(method)
    if method != "count":
        expected = composite(ds[bands], method).to_array("band")
        equal(found.evaluate(), expected)
    lazy = found.to_xarray(chunks=chunks)
    equal(lazy.compute(scheduler="threads", num_workers=2), found.evaluate())
    assert list(lazy.band.values) == list(found.bands)


@settings(deadline=None, max_examples=15)
@given(
    make=stacks(dtypes=("uint16", "float32"), most=2),
    stored=st.sampled_from(
        [("int16", 1e-4, None), ("uint16", 1e-3, 65535.0), ("uint8", 0.01, 7.0)]
    ),
)
def test_numbers_are_encoded_as_numpy_rounds_them(shelf, make, stored):
    from rsdat.raster.chains.ends import image_of

    dtype, unit, nodata = stored
    made = chain(make(shelf).items, ["red", "nir"]).composite("max")
    image = image_of(made, dtype, unit, nodata)
    found = image.pixels((slice(0, made.geobox.height), slice(0, made.geobox.width))).values
    fill = float(np.iinfo(dtype).min) if nodata is None else nodata
    equal(found, reference.encoded(made.evaluate(), dtype, unit, fill))
    assert (image.nodata, image.scales) == (fill, (unit, unit))


@pytest.fixture(scope="module")
def greenness(shelf):
    """Three dates of 70 × 50 pixels with clouds."""
    rng = np.random.default_rng(9)
    from tests.raster.chains.cases import Stack

    stack = Stack()
    for day in (1, 2, 9):
        bands = {name: rng.integers(0, 9000, (70, 50)).astype("uint16") for name in ("red", "nir")}
        bands["scl"] = rng.choice(np.array([4, 5, 9], "uint8"), (35, 25))
        numbers = dict.fromkeys(("red", "nir"), (1e-4, -0.1))
        stack.add(shelf, bands, day=day, numbers=numbers, nodata=dict.fromkeys(bands, 0), block=16)
    return chain(stack.items, ["red", "nir"]).mask_clouds().index("ndvi").composite()


def test_a_cog_holds_the_pixels(greenness, tmp_path):
    expected = greenness.evaluate()
    written = greenness.to_cog(tmp_path / "plain.tif")
    with rasterio.open(written.path) as opened:
        equal(opened.read(), expected)
    written = greenness.to_cog(tmp_path / "packed.tif", dtype="int16")
    with rasterio.open(written.path) as opened:
        equal(opened.read(), reference.encoded(expected, "int16", 1e-4, -32768))
        assert (opened.scales, opened.nodata) == ((1e-4,), -32768)


def test_floats_without_data_become_the_nodata_that_is_named(greenness, tmp_path):
    expected = greenness.evaluate()
    assert np.isnan(expected).any()
    written = greenness.to_cog(tmp_path / "named.tif", nodata=-9999)
    with rasterio.open(written.path) as opened:
        equal(opened.read(), np.where(np.isnan(expected), np.float32(-9999), expected))
        assert opened.nodata == -9999
    with pytest.raises(ConfigError, match="nodata 'none' is no number"):
        greenness.to_cog(tmp_path / "none.tif", nodata="none")


def test_a_zarr_store_holds_the_pixels(greenness, tmp_path):
    expected = greenness.evaluate()
    greenness.to_zarr(tmp_path / "store.zarr")
    with xr.open_zarr(tmp_path / "store.zarr", group="0") as opened:
        equal(opened["ndvi"].values.reshape(expected.shape), expected)


# --- whole numbers of a function


def classified(values):
    """Three classes of NDVI, and no data where it has none."""
    classes = np.digitize(values, [0.0, 0.3]).astype("float32")
    return np.where(np.isnan(values), np.nan, classes)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("int16", -32768)])
def test_classes_of_a_function_are_stored_as_they_are(greenness, tmp_path, dtype, nodata):
    plain = greenness.apply(classified, bands_out="class")
    made = greenness.apply(classified, bands_out="class", dtype=dtype)
    expected = np.where(np.isnan(plain.evaluate()), nodata, plain.evaluate()).astype(dtype)
    assert {0, 1, 2, nodata} <= set(np.unique(expected).tolist())
    found = made.evaluate()
    assert found.dtype == dtype
    equal(found, expected)
    equal(made.to_xarray(chunks=32).compute(), expected)
    for name, options in (("own", {}), ("asked", {"dtype": "uint8"}), ("named", {"nodata": 7})):
        made.to_cog(tmp_path / f"{name}.tif", **options)
        with rasterio.open(tmp_path / f"{name}.tif") as opened:
            fill = {"own": nodata, "asked": 255, "named": 7}[name]
            equal(opened.read(), np.where(expected == nodata, fill, expected))
            assert (opened.nodata, opened.scales) == (fill, (1.0,))
    made.to_zarr(tmp_path / "store.zarr")
    with xr.open_zarr(tmp_path / "store.zarr", group="0") as opened:
        equal(opened["class"].values, plain.evaluate()[0])


def test_a_composite_of_classes_is_of_their_type_where_it_takes_one_of_them(greenness):
    made = replace(greenness, steps=greenness.steps[:1])
    plain, whole = (made.apply(classified, dtype=dtype) for dtype in ("float32", "uint8"))
    for method, dtype in (("first", "uint8"), ("most_recent", "uint8"), ("mean", "float32")):
        found, expected = (one.composite(method).evaluate() for one in (whole, plain))
        assert found.dtype == dtype
        equal(np.where(found == 255, np.nan, found), expected)
    assert whole.mosaic("day").evaluate().dtype == "uint8"
    assert whole.index("ndvi * 2").evaluate().dtype == "float32"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda v: v * 0 + 0.5, "gave the number 0.5, which is not whole, where uint8"),
        (lambda v: v * 0 + 256, "gave the number 256, beyond uint8, where uint8"),
        (lambda v: v * 0 - 1, "gave the number -1, beyond uint8"),
        (lambda v: v * 0 + 255, "gave the number 255, which stands for no data"),
    ],
)
def test_what_a_function_gives_against_its_word(greenness, function, said):
    with pytest.raises(DataError, match=said) as caught:
        greenness.apply(function, dtype="uint8").evaluate()
    assert "at x 600000 to" in caught.value.message
    assert "NaN where there is no data" in caught.value.hint


def test_numbers_that_mean_something_are_not_moved_to_fit(greenness, tmp_path):
    count = replace(greenness, steps=greenness.steps[:1]).composite("count")
    with pytest.raises(DataError, match="the number 1, which stands for no data") as caught:
        count.to_cog(tmp_path / "count.tif", dtype="uint8", nodata=1)
    assert "another nodata" in caught.value.hint
    days = replace(greenness, steps=()).composite("max_ndvi")
    with pytest.raises(DataError, match=r"the number 198\d\d, beyond int8"):
        days.to_cog(tmp_path / "days.tif", dtype="int8", scale=0.01)
    for dtype in ("int32", "float64", "x"):
        with pytest.raises(ConfigError, match=f"dtype '{dtype}' is not possible here"):
            greenness.apply(classified, dtype=dtype)


def test_plans_are_small_values_that_travel(greenness):
    plan = greenness.plan
    again = pickle.loads(pickle.dumps(plan))
    equal(again.evaluate(greenness.geobox).values, greenness.evaluate())
    assert len(pickle.dumps(plan)) < 20_000
    assert token(greenness, again) == token(greenness, plan)


def test_many_threads_at_once(greenness):
    expected = greenness.evaluate()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: greenness.evaluate(), range(16)):
            equal(found, expected)


def test_workers_in_processes(greenness, tmp_path):
    def doubled(values, by):
        return values * by

    made = greenness.apply(doubled, by=2)
    expected = made.evaluate()
    with (
        dask.config.set({"distributed.admin.system-monitor.interval": "1s"}),
        LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        Client(cluster),
    ):
        equal(made.to_xarray(chunks=32).compute(), expected)
        written = made.to_cog(tmp_path / "cluster.tif")
    with rasterio.open(written.path) as opened:
        equal(opened.read(), expected)


# --- what a resumed run, and Dask, take for the same computation


def times(factor):
    def scaled(values):
        return values * factor

    return scaled


def test_computations_that_differ_have_other_tokens(greenness):
    made = greenness.apply(np.abs)
    west, south, east, north = made.geobox.boundingbox
    whole = box(west, south, east, north, made.geobox.crs)
    half = whole & box(west, south, east, (south + north) / 2, made.geobox.crs)
    corner = whole - box(west, south, (west + east) / 2, (south + north) / 2, made.geobox.crs)
    first, second = (lambda v: v + 1), (lambda v: v + 2)
    long, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    different = [
        made,
        greenness.apply(times(2)),
        greenness.apply(times(3)),
        greenness.apply(first),
        greenness.apply(second),
        greenness.apply(np.interp, fp=long),
        greenness.apply(np.interp, fp=other),
        greenness.clip(whole),
        greenness.clip(half),
        greenness.clip(corner),
    ]
    tokens = [token(one, one.plan) for one in different]
    assert len(set(tokens)) == len(tokens)
    again = greenness.apply(times(2))
    assert token(again, again.plan) == tokens[1]


def test_a_file_that_was_written_anew_makes_another_token(greenness):
    made = greenness.apply(np.abs)
    file = Path(made.sources[0][0].href)
    os.utime(file, (0, 0))  # however coarse the times of the file system are
    before = token(made, made.plan)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    assert token(made, made.plan) != before
