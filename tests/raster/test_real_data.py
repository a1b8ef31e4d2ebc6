"""The real scenes, where they are present: the same numbers as plain rasterio and numpy."""

from __future__ import annotations

import warnings

import numpy as np
import rasterio

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
