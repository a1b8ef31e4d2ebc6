"""Rules on several bands, against their definition in stored numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import DataError
from rsdat.raster.indices import physical
from rsdat.raster.rules import (
    CLOUD_BANDS,
    STUBBLE_BANDS,
    WATER_BANDS,
    open_water,
    potential_clouds,
    stubble_burning,
)

NUMBERS = st.one_of(
    st.integers(0, 2000), st.sampled_from([499, 500, 501, 999, 1000, 1199, 1200, 1599, 1600])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[NUMBERS] * 4), min_size=1, max_size=30), st.sampled_from([0, 1000]))
def test_stubble_burning_is_its_rule_in_stored_numbers(pixels, added):
    stored = np.array(pixels, "uint16").T.reshape(4, 1, -1)
    reflectance = physical(stored + np.uint16(added), 1e-4, -added * 1e-4, None)
    b04, b06, b08, b11 = stored.astype(int)
    expected = (b04 < 1000) & (b06 < 1200) & (b08 < 1200) & (b11 > 500) & (b11 < 1600)
    np.testing.assert_array_equal(stubble_burning(reflectance), expected)


def test_stubble_burning_without_data_and_with_other_limits():
    pixels = np.full((4, 1, 3), 0.08, "float32")
    pixels[1, 0, 1] = np.nan
    pixels[3, 0, 2] = 0.04
    np.testing.assert_array_equal(stubble_burning(pixels), [[1, np.nan, 0]])
    assert stubble_burning(pixels).dtype == np.float32
    np.testing.assert_array_equal(stubble_burning(pixels, swir16_above=0.03), [[1, np.nan, 1]])
    np.testing.assert_array_equal(stubble_burning(pixels, red_below=0.07), [[0, np.nan, 0]])


#: blue, green, red, nir, swir16, swir22: reflectances at the top of the atmosphere.
SURFACES = {
    "thick cloud": ((0.55, 0.54, 0.55, 0.6, 0.45, 0.35), 1),
    "thin cloud": ((0.25, 0.23, 0.22, 0.35, 0.25, 0.17), 1),
    "forest": ((0.09, 0.08, 0.05, 0.35, 0.16, 0.07), 0),
    "snow": ((0.85, 0.84, 0.82, 0.75, 0.08, 0.06), 0),
    "water": ((0.1, 0.07, 0.04, 0.02, 0.01, 0.005), 0),
    "bare soil": ((0.13, 0.15, 0.2, 0.27, 0.38, 0.33), 0),
    "red rock": ((0.12, 0.18, 0.4, 0.5, 0.6, 0.5), 0),
    "nothing": ((0, 0, 0, 0, 0, 0), 0),
    "below zero": ((-0.02, -0.01, -0.01, -0.01, -0.01, -0.01), 0),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_potential_clouds(surface):
    spectrum, expected = SURFACES[surface]
    pixel = np.float32(spectrum).reshape(6, 1, 1)
    result = potential_clouds(pixel)
    assert result.dtype == np.float32
    assert result.tolist() == [[expected]]
    for band in range(6):
        unknown = pixel.copy()
        unknown[band] = np.nan
        assert np.isnan(potential_clouds(unknown)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_potential_clouds_are_fmasks_quotients(seed):
    # Half of them near grey, so that the later tests are reached.
    rng = np.random.default_rng(seed)
    spectra = rng.uniform(0.01, 1, (6, 1, 200))
    spectra[:, :, 100:] = spectra[:1, :, 100:] * rng.uniform(0.6, 1.1, (6, 1, 100))
    blue, green, red, nir, swir16, swir22 = spectra
    mean = (blue + green + red) / 3
    margins = [
        swir22 - 0.03,
        0.8 - (green - swir16) / (green + swir16),
        0.8 - (nir - red) / (nir + red),
        0.7 - sum(abs(band - mean) for band in (blue, green, red)) / mean,
        blue - 0.5 * red - 0.08,
        nir / swir16 - 0.75,
    ]
    clear_cut = np.min(np.abs(margins), axis=0) > 1e-5
    result = potential_clouds(spectra.astype("float32"))
    expected = (np.array(margins) > 0).all(axis=0)
    assert expected.any()
    np.testing.assert_array_equal(result[clear_cut], expected[clear_cut])


def test_each_test_of_potential_clouds_can_refuse():
    cloud = np.float32(SURFACES["thick cloud"][0]).reshape(6, 1, 1)
    for limit in (
        {"swir22_above": 0.36},
        {"ndsi_below": 0.05},
        {"ndvi_below": 0.04},
        {"whiteness_below": 0.001},
        {"haze_above": 0.28},
        {"nir_to_swir16_above": 1.4},
    ):
        assert potential_clouds(cloud, **limit).tolist() == [[0]], limit


def test_open_water():
    power = np.float32([[[0.001, 0.1, 0, np.nan]]])
    np.testing.assert_array_equal(open_water(power, threshold=-16), [[1, 0, np.nan, np.nan]])
    assert open_water(power, threshold=-16).dtype == np.float32
    decibels = np.float32([[[-30, -10, 0, np.nan]]])
    found = open_water(decibels, threshold=-16, linear=False)
    np.testing.assert_array_equal(found, [[1, 0, 0, np.nan]])
    none = open_water(decibels, threshold=float("nan"), linear=False)
    np.testing.assert_array_equal(none, [[0, 0, 0, np.nan]])


def test_bands_that_are_not_the_rules():
    for rule, names in (
        (stubble_burning, STUBBLE_BANDS),
        (potential_clouds, CLOUD_BANDS),
        (partial(open_water, threshold=-16), WATER_BANDS),
    ):
        with pytest.raises(DataError, match=f"takes {len(names)} band") as caught:
            rule(np.zeros((3, 2, 2), "float32"))
        assert ", ".join(names) in (caught.value.hint or "")
