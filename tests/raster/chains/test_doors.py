"""All ways out of a chain give the pixels of evaluate(): xarray, files, threads, a cluster."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

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


def test_a_zarr_store_holds_the_pixels(greenness, tmp_path):
    expected = greenness.evaluate()
    greenness.to_zarr(tmp_path / "store.zarr")
    with xr.open_zarr(tmp_path / "store.zarr", group="0") as opened:
        equal(opened["ndvi"].values.reshape(expected.shape), expected)


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
            n_workers=1, threads_per_worker=2, dashboard_address=None, host="127.0.0.1"
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
