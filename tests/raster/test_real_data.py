"""The real scenes, where they are present: the same numbers as plain rasterio and numpy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio

from rsdat import chain
from rsdat.raster import composite, load, mask_clouds, ndvi


def test_declared_offset_that_is_applied_already(slovenia, plain):
    scene = next(item for item in slovenia if "20230815" in item.id)
    ds = load([scene], ["red", "scl"])
    assert ds.red.shape == (1, 915, 915)
    vegetation = ds.red.values[ds.scl.values == 4]
    assert round(float(np.nanmedian(vegetation)), 4) == 0.0319
    np.testing.assert_array_equal(ds.red[0], plain.reflectance(scene, "red", offset=0))


def test_masked_median_of_five_dates(slovenia, plain):
    ds = mask_clouds(load(slovenia, ["red", "nir", "scl"], chunks={"time": -1, "y": 300, "x": 400}))
    stacks = {}
    for band in ("red", "nir"):
        layers = []
        for item in slovenia:
            values = plain.reflectance(item, band, offset=0)
            values[plain.cloudy(item, repeat=1)] = np.nan
            layers.append(values)
        stacks[band] = np.stack(layers)
    index = plain.ndvi(stacks["red"], stacks["nir"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_array_equal(composite(ds).red, np.nanmedian(stacks["red"], axis=0))
        np.testing.assert_array_equal(composite(ndvi(ds)), np.nanmedian(index, axis=0))


def test_landsat_scale_offset_and_quality_bits(landsat):
    ds = load([landsat], ["red", "nir", "qa_pixel"])
    stored = {}
    for name, key in (("red", "SR_B4.TIF"), ("nir", "SR_B5.TIF"), ("qa", "QA_PIXEL.TIF")):
        with rasterio.open(landsat.assets[key].href) as opened:
            stored[name] = opened.read(1)
    for name in ("red", "nir"):
        expected = stored[name].astype("float32") * np.float32(2.75e-5) + np.float32(-0.2)
        np.testing.assert_array_equal(
            ds[name][0], np.where(stored[name] == 0, np.float32(np.nan), expected)
        )
    masked = mask_clouds(ds, "qa_pixel")
    clear = (stored["qa"] & 0b11111) == 0
    known = clear & (stored["red"] != 0)
    np.testing.assert_array_equal(np.isfinite(masked.red[0]), known)


def test_ndvi_of_landsat_through_the_chain(landsat, plain):
    # Only fill: all else of this scene is cloud, or its shadow.
    made = chain([landsat], ["red", "nir"]).mask_clouds("qa_pixel", bits=[0]).index("ndvi")
    found = made.evaluate()[0, 0]
    stored = {}
    for name, key in (("red", "SR_B4.TIF"), ("nir", "SR_B5.TIF"), ("qa", "QA_PIXEL.TIF")):
        with rasterio.open(landsat.assets[key].href) as opened:
            stored[name] = opened.read(1)
    bands = {}
    for name in ("red", "nir"):
        values = stored[name].astype("float32") * np.float32(2.75e-5) + np.float32(-0.2)
        hidden = (stored[name] == 0) | ((stored["qa"] & 1) != 0)
        bands[name] = np.where(hidden, np.float32("nan"), values)
    np.testing.assert_array_equal(found, plain.ndvi(bands["red"], bands["nir"]))
    assert 0.1 < np.isfinite(found).mean() < 0.7
    assert not np.isfinite(chain([landsat], "red").mask_clouds().evaluate()).any()


@pytest.mark.parametrize(
    ("date", "red", "index", "cloudy"),
    [("20230815", 0.0319, 0.827, 0.006), ("20230818", 0.0398, 0.787, 0.559)],
)
def test_vegetation_of_sentinel2_through_the_chain(slovenia, plain, date, red, index, cloudy):
    scene = next(item for item in slovenia if date in item.id)
    classes = chain([scene], "scl").evaluate()[0, 0]
    values = chain([scene], ["red", "nir"]).index("ndvi", keep=True).evaluate()[0]
    vegetation = classes == 4
    assert round(float(np.nanmedian(values[0][vegetation])), 4) == red
    assert round(float(np.nanmedian(values[2][vegetation])), 3) == index
    assert round(float(np.isin(classes, (3, 8, 9, 10)).sum() / (classes != 0).sum()), 3) == cloudy
    bands = (plain.reflectance(scene, band, offset=0) for band in ("red", "nir"))
    np.testing.assert_array_equal(values[2], plain.ndvi(*bands))


def test_median_of_five_dates_through_the_chain(slovenia, plain):
    made = chain(slovenia, ["red", "nir"]).mask_clouds().index("ndvi").composite()
    layers = []
    for item in slovenia:
        index = plain.ndvi(*(plain.reflectance(item, b, offset=0) for b in ("red", "nir")))
        index[plain.cloudy(item, repeat=1)] = np.nan
        layers.append(index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_array_equal(made.evaluate()[0], np.nanmedian(layers, axis=0))
