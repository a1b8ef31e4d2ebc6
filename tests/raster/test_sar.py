"""Water in backscatter: thresholds of whole scenes, masks, frequency."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsdat.errors import ConfigError, DataError
from rsdat.raster import load
from rsdat.raster.sar import (
    frequency_classes,
    frequency_of,
    multi_otsu,
    scene_threshold,
    to_db,
    water_frequency,
    water_mask,
)


def scene(*parts: tuple[float, float, int], seed: int = 0) -> np.ndarray:
    """Peaks of dB: mean, spread and pixels of each."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(*part) for part in parts]).astype("float32")


def test_decibels():
    power = np.float32([[1, 0.1, 0.01], [0, -0.001, np.nan]])
    result = to_db(power)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0], [0, -10, -20], atol=1e-5)
    assert np.isnan(result[1]).all()
    stored = to_db(np.array([1, 100, 7], "uint16"), nodata=7)
    np.testing.assert_allclose(stored, [0, 20, np.nan], atol=1e-5)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5, 0.9, 0.97])
def test_the_threshold_lies_between_water_and_land(share):
    count = 60_000
    water, land = int(count * share), int(count * (1 - share))
    sample = scene((-21, 1.5, water), (-9, 1.5, land))
    limit = scene_threshold(sample)
    assert -18 < limit < -13
    found = water_mask(sample, limit) == 1
    assert abs(found.mean() - share) < 0.01
    shape = sample[:59_000].reshape(10, 100, 59)
    shape = np.concatenate([shape, np.full((10, 100, 41), np.nan, "float32")], axis=2)
    assert -18 < scene_threshold(shape) < -13


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("mean", [-8, -12, -16, -20])
@pytest.mark.parametrize("spread", [1, 2.5])
def test_a_scene_with_one_peak_has_no_water(mean, spread, classes):
    for count in (1000, 50_000):
        sample = scene((mean, spread, count), seed=count)
        assert np.isnan(scene_threshold(sample, classes=classes))
    assert scene_threshold(sample, classes=classes, otherwise=-17) == -17


def test_two_kinds_of_land_are_not_water():
    fields_and_towns = scene((-9, 1, 30_000), (-1, 1, 10_000))
    assert np.isnan(scene_threshold(fields_and_towns))
    soil_and_forest = scene((-15, 1, 30_000), (-8, 1, 30_000))
    assert np.isnan(scene_threshold(soil_and_forest))
    assert -13 < scene_threshold(soil_and_forest, highest=-10) < -10


def test_speckle_does_not_make_water():
    # 4.4 looks, as Sentinel-1 GRD has them; a long tail to the dark side.
    rng = np.random.default_rng(3)
    power = 0.1 * rng.gamma(4.4, 1 / 4.4, 100_000)
    assert np.isnan(scene_threshold(to_db(power.astype("float32"))))


@pytest.mark.parametrize(
    "sample",
    [
        np.full((100, 100), np.nan, "float32"),
        np.full((100, 100), -20, "float32"),
        np.float32([-20] * 5000 + [-8] * 5000),
        scene((-21, 1, 400), (-9, 1, 400)),
        np.float32([]),
    ],
    ids=["no data", "constant", "two values", "too few", "empty"],
)
def test_samples_that_say_nothing(sample):
    assert np.isnan(scene_threshold(sample))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 50), min_size=4, max_size=9).filter(
        lambda counts: sum(count > 0 for count in counts) >= 4
    ),
    classes=st.integers(2, 4),
)
def test_limits_part_the_histogram_with_the_least_variance(counts, classes):
    centres = np.arange(len(counts)) * 0.5 - 20

    def variance(ends):
        parts = np.split(np.repeat(centres, counts), np.cumsum(counts)[list(ends)])
        return sum(((part - part.mean()) ** 2).sum() for part in parts if part.size)

    found = multi_otsu(np.array(counts), centres, classes)
    assert sorted(set(found)) == found
    least = min(variance(ends) for ends in combinations(range(len(counts) - 1), classes - 1))
    assert variance([int(np.searchsorted(centres, limit)) for limit in found]) <= least + 1e-9


def test_no_data_stays_no_data_in_a_mask():
    db = np.float32([[-25, -16, -15.9], [np.nan, -5, -16.1]])
    assert water_mask(db, -16).tolist() == [[1, 1, 0], [255, 0, 1]]
    assert water_mask(db, -16).dtype == np.uint8
    assert water_mask(db, float("nan")).tolist() == [[0, 0, 0], [255, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        "uint8",
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.sampled_from([0, 1, 255]),
    )
)
def test_frequency_is_water_of_valid_observations(masks):
    result = frequency_of(masks)
    assert result.dtype == np.float32
    valid = (masks != 255).sum(axis=0)
    water = (masks == 1).sum(axis=0)
    expected = np.full(valid.shape, np.nan)
    np.divide(water, valid, out=expected, where=valid > 0)
    np.testing.assert_array_equal(result, expected.astype("float32"))
    np.testing.assert_array_equal(result, frequency_of(mask for mask in masks))
    classes = frequency_classes(result)
    # In whole numbers, so that no rounding decides: water / valid >= 0.9 and >= 0.1.
    exact = (10 * water >= valid).astype(int) + (10 * water >= 9 * valid)
    np.testing.assert_array_equal(classes, np.where(valid == 0, 255, exact))


def test_classes_at_their_limits():
    frequency = np.float32([9 / 10, 1 / 10, 0.0999, 0.8999, 0, 1, np.nan])
    assert frequency_classes(frequency).tolist() == [2, 1, 0, 1, 0, 2, 255]
    assert frequency_classes(frequency, candidate=0.05, persistent=0.8).tolist()[:4] == [2, 1, 1, 2]
    with pytest.raises(DataError, match="no water mask"):
        frequency_of([])


@pytest.fixture
def stack(scenes):
    """Four dates of power: a lake, a flood on the second one, nothing on the fourth, no corner."""
    rng = np.random.default_rng(0)
    items = []
    for date in range(4):
        db = rng.normal(-9, 1, (96, 96))
        if date < 3:
            db[:, :20] = rng.normal(-21 + date, 1, (96, 20))
        if date == 1:
            db[:30, 40:] = rng.normal(-20, 1, (30, 56))
        power = (10 ** (db / 10)).astype("float32")
        power[90:, 90:] = 0
        path = scenes.write(f"vv{date}", power, nodata=0, block=32)
        items.append(scenes.item(f"radar{date}", {"vv": path}, day=date + 1))
    return items


def test_frequency_of_a_stack(stack):
    ds = load(stack, "vv", chunks={"time": 1, "y": 32, "x": 48})
    result = water_frequency(ds)
    assert result.water_frequency.chunks is not None
    assert result.water_frequency.odc.geobox == ds.odc.geobox
    limits = result.threshold.values
    assert (limits[:3] > -18).all()
    assert (limits[:3] < -12).all()
    assert np.isnan(limits[3])
    masks = [water_mask(to_db(ds.vv[i].values), limits[i]) for i in range(4)]
    np.testing.assert_array_equal(result.water_frequency, frequency_of(masks))
    np.testing.assert_array_equal(result.water_class, frequency_classes(frequency_of(masks)))
    assert result.water_frequency[50, 5] == 0.75
    assert result.water_frequency[10, 70] == 0.25
    assert np.isnan(result.water_frequency[95, 95])
    assert result.water_class.dtype == np.uint8
    assert result.water_class[95, 95] == 255


def test_decibels_a_coarse_sample_and_options(stack):
    power = load(stack, "vv").vv
    decibels = power.copy(data=to_db(power.values))
    expected = water_frequency(power)
    xr.testing.assert_equal(water_frequency(decibels, linear=False), expected)
    sample = load(stack, "vv", resolution=20)
    coarse = water_frequency(power, sample=sample)
    assert abs(coarse.threshold - expected.threshold).max() < 1.5
    assert (coarse.threshold.isnull() == expected.threshold.isnull()).all()
    fixed = water_frequency(power, otherwise=-30.0)
    assert fixed.threshold[3] == -30


def test_stacks_that_do_not_fit(stack):
    ds = load(stack, "vv")
    decibels = to_db(ds.vv.values)
    with pytest.raises(ConfigError, match="in dB, not power"):
        water_frequency(ds.vv.copy(data=decibels))
    with pytest.raises(ConfigError, match="not in dB"):
        water_frequency(ds, linear=False)
    with pytest.raises(ConfigError, match="no variable 'vh'; it has vv"):
        water_frequency(ds, band="vh")
    with pytest.raises(ConfigError, match="over time is needed"):
        water_frequency(ds.vv[0])
    with pytest.raises(ConfigError, match="sample has 3 dates, the stack 4"):
        water_frequency(ds, sample=ds.vv[:3])


def test_the_real_lagoon(real_scenes):
    (path,) = (real_scenes / "s1_grd_db_mediterranean_20150309").glob("*.tif")
    with rasterio.open(path) as opened:
        db = opened.read(1)
        db[db == opened.nodata] = np.nan
    limit = scene_threshold(db)
    assert -17 < limit < -14
    mask = water_mask(db, limit)
    water, land = np.median(db[mask == 1]), np.median(db[mask == 0])
    assert -22 < water < -18
    assert -11 < land < -8
    # A thinned sample and an overview say the same.
    assert abs(scene_threshold(db[::2, ::3]) - limit) <= 1
    coarse = db[:216, :268].reshape(108, 2, 134, 2).mean(axis=(1, 3))
    assert abs(scene_threshold(coarse) - limit) <= 1


def test_real_land_has_no_water(real_scenes):
    paths = sorted((real_scenes / "s1_grd_db_myanmar_stack").glob("*.tif"))
    assert len(paths) == 25
    for path in paths:
        with rasterio.open(path) as opened:
            stored = opened.read(1)
            db = stored.astype("float32") * np.float32(0.01)
            db[stored == opened.nodata] = np.nan
        limit = scene_threshold(db)
        assert np.isnan(limit), path.name
        mask = water_mask(db, limit)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask == 255, stored == -32768)
