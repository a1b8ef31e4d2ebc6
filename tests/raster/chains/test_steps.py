"""Mosaics, periods, clips, filters, classes and mixed resolutions, each against its own rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geom import box
from shapely.geometry import Point

from rsdat import chain
from rsdat.errors import DataError
from tests.raster.chains import reference
from tests.raster.chains.cases import ORIGIN, Stack, stacks

equal = np.testing.assert_array_equal
few = settings(deadline=None, max_examples=12)
BANDS = ["red", "nir"]


@few
@given(make=stacks(dtypes=("uint8", "int16", "float32")), days=st.lists(st.integers(1, 3)))
def test_a_mosaic_is_the_first_valid_of_each_day(shelf, make, days):
    stack = make(shelf)
    for item, day in zip(stack.items, days, strict=False):
        item.datetime = item.datetime.replace(day=day)
    by_id = sorted(range(len(stack.items)), key=lambda n: stack.items[n].id)
    order = sorted(by_id, key=lambda n: stack.items[n].datetime)
    made = chain(stack.items, BANDS).mosaic("day")
    values = stack.values(BANDS, made.geobox)
    found = {stack.items[n].datetime.date(): [] for n in order}
    for n in order:
        found[stack.items[n].datetime.date()].append(values[n])
    expected = [reference.composite("first", np.stack(layers)) for layers in found.values()]
    equal(made.evaluate(), np.stack(expected))


@few
@given(
    make=stacks(clouds=True, dtypes=("uint16", "float32")),
    method=st.sampled_from(["median", "max"]),
)
def test_periods_are_composites_of_their_dates(shelf, make, method):
    stack = make(shelf)
    for item, month in zip(stack.items, (1, 1, 3, 3), strict=False):
        item.datetime = item.datetime.replace(month=month)
    made = chain(stack.items, BANDS).mask_clouds().composite(method, by="month")
    values = stack.values(BANDS, made.geobox, masked=True)
    parts = [values[:2], values[2:]] if len(values) > 2 else [values]
    equal(made.evaluate(), np.stack([reference.composite(method, part) for part in parts]))
    assert len(made.times) == len(parts)


@few
@given(make=stacks(dtypes=("int16", "float32"), most=4, one_edge=True))
def test_the_medoid_is_the_most_central_date(shelf, make):
    stack = make(shelf)
    made = chain(stack.items, BANDS).composite("medoid")
    values = stack.values(BANDS, made.geobox)
    found, expected = made.evaluate(), reference.composite("medoid", values)
    equal(np.isnan(found), np.isnan(expected))
    # Where two dates are as central as each other, rounding may take either: the costs are equal.
    for y, x in np.argwhere((found != expected).any(axis=0) & ~np.isnan(found).any(axis=0)):
        spectra = [s for s in values[:, :, y, x].astype("float64") if not np.isnan(s).any()]
        costs = [
            sum(np.linalg.norm(one[:, y, x] - other) for other in spectra)
            for one in (found, expected)
        ]
        assert costs[0] == pytest.approx(costs[1], rel=1e-5)


@few
@given(make=stacks(dtypes=("uint16", "float32"), most=3), halo=st.integers(1, 3))
def test_a_filter_sees_beyond_the_block_and_the_grid(shelf, make, halo):
    stack = make(shelf)
    whole = chain(stack.items, BANDS)
    inner = whole.geobox.pad(-1) if min(whole.geobox.shape) > 4 else whole.geobox

    def smooth(values, reach):
        padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)))
        return reference.box_filter(padded, reach)

    made = chain(stack.items, BANDS, geobox=inner).apply(smooth, halo=halo, reach=halo)
    wide = stack.values(BANDS, inner.pad(halo))
    expected = np.stack([reference.box_filter(layer, halo) for layer in wide])
    equal(made.evaluate(), expected)
    lazy = made.to_xarray(chunks=-(-max(inner.shape) // 3))
    equal(lazy.compute(scheduler="sync"), expected)


@few
@given(
    make=stacks(dtypes=("uint8", "float32")),
    middle=st.tuples(st.floats(-100, 400), st.floats(-400, 100)),
    radius=st.floats(5, 300),
)
def test_a_clip_keeps_the_pixels_whose_centre_is_inside(shelf, make, middle, radius):
    from odc.geo.geom import Geometry

    stack = make(shelf)
    made = chain(stack.items, BANDS)
    grid = made.geobox
    shape = Point(ORIGIN[0] + middle[0], ORIGIN[1] + middle[1]).buffer(radius)
    y, x = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    x, y = grid.transform * (x, y)
    inside = np.array([shape.contains(Point(*place)) for place in zip(x.flat, y.flat, strict=True)])
    expected = stack.values(BANDS, grid)
    expected[..., ~inside.reshape(grid.shape)] = np.nan
    west, south, east, north = grid.boundingbox
    everything = box(west, south, east, north, grid.crs)
    clipped = made.clip(Geometry(shape, grid.crs))
    if shape.intersects(everything.geom):
        equal(clipped.evaluate(), expected)
    else:
        with pytest.raises(DataError, match="does not meet the grid"):
            clipped.evaluate()
    equal(made.clip(everything).evaluate(), stack.values(BANDS, grid))


@few
@given(make=stacks(dtypes=("uint16", "float32")))
def test_formulas(shelf, make):
    stack = make(shelf)
    made = chain(stack.items, BANDS)
    red, nir = stack.values(BANDS, made.geobox).swapaxes(0, 1)
    with np.errstate(all="ignore"):
        sums = np.sqrt(np.abs(red)) + np.float32(2) * nir
        chosen = np.where(red > np.float32(0.1), nir, -red)
    chosen[np.isnan(red)] = np.nan
    equal(made.index("sqrt(abs(red)) + 2 * nir").evaluate()[:, 0], sums)
    equal(made.index("where(red > 0.1, nir, -red)").evaluate()[:, 0], chosen)


def test_bands_of_10_20_and_60_metres_are_repeated(shelf):
    stack = Stack()
    rng = np.random.default_rng(2)
    paths, numbers = {}, {}
    for band, (edge, size) in {"red": (10, 36), "swir16": (20, 18), "coastal": (60, 6)}.items():
        numbers[band] = rng.integers(1, 9000, (size, size)).astype("uint16")
        paths[band] = shelf.write(f"mixed-{band}", numbers[band], edge=edge)
    stack.items.append(shelf.item("mixed", paths))
    found = chain(stack.items, list(paths)).evaluate()[0]
    for plane, (band, times) in zip(
        found, {"red": 1, "swir16": 2, "coastal": 6}.items(), strict=True
    ):
        equal(plane, numbers[band].repeat(times, 0).repeat(times, 1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32"])
def test_classes_stay_as_they_are(shelf, dtype):
    codes = np.array([[0, 1, 7], [3, np.iinfo(dtype).max, np.iinfo(dtype).max - 2]], dtype)
    stack = Stack()
    stack.add(shelf, {"qa": codes}, day=1)
    found = chain(stack.items, "qa").evaluate()
    assert found.dtype == dtype
    equal(found[0, 0], codes)
    if codes.itemsize < 4:  # composites are float32, of 24 bits
        equal(chain(stack.items, "qa").composite("first").evaluate()[0], codes)
    beyond = chain(stack.items, "qa", geobox=chain(stack.items, "qa").geobox.pad(1)).evaluate()
    equal(beyond[0, 0, 1:-1, 1:-1], codes)
    assert len(np.unique(beyond[0, 0, 0])) == 1


def test_scenes_that_are_all_cloud_or_one_pixel(shelf):
    stack = Stack()
    bands = {"red": np.full((2, 2), 5, "uint16"), "scl": np.full((1, 1), 9, "uint8")}
    stack.add(shelf, bands, day=1)
    made = chain(stack.items, "red").mask_clouds()
    assert np.isnan(made.evaluate()).all()
    assert np.isnan(made.composite().evaluate()).all()
    equal(made.composite("count").evaluate(), np.zeros((1, 2, 2)))
    bands["scl"][...] = 4
    clear = Stack()
    clear.add(shelf, bands, day=1)
    part = chain(clear.items, "red").mask_clouds()
    equal(part.evaluate(part.geobox[1:2, 0:1]), np.float32([[[[5]]]]))
