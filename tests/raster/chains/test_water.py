"""Water masks in a chain: limits of whole scenes, the rule on tiles, frequency and classes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsdat import chain, load
from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains import water
from rsdat.raster.sar import (
    frequency_classes,
    frequency_of,
    scene_threshold,
    to_db,
    water_frequency,
    water_mask,
)
from tests.raster.conftest import Scenes, real_data


def backscatter(date: int) -> np.ndarray:
    """dB of 96 × 96 pixels: a lake that gets brighter, a flood on the second date, land last."""
    rng = np.random.default_rng(date)
    db = rng.normal(-9, 1, (96, 96))
    if date < 3:
        db[:, :20] = rng.normal(-21 + date, 1, (96, 20))
    if date == 1:
        db[:30, 40:] = rng.normal(-20, 1, (30, 56))
    return db


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Four dates of power; no data in a corner."""
    scenes = Scenes(tmp_path_factory.mktemp("radar"))
    items = []
    for date in range(4):
        power = (10 ** (backscatter(date) / 10)).astype("float32")
        power[90:, 90:] = 0
        path = scenes.write(f"vv{date}", power, nodata=0, block=32, overviews=(2, 4))
        items.append(scenes.item(f"radar{date}", {"vv": path}, day=date + 1))
    return items


def limits_of(made) -> tuple[float, ...]:
    return made.steps[-1].limits


def test_each_date_has_its_own_limit(stack):
    made = chain(stack, "vv").water_mask()
    assert made.bands == ("water",)
    limits = limits_of(made)
    assert all(-18 < limit < -12 for limit in limits[:3])
    assert np.isnan(limits[3])
    power = load(stack, "vv").vv.values
    for date, limit in enumerate(limits):
        assert np.isnan(limit) or limit == scene_threshold(to_db(power[date]))
        mask = water_mask(to_db(power[date]), limit).astype("float32")
        mask[mask == 255] = np.nan
        np.testing.assert_array_equal(made.evaluate()[date, 0], mask)


def test_the_frequency_is_that_of_the_xarray_door(stack):
    made = chain(stack, "vv").water_mask().water_frequency()
    expected = water_frequency(load(stack, "vv"))
    assert made.bands == ("water_frequency", "water_class")
    frequency, classes = made.evaluate()
    np.testing.assert_array_equal(frequency, expected.water_frequency)
    as_classes = expected.water_class.values.astype("float32")
    as_classes[as_classes == 255] = np.nan
    np.testing.assert_array_equal(classes, as_classes)
    np.testing.assert_array_equal(chain(stack, "vv").water_mask().composite("mean").evaluate()[0],
                                  expected.water_frequency)  # fmt: skip
    assert frequency[50, 5] == 0.75
    assert frequency[10, 70] == 0.25
    assert np.isnan([frequency[95, 95], classes[95, 95]]).all()


def test_the_frequency_from_a_coarse_sample_is_the_xarray_doors_too(stack, monkeypatch):
    monkeypatch.setattr(water, "_MOST", 3000)
    made = chain(stack, "vv")
    grid = water.scene_grid(made.plan, 0)
    assert grid.shape[0] * grid.shape[1] <= 3100
    assert grid.resolution.x == 20
    masked = made.water_mask()
    sample = load(stack, "vv", geobox=grid)
    expected = water_frequency(load(stack, "vv"), sample=sample)
    np.testing.assert_array_equal(limits_of(masked), expected.threshold)
    result = masked.water_frequency().evaluate()
    np.testing.assert_array_equal(result[0], expected.water_frequency)


def test_classes_are_stored_as_they_are_and_fractions_need_a_unit(stack, tmp_path):
    masks = chain(stack, "vv").water_mask()
    made = masks.water_frequency()
    with pytest.raises(ConfigError, match="too few numbers for band water_frequency"):
        made.to_cog(tmp_path / "refused.tif", dtype="uint8")
    made.to_cog(tmp_path / "classes.tif", dtype="uint8", scale=0.01)
    _, classes = made.evaluate()
    with rasterio.open(tmp_path / "classes.tif") as opened:
        assert (opened.nodata, opened.scales) == (255, (0.01, 1.0))
        stored = opened.read(2)
    np.testing.assert_array_equal(stored, np.where(np.isnan(classes), 255, classes))
    count = masks.composite("count")
    count.to_cog(tmp_path / "count.tif", dtype="uint8")
    with rasterio.open(tmp_path / "count.tif") as opened:
        np.testing.assert_array_equal(opened.read(), count.evaluate())
    assert 0 in count.evaluate()


@settings(max_examples=30, deadline=None)
@given(
    masks=hnp.arrays("uint8", (11, 4, 5), elements=st.sampled_from([0, 1, 255])),
    limits=st.lists(st.sampled_from([-16.0, -12.5]), min_size=11, max_size=11),
)
def test_frequency_and_class_for_any_masks(tmp_path_factory, masks, limits):
    scenes = Scenes(tmp_path_factory.mktemp("any"))
    levels = np.array([-8, -20], "float32")
    items = []
    for date, mask in enumerate(masks):
        db = np.where(mask == 255, np.float32(-99), levels[np.minimum(mask, 1)])
        path = scenes.write(f"vv{date}", db.astype("float32"), nodata=-99)
        items.append(scenes.item(f"radar{date}", {"vv": path}, day=date + 1))
    made = chain(items, "vv").water_mask(linear=False, threshold=limits).water_frequency()
    frequency, classes = made.evaluate()
    expected = frequency_of(masks)
    np.testing.assert_array_equal(frequency, expected)
    named = np.nan_to_num(classes, nan=255).astype("uint8")
    np.testing.assert_array_equal(named, frequency_classes(expected))


def test_tiles_and_other_grids_agree(stack):
    made = chain(stack, "vv").water_mask()
    whole = made.evaluate()
    np.testing.assert_array_equal(made.to_xarray(chunks=17), whole)
    # A small part, with land only, by the limits of the whole scenes.
    part = chain(stack, "vv", geobox=made.geobox[40:60, 10:50]).water_mask()
    assert limits_of(part) == limits_of(made) or np.isnan(limits_of(made)[3])
    np.testing.assert_array_equal(limits_of(part), limits_of(made))
    np.testing.assert_array_equal(part.evaluate(), whole[:, :, 40:60, 10:50])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made.plan)).evaluate(
        made.geobox).values, whole)  # fmt: skip


def test_decibels_are_said(stack, scenes):
    items = []
    for date in range(3):
        stored = np.round(100 * backscatter(date)).astype("int16")
        path = scenes.write(f"db{date}", stored, nodata=-32768)
        bands = {"vv": {"raster:bands": [{"scale": 0.01, "offset": 0, "nodata": -32768}]}}
        items.append(scenes.item(f"db{date}", {"vv": path}, day=date + 1, bands=bands))
    found = chain(items, "vv").water_mask(linear=False)
    np.testing.assert_allclose(limits_of(found), limits_of(chain(stack[:3], "vv").water_mask()))
    assert (found.evaluate()[:, 0, :85, :18] == 1).mean() > 0.99
    with pytest.raises(ConfigError, match="in dB, not power") as caught:
        chain(items, "vv").water_mask()
    assert caught.value.hint == "say so: linear=False"
    with pytest.raises(ConfigError, match="as power, not in dB"):
        chain(stack, "vv").water_mask(linear=False)


def test_a_date_without_water(stack):
    made = chain(stack[3:], "vv")
    assert set(np.unique(made.water_mask().evaluate()[~np.isnan(made.evaluate())])) == {0}
    assert limits_of(made.water_mask(otherwise=-17.0)) == (-17.0,)


def test_scenes_of_one_day_are_one(stack, scenes):
    """Two slices of a pass: one histogram, from both."""
    power = (10 ** (backscatter(0) / 10)).astype("float32")
    items = []
    for name, part in (("water", slice(0, 20)), ("land", slice(20, 96))):
        origin = (600_000 + 10 * part.start, 5_000_000)
        path = scenes.write(name, np.ascontiguousarray(power[:, part]), nodata=0, origin=origin)
        items.append(scenes.item(name, {"vv": path}))
    apart = chain(items, "vv").water_mask()
    assert np.isnan(limits_of(apart)).all()
    both = chain(items, "vv").mosaic("day").water_mask()
    (limit,) = limits_of(both)
    assert limit == scene_threshold(to_db(power))
    assert (both.evaluate()[0, 0, :, :20] == 1).mean() > 0.99


def test_the_limit_sees_the_steps_before(stack):
    darker = chain(stack, "vv").apply(lambda power: power / 2, bands_out="vv").water_mask()
    limits = np.array(limits_of(chain(stack, "vv").water_mask()))
    np.testing.assert_allclose(np.array(limits_of(darker))[:3] - limits[:3], -3, atol=0.6)


def test_which_band(stack, scenes):
    power = (10 ** (backscatter(0) / 10)).astype("float32")
    files = {name: scenes.write(name, power / factor) for name, factor in (("vv", 1), ("vh", 4))}
    items = [scenes.item("dual", files)]
    vv = limits_of(chain(items, "vv").water_mask())
    assert limits_of(chain(items, ["vh", "vv"]).water_mask()) == vv
    dual = chain(items, ["vv", "vh"]).water_mask("vh", highest=-20)
    assert limits_of(dual)[0] == pytest.approx(vv[0] - 6, abs=0.6)
    both = chain(items, ["vv", "vh"]).water_mask(threshold=-15).evaluate()
    np.testing.assert_array_equal(both, chain(items, "vv").water_mask(threshold=-15).evaluate())
    renamed = chain(items, ["vv", "vh"]).apply(np.sqrt, bands_out=["a", "b"])
    with pytest.raises(ConfigError, match="takes one band, and the chain has a, b"):
        renamed.water_mask()
    with pytest.raises(ConfigError, match="water_mask needs the band 'hh'"):
        chain(items, "vv").water_mask("hh")


def test_thresholds_that_are_given(stack):
    made = chain(stack, "vv")
    assert limits_of(made.water_mask(threshold=-15)) == (-15.0,) * 4
    each = made.water_mask(threshold=[-15, -14, float("nan"), -20])
    assert limits_of(each)[:2] == (-15, -14)
    assert np.nansum(each.evaluate()[2]) == 0
    with pytest.raises(ConfigError, match=r"shape \(3,\), and the chain has 4 dates"):
        made.water_mask(threshold=[-15, -14, -13])
    with pytest.raises(ConfigError, match="threshold 'low' is no number of dB"):
        made.water_mask(threshold="low")
    with pytest.raises(ConfigError, match="'classes' is about finding one"):
        made.water_mask(threshold=-15, classes=4)
    with pytest.raises(ConfigError, match="no option 'lowest'") as caught:
        made.water_mask(lowest=-30)
    assert "highest" in (caught.value.hint or "")
    for options, said in (
        ({"classes": 1}, "1 classes are not possible"),
        ({"classes": 99}, "99 classes"),
        ({"classes": "3"}, "'3' classes"),
        ({"highest": "low"}, "highest 'low' is no number"),
    ):
        with pytest.raises(ConfigError, match=said):
            made.water_mask(**options)


@pytest.mark.parametrize(("candidate", "persistent"), [(0.9, 0.1), (-0.1, 0.5), (0.1, 1.5)])
def test_frequencies_that_are_in_no_order(stack, candidate, persistent):
    masks = chain(stack, "vv").water_mask(threshold=-15)
    with pytest.raises(ConfigError, match="no frequencies in order"):
        masks.water_frequency(candidate=candidate, persistent=persistent)


def test_water_needs_dates(stack):
    with pytest.raises(ConfigError, match="no dates left"):
        chain(stack, "vv").composite("mean").water_mask()
    with pytest.raises(ConfigError, match="needs the band 'water' alone; the chain has vv") as e:
        chain(stack, "vv").water_frequency()
    assert "water_mask()" in (e.value.hint or "")


def test_periods_and_other_classes(stack):
    made = chain(stack, "vv").water_mask()
    pairs = made.water_frequency(by="2d").evaluate()
    assert pairs.shape == (2, 2, 96, 96)
    assert pairs[0, 0, 10, 70] == 0.5
    loose = made.water_frequency(candidate=0.3, persistent=0.7).evaluate()
    assert loose[1, 50, 5] == 2
    assert loose[1, 10, 70] == 0


def test_the_limits_are_in_the_words(stack):
    made = chain(stack, "vv").water_mask()
    words = json.loads(json.dumps(made.words(), allow_nan=False))
    (step,) = words["steps"]
    assert step["water_mask"] == "vv"
    assert step["thresholds"][3] is None
    assert "water_mask('vv')" in repr(made)
    other = chain(stack, "vv").water_mask(threshold=-15)
    assert other.to_xarray().name != made.to_xarray().name


def test_a_scene_that_is_gone(stack, scenes):
    gone = scenes.item("gone", {"vv": scenes.directory / "gone.tif"}, day=9)
    with pytest.raises(DataError, match="item gone"):
        chain([*stack, gone], "vv").water_mask()
    made = chain([*stack, gone], "vv", on_error="skip").water_mask()
    assert np.isnan(limits_of(made)[4])
    expected = chain(stack, "vv").water_mask().water_frequency()
    with pytest.warns(UserWarning, match="left out"):
        frequency = made.water_frequency().evaluate()
    np.testing.assert_array_equal(frequency, expected.evaluate())


real = pytest.mark.skipif(
    real_data() is None, reason="the real scenes are not here (RSDAT_TEST_DATA)"
)


@real
def test_the_real_lagoon(real_scenes):
    folder = real_scenes / "s1_grd_db_mediterranean_20150309"
    (path,) = folder.glob("*.tif")
    item = Scenes(folder).item("lagoon", {"vv": path})
    made = chain([item], "vv").water_mask(linear=False)
    with rasterio.open(path) as opened:
        db = opened.read(1)
        db[db == opened.nodata] = np.nan
    assert limits_of(made) == (scene_threshold(db),)
    assert -17 < limits_of(made)[0] < -14
    mask = made.evaluate()[0, 0]
    assert -22 < np.median(db[mask == 1]) < -18
    assert -11 < np.median(db[mask == 0]) < -8
    np.testing.assert_array_equal(np.isnan(mask), np.isnan(db))


@real
def test_real_land_and_its_seams(real_scenes):
    folder = real_scenes / "s1_grd_db_myanmar_stack"
    items = []
    for path in sorted(folder.glob("*.tif")):
        bands = {"vv": {"raster:bands": [{"scale": 0.01, "offset": 0, "nodata": -32768}]}}
        item = Scenes(folder).item(path.stem, {"vv": path}, bands=bands)
        item.datetime = item.datetime.strptime(path.stem[17:32] + "Z", "%Y%m%dT%H%M%S%z")
        items.append(item)
    days = chain(items, "vv").mosaic("day")
    made = days.water_mask(linear=False)
    assert len(limits_of(made)) == 19
    assert np.isnan(limits_of(made)).all()
    frequency, classes = made.water_frequency().evaluate()
    seen = days.composite("count").evaluate()[0] > 0
    assert set(np.unique(frequency[seen])) == {0}
    assert set(np.unique(classes[seen])) == {0}
    assert np.isnan(frequency[~seen]).all()
