"""Every composite against numpy's own, or a loop over pixels, over generated layers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError, DataError
from rsdat.raster.indices import ndvi_of, physical
from rsdat.raster.kernels import (
    METHODS,
    bytes_per_pixel,
    check_method,
    kept,
    reducer,
    result_bands,
    stored,
)

SCALE, OFFSET = 0.0001, -0.1
NAMED = (*METHODS, "p10", "p90", "percentile:12.5", "p0", "p100")


@st.composite
def layers(draw, dates=None, bands=("red", "nir"), dtypes=("uint8", "uint16", "int16", "float32")):
    """Layers, masks (None among them) and days; few different numbers, the extreme ones too."""
    count = draw(st.integers(1, 20) if dates is None else st.just(dates))
    dtype = draw(st.sampled_from(dtypes))
    shape = (len(bands), draw(st.integers(1, 4)), draw(st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype == "float32":
        pool = np.float32([0, 0.1, 0.25, 0.5, 1.5, -0.01, np.nan, *rng.normal(size=20)])
    else:
        limits = np.iinfo(dtype)
        pool = np.array(
            [limits.min, limits.max, 0, *rng.integers(limits.min, limits.max, 20)], dtype
        )
    pool = pool[: draw(st.integers(2, len(pool)))]
    values = rng.choice(pool, (count, *shape))
    missing = rng.random((count, *shape)) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    absent = [None if draw(st.booleans()) else mask for mask in missing]
    days = (18_000 + 5 * rng.permutation(count)).astype(float)
    return values, absent, days


def run(method, values, missing, days, *, scale=SCALE, offset=OFFSET, bands=("red", "nir"), **more):
    made = reducer(
        method,
        bands=bands,
        shape=values.shape[2:],
        dtype=str(values.dtype),
        scales=(scale,) * len(bands),
        offsets=(offset,) * len(bands),
        **more,
    )
    for layer, absent, day in zip(values, missing, days, strict=True):
        made.add(layer, absent, day)
    return made.result()


def physical_stack(values, missing, scale=SCALE, offset=OFFSET):
    stack = values.astype("float32") * np.float32(scale) + np.float32(offset)
    for layer, absent in zip(stack, missing, strict=True):
        if absent is not None:
            layer[absent] = np.nan
    return stack


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*args, **kwargs)


def check_against_numpy(case):
    values, missing, _ = case
    stack = physical_stack(values, missing)
    equal = np.testing.assert_array_equal
    equal(run("median", *case), quiet(np.nanmedian, stack, axis=0))
    equal(run("min", *case), quiet(np.nanmin, stack, axis=0))
    equal(run("max", *case), quiet(np.nanmax, stack, axis=0))
    equal(run("count", *case), (~np.isnan(stack)).sum(axis=0))
    scale = np.nan_to_num(np.abs(stack)).max()
    bound = len(stack) * np.finfo("float32").eps * scale
    exact = quiet(np.nanmean, stack.astype("float64"), axis=0)
    np.testing.assert_allclose(run("mean", *case), exact, rtol=0, atol=bound)
    for method, percent in (("p10", 10), ("p90", 90), ("percentile:12.5", 12.5), ("p100", 100)):
        exact = quiet(np.nanpercentile, stack.astype("float64"), percent, axis=0)
        np.testing.assert_allclose(run(method, *case), exact, rtol=0, atol=4e-7 * scale)


@settings(deadline=None, max_examples=60)
@given(layers())
def test_reducers_are_numpys(case):
    check_against_numpy(case)


@pytest.mark.parametrize("dates", [33, 100, 150])
@settings(deadline=None, max_examples=4)
@given(data=st.data())
def test_many_dates(dates, data):
    check_against_numpy(data.draw(layers(dates=dates)))


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_strips_make_no_difference(method, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9000, (5, 2, 21, 33)).astype(dtype)
    missing = rng.random(values.shape) < 0.4
    missing[..., 5:15, :] = False
    missing[..., 15:, :] = True
    whole = run(method, values, missing, range(5))
    monkeypatch.setattr(stored, "_LONGEST", 64)
    np.testing.assert_array_equal(run(method, values, missing, range(5)), whole)


@settings(deadline=None, max_examples=40)
@given(layers())
def test_first_and_most_recent(case):
    values, missing, days = case
    stack = physical_stack(values, missing)
    newest = stack[np.argsort(days, kind="stable")[::-1]]
    for method, ordered in (("first", stack), ("most_recent", newest)):
        valid = ~np.isnan(ordered)
        expected = np.take_along_axis(ordered, valid.argmax(axis=0)[None], axis=0)[0]
        np.testing.assert_array_equal(run(method, *case), expected)


@settings(deadline=None, max_examples=40)
@given(layers(bands=("nir", "swir", "red")))
def test_max_ndvi_pixel_by_pixel(case):
    values, missing, days = case
    found = run("max_ndvi", *case, bands=("nir", "swir", "red"))
    stack = physical_stack(values, missing)
    with np.errstate(over="ignore"):
        index = ndvi_of(stack[:, 2], stack[:, 0])
    expected = np.full_like(found, np.nan)
    for y, x in np.ndindex(found.shape[1:]):
        dates = [date for date in np.argsort(days) if not np.isnan(index[date, y, x])]
        if dates:
            best = max(dates, key=lambda date: (index[date, y, x], -days[date]))
            expected[:, y, x] = [*stack[best, :, y, x], index[best, y, x], days[best]]
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(layers(bands=("a", "b", "c")))
def test_medoid_pixel_by_pixel(case):
    values, missing, days = case
    found = run("medoid", *case, bands=("a", "b", "c"))
    stack = physical_stack(values, missing)
    expected = np.full_like(found, np.nan)
    for y, x in np.ndindex(found.shape[1:]):
        dates = [d for d in np.argsort(days) if not np.isnan(stack[d, :, y, x]).any()]
        costs = []
        for one in dates:
            cost = np.float32(0)
            for other in dates:
                squares = (stack[one, :, y, x] - stack[other, :, y, x]) ** 2
                cost += np.sqrt((squares[0] + squares[1]) + squares[2])
            costs.append(cost)
        if dates:
            expected[:, y, x] = stack[dates[int(np.argmin(costs))], :, y, x]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", NAMED)
@settings(deadline=None, max_examples=15)
@given(case=layers(dtypes=("uint8", "uint16", "int16")), scale=st.sampled_from([1.0, SCALE, -0.5]))
def test_integers_give_what_their_physical_values_give(method, case, scale):
    values, missing, days = case
    floats = np.stack([physical(layer, scale, OFFSET, None) for layer in values])
    one = run(method, values, missing, days, scale=scale)
    other = run(method, floats, missing, days, scale=1.0, offset=0.0)
    assert one.dtype == other.dtype == np.float32
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", NAMED)
def test_nothing_valid_and_nothing_at_all(method):
    values = np.zeros((3, 2, 2, 3), "uint16")
    masked = run(method, values, np.ones((3, 2, 2, 3), bool), range(3))
    none = run(method, values[:0], [], [])
    empty = 0.0 if method == "count" else np.nan
    for found in (masked, none):
        assert found.shape == (len(result_bands(method, ("red", "nir"))), 2, 3)
        np.testing.assert_array_equal(found, np.full_like(found, empty))


@pytest.mark.parametrize("method", NAMED)
def test_the_layers_are_not_written_to(method):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9000, (6, 2, 5, 7), dtype="uint16")
    missing = rng.random(values.shape) < 0.3
    kept = values.copy(), missing.copy()
    run(method, values, [None, *missing[1:]], range(6))
    np.testing.assert_array_equal(values, kept[0])
    np.testing.assert_array_equal(missing, kept[1])


@pytest.mark.parametrize("method", NAMED)
def test_views_and_one_mask_for_all_bands(method):
    rng = np.random.default_rng(2)
    interleaved = rng.integers(0, 9000, (6, 5, 14, 2), dtype="uint16")
    values = np.moveaxis(interleaved, -1, 1)[..., ::2]
    mask = np.broadcast_to(rng.random((6, 1, 5, 7)) < 0.3, values.shape)
    np.testing.assert_array_equal(
        run(method, values, mask, range(6)),
        run(method, np.ascontiguousarray(values), mask.copy(), range(6)),
    )


def test_first_is_complete_when_every_pixel_is_filled():
    made = reducer(
        "first", bands=("a",), shape=(1, 2), dtype="uint8", scales=(1.0,), offsets=(0.0,)
    )
    values = np.uint8([[[3, 4]]])
    made.add(values, np.array([[[False, True]]]), 0.0)
    assert not made.complete
    made.add(values + 2, None, 1.0)
    assert made.complete
    made.add(values + 3, None, 2.0)
    assert made.result().tolist() == [[[3.0, 6.0]]]


def test_of_two_layers_of_one_day_the_last_is_the_most_recent():
    values = np.uint8([[[[1]], [[1]]], [[[2]], [[2]]], [[[3]], [[3]]]])
    assert run("most_recent", values, [None] * 3, [7, 7, 6], scale=1, offset=0).max() == 2


def test_max_ndvi_of_bands_by_other_names():
    values = np.uint16([[[[2000]], [[6000]]]])
    found = run("max_ndvi", values, [None], [19_000], bands=("B04", "B08"), red="B04", nir="B08")
    assert found[2:, 0, 0] == pytest.approx([2 / 3, 19_000])
    with pytest.raises(ConfigError, match="needs the bands red and nir; there are B04, B08"):
        run("max_ndvi", values, [None], [0], bands=("B04", "B08"))
    with pytest.raises(ConfigError, match="there is one already"):
        result_bands("max_ndvi", ("red", "nir", "date"))


@pytest.mark.parametrize("method", ["mode", "p", "p101", "percentile", "percentile:-3", "P10", ""])
def test_other_names_are_refused(method):
    with pytest.raises(ConfigError) as caught:
        check_method(method)
    assert caught.value.hint


def test_layers_of_another_kind_are_refused():
    values = np.zeros((1, 2, 2, 3), "uint16")
    with pytest.raises(DataError, match="float64"):
        run("median", values.astype("float64"), [None], [0])
    made = reducer("mean", bands=("a",), shape=(2, 2), dtype="uint8", scales=(1.0,), offsets=(0.0,))
    with pytest.raises(DataError, match=r"uint16 \(1, 2, 2\)"):
        made.add(np.zeros((1, 2, 2), "uint16"), None, 0.0)
    with pytest.raises(DataError, match="a mask of bool"):
        made.add(np.zeros((1, 2, 2), "uint8"), np.zeros((2, 2), bool), 0.0)


def held(made):
    """Bytes of the arrays that a reducer keeps."""
    total = 0
    for value in vars(made).values():
        if isinstance(value, kept.InMemory | kept.OnDisk):
            total += held(value)
        for part in value if isinstance(value, list) else [value]:
            total += part.nbytes if isinstance(part, np.ndarray) else 0
    return total


@pytest.mark.parametrize("method", NAMED)
def test_what_is_held_is_what_is_announced(method):
    shape, dates = (20, 30), 7
    made = reducer(
        method,
        bands=("red", "nir", "swir"),
        shape=shape,
        dtype="uint16",
        scales=(1.0,) * 3,
        offsets=(0.0,) * 3,
    )
    rng = np.random.default_rng(0)
    values = rng.integers(1, 9000, (dates, 3, *shape), dtype="uint16")
    for day, layer in enumerate(values):
        made.add(layer, rng.random(layer.shape) < 0.3, day)
    announced = bytes_per_pixel(method, dates, 3, "uint16") * shape[0] * shape[1]
    assert held(made) + made.result().nbytes == announced
    more = bytes_per_pixel(method, 2 * dates, 3, "uint16")
    assert (more > bytes_per_pixel(method, dates, 3, "uint16")) == made.stacks
