"""Halving an image: against plain numpy, for every type and method."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError
from rsdat.raster.writers.overviews import METHODS, check_method, halve, usual_method

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32"]


def four_by_four(values: np.ndarray, nodata: float | None, method: str) -> np.ndarray:
    """One pixel after the other, in exact arithmetic."""
    height, width = values.shape
    out = np.empty((-(-height // 2), -(-width // 2)), values.dtype)
    for row, column in np.ndindex(*out.shape):
        under = values[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel()
        known = [v for v in under if v == v and (nodata is None or v != nodata)]
        out[row, column] = _one(known, under[0], nodata, method, values.dtype)
    return out


def _one(known, first, nodata, method, dtype):
    if method == "nearest":
        return first
    if not known:
        return np.nan if nodata is None else nodata
    if method == "mode":
        return max(known, key=lambda v: (known.count(v), -known.index(v)))
    if method != "average":
        return getattr(np, method)(known)
    if dtype.kind == "f":
        return np.mean(np.array(known, "float64"))
    mean = (sum(Fraction(int(v)) for v in known) / len(known) + Fraction(1, 2)).__floor__()
    if mean == nodata:
        mean += -1 if mean == np.iinfo(dtype).max else 1
    return mean


@st.composite
def images(draw):
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "f":
        nodata = draw(st.sampled_from([None, 0.0, -9999.0]))
        values = rng.normal(0, 5, shape).round(1).astype(dtype)
        missing = np.nan if nodata is None else nodata
    else:
        limits = np.iinfo(dtype)
        nodata = draw(st.sampled_from([None, limits.min, 0, 3, limits.max]))
        near = rng.integers(max(0, limits.min), 8, shape).astype(dtype)
        far = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        values = np.where(rng.random(shape) < 0.5, near, far)
        missing = nodata
    if missing is not None:
        values[rng.random(shape) < draw(st.sampled_from([0, 0.3, 1]))] = missing
    return values, nodata


@settings(max_examples=60, deadline=None)
@given(images(), st.sampled_from(METHODS))
def test_as_one_pixel_after_the_other(image, method):
    values, nodata = image
    found = halve(values, nodata, method)
    expected = four_by_four(values, nodata, method)
    assert found.dtype == values.dtype
    if values.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_does_not_depend_on_the_tiles(method, dtype):
    rng = np.random.default_rng(3)
    values = rng.integers(-5, 5, (2, 300, 190)).astype(dtype)
    whole = halve(values, -5, method)
    tiles = [halve(values[:, top : top + 100], -5, method) for top in range(0, 300, 100)]
    np.testing.assert_array_equal(np.concatenate(tiles, axis=1), whole)


def test_an_average_that_is_nodata_by_chance_moves_by_one():
    values = np.array([[-1, 1], [-1, 1]], "int16")
    assert halve(values, 0, "average").item() == 1
    assert halve(values.astype("float32"), 0, "average").item() != 0
    top = np.array([[254, 255], [254, 255]], "uint8")
    assert halve(top, None, "average").item() == 255
    assert halve(np.array([[253, 255], [255, 255]], "uint8"), 255, "average").item() == 253


def test_defaults_take_numbers_for_measured_only_where_that_is_known():
    assert usual_method("float32", (1.0,)) == "average"
    assert usual_method("int16", (1e-4,)) == "average"
    assert usual_method("uint8", (1.0,)) == "nearest"
    with pytest.raises(ConfigError, match="cubic"):
        check_method("cubic")
