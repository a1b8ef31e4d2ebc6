"""Every step of a chain gives what whole files, numpy and patience give, bit for bit.

Bounds are named where arithmetic in another order allows no equality: percentiles and the mean.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat import chain
from tests.raster.chains import reference
from tests.raster.chains.cases import Stack, parts, stacks

equal = np.testing.assert_array_equal
few = settings(deadline=None, max_examples=16)
METHODS = ("median", "min", "max", "mean", "count", "first", "most_recent")


@few
@given(make=stacks())
def test_bands_of_all_dates(shelf, make):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"])
    equal(made.evaluate(), stack.values(["red", "nir"], made.geobox))


@few
@given(make=stacks(clouds=True))
def test_masks_of_half_the_resolution(shelf, make):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"]).mask_clouds()
    equal(made.evaluate(), stack.values(["red", "nir"], made.geobox, masked=True))


@few
@given(make=stacks(clouds=True), method=st.sampled_from(METHODS))
def test_composites(shelf, make, method):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"]).mask_clouds().composite(method)
    expected = reference.composite(method, stack.values(["red", "nir"], made.geobox, masked=True))
    equal(made.evaluate(), expected)


@settings(deadline=None, max_examples=8)
@given(make=stacks(), method=st.sampled_from(["p10", "percentile:62.5"]))
def test_percentiles(shelf, make, method):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"]).composite(method)
    values = stack.values(["red", "nir"], made.geobox)
    bound = 4e-7 * float(np.nanmax(np.abs(values), initial=1e-30))
    np.testing.assert_allclose(
        made.evaluate(), reference.composite(method, values), rtol=0, atol=bound
    )


@few
@given(make=stacks(dtypes=("uint16", "float32"), one_edge=True))
def test_ndvi_and_its_composites(shelf, make):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"])
    values = stack.values(["red", "nir"], made.geobox)
    index = reference.ndvi(values[:, 0], values[:, 1])[:, None]
    equal(made.index("ndvi").evaluate(), index)
    equal(made.index("ndvi").composite().evaluate(), reference.composite("median", index))
    both = made.index("ndvi", keep=True).evaluate()
    equal(both, np.concatenate([values, index], axis=1))
    days = [day.astype("datetime64[D]").astype(int) for day in made.dates]
    equal(made.composite("max_ndvi").evaluate(), reference.greenest(values, days))


@few
@given(make=stacks(), cut=parts(), data=st.data())
def test_a_part_is_the_part_of_the_whole(shelf, make, cut, data):
    stack = make(shelf)
    made = chain(stack.items, ["red", "nir"])
    made = data.draw(
        st.sampled_from(
            [
                made,
                made.index("ndvi"),
                made.index("red > 0.2"),
                made.composite("count"),
                made.composite("median"),
                made.composite("max_ndvi"),
                made.apply(reach_mean, halo=2),
                made.apply(np.nan_to_num),
                made.apply(np.nan_to_num, copy=False),
                made.composite("mean").apply(np.nan_to_num),
                made.apply(count_around, halo=1, bands_out="n"),
                made.mosaic("day").composite("first"),
            ]
        ),
        label="chain",
    )
    whole = made.evaluate()
    rows, columns = cut(made.geobox)
    equal(made.evaluate(made.geobox[rows, columns]), whole[..., rows, columns])


def reach_mean(values):
    """A filter of 5 × 5 pixels; what lies beyond the array is repeated from its edge."""
    padded = np.pad(values, ((0, 0), (2, 2), (2, 2)), mode="edge")
    return reference.box_filter(padded, 2)


def count_around(values):
    seen = np.pad(np.isfinite(values).any(axis=0).astype("float32"), 1)
    return reference.box_filter(seen[None], 1)[0] * 9


def test_what_has_seen_no_data_has_none_whatever_the_function_says(shelf):
    stack = Stack()
    for day, origin in ((1, (600_000, 5_000_000)), (2, (600_400, 5_000_000))):
        pixels = np.full((6, 6), 7, "uint8")
        stack.add(shelf, {"a": pixels}, day=day, origin=origin)
    made = chain(stack.items, "a").apply(np.nan_to_num)
    whole = made.evaluate()
    assert (whole[0, 0, :, :6] == 7).all()
    assert np.isnan(whole[0, 0, :, 6:]).all()
    equal(made.evaluate(made.geobox[:, 20:]), whole[..., 20:])
    wider = chain(stack.items, "a").apply(np.nan_to_num, halo=2).evaluate()[0, 0, 3]
    equal(wider[5:10], np.float32([7, 0, 0, np.nan, np.nan]))
