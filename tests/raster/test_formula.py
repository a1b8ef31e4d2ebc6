"""The formula language: the same numbers as numpy, and nothing else than a formula."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError, DataError
from rsdat.raster.formula import MAX_LENGTH, Formula

BANDS = ("red", "nir", "blue")
VALUES = st.one_of(
    st.just(float("nan")), st.just(0.0), st.floats(-2, 2, width=32, allow_subnormal=False)
)
PLANES = st.fixed_dictionaries(
    {
        name: st.lists(VALUES, min_size=6, max_size=6).map(
            lambda numbers: np.array(numbers, "float32").reshape(2, 3)
        )
        for name in BANDS
    }
)


#: What the words mean in numpy.
MEANINGS = {
    "f": np.float32,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "min": np.minimum,
    "max": np.maximum,
    "clip": np.clip,
}


def expressions(depth: int):
    leaves = st.one_of(
        st.sampled_from(BANDS), st.sampled_from(["0.5", "2", "7.25", "-1", "(-0.1)"])
    )
    if depth == 0:
        return leaves
    part = expressions(depth - 1)
    return st.one_of(
        leaves,
        st.builds("({} {} {})".format, part, st.sampled_from("+-*"), part),
        st.builds("(-{})".format, part),
        st.builds("({}) ** {}".format, part, st.sampled_from(["2", "3"])),
        st.builds("{}({})".format, st.sampled_from(["abs", "sqrt", "exp"]), part),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), part, part),
        st.builds("clip({}, -1, 1)".format, part),
    ).map(str)


@settings(max_examples=60, deadline=None)
@given(expressions(3).filter(lambda text: any(band in text for band in BANDS)), PLANES)
def test_arithmetic_is_numpys_bit_for_bit(text, planes):
    singles = re.sub(r"[0-9]+([.][0-9]+)?", r"f(\g<0>)", text)
    with np.errstate(all="ignore"):
        expected = eval(singles, {"__builtins__": {}}, {**planes, **MEANINGS})
    before = {name: plane.copy() for name, plane in planes.items()}
    result = Formula.parse(text).evaluate(planes)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.broadcast_to(expected, (2, 3)))
    for name in BANDS:
        np.testing.assert_array_equal(planes[name], before[name])
        assert not np.shares_memory(result, planes[name])


@settings(max_examples=30, deadline=None)
@given(PLANES)
def test_a_quotient_by_zero_is_no_data(planes):
    red, nir = planes["red"], planes["nir"]
    with np.errstate(all="ignore"):
        expected = np.where(red - nir == 0, np.float32("nan"), (red + nir) / (red - nir))
        inverse = np.where(red == 0, np.float32("nan"), red ** np.float32(-1))
    for text, wanted in (("(red + nir) / (red - nir)", expected), ("red ** -1", inverse)):
        np.testing.assert_array_equal(Formula.parse(text).evaluate(planes), wanted)


@settings(max_examples=40, deadline=None)
@given(PLANES)
def test_conditions_are_true_false_or_no_data(planes):
    red, nir, blue = (planes[name] for name in BANDS)
    unknown = np.isnan(red) | np.isnan(nir)
    cases = {
        "red < nir and nir >= 0.5": (red < nir) & (nir >= 0.5),
        "(red < nir) & (nir >= 0.5)": (red < nir) & (nir >= 0.5),
        "red == nir or red <= -1": (red == nir) | (red <= -1),
        "not (red != nir)": red == nir,
        "~(red > nir)": ~(red > nir),
        "-1 < red < nir < 1": (red > -1) & (red < nir) & (nir < 1),
    }
    for text, found in cases.items():
        expected = np.where(unknown, np.float32("nan"), found.astype("float32"))
        np.testing.assert_array_equal(Formula.parse(text).evaluate(planes), expected, text)
    expected = np.where(unknown, np.float32("nan"), np.where(red < nir, blue, np.float32(2)))
    chosen = Formula.parse("where(red < nir, blue, 2)").evaluate(planes)
    np.testing.assert_array_equal(chosen, expected)


def test_what_where_leaves_out_does_not_count():
    planes = {"red": np.float32([[0, 0.5]]), "nir": np.float32([[0.25, 0.25]])}
    result = Formula.parse("where(red > 0, nir / red, -1)").evaluate(planes)
    assert result.tolist() == [[-1, 0.5]]


def test_functions_outside_of_their_range_give_no_data():
    plane = {"vv": np.float32([[0, -1, 100]])}
    for text, last in (("10 * log10(vv)", 20), ("log(vv)", np.log(100))):
        first, second, third = Formula.parse(text).evaluate(plane)[0]
        assert np.isnan(first)
        assert np.isnan(second)
        assert third == pytest.approx(last, rel=3e-7)


def test_sums_of_conditions_count():
    planes = {"a": np.float32([[1, 3, 5]])}
    assert Formula.parse("(a > 2) + (a > 4)").evaluate(planes).tolist() == [[0, 1, 2]]


def test_one_pixel_and_other_number_types():
    formula = Formula.parse("nir / red")
    result = formula.evaluate({"nir": np.array(6, "uint16"), "red": np.array(4, "float64")})
    assert result.shape == ()
    assert result.dtype == np.float32
    assert result == np.float32(1.5)


def test_text_is_normalised():
    formula = Formula.parse("  2.50*(nir-red)\n / ((nir)+2.0) ")
    assert str(formula) == "2.5 * (nir - red) / (nir + 2)"
    assert formula.bands == ("nir", "red")
    assert formula == Formula.parse(str(formula))
    assert len({formula, Formula.parse(str(formula))}) == 1
    assert formula != Formula.parse("2.5 * (nir - red) / (nir + 3)")
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert len(pickle.dumps(formula)) < 200


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("__import__('os').system('true')", 1, "a call of an attribute"),
        ("__import__('os')", 1, "__import__"),
        ("().__class__.__base__", 13, "attribute"),
        ("nir.real", 4, "attribute"),
        ("__class__ + red", 1, "not a band's name"),
        ("open('secret')", 1, "open"),
        ("red[0]", 1, "subscript"),
        ("red + 'text'", 7, "text"),
        ("red + f'{nir}'", 7, "text"),
        ("red + True", 7, "not allowed"),
        ("red + 1j", 7, "not allowed"),
        ("lambda: red", 1, "lambda"),
        ("[b for b in red]", 1, "not allowed"),
        ("(b := red)", 2, "not allowed"),
        ("red if nir else 1", 1, "use where"),
        ("red % 2", 5, "%"),
        ("red // 2", 5, "//"),
        ("red + (nir ^ 2)", 12, "a power is"),
        ("red is nir", 5, "not allowed"),
        ("+red", 1, "not allowed"),
        ("9**9**9", 4, "exponent"),
        ("red ** nir", 8, "exponent"),
        ("red ** 65", 8, "exponent beyond 64"),
        ("red ** -65", 8, "exponent beyond 64"),
        ("red + 1e39", 7, "too large"),
        ("red + " + "9" * 400, 7, "too large"),
        ("red / 0", 7, "division by zero"),
        ("red > 1 & nir > 2", 7, "parentheses"),
        ("where(red, 1, 2)", 7, "condition"),
        ("red and nir > 1", 1, "condition"),
        ("min(red)", 1, "2 or more"),
        ("sqrt(red, nir)", 1, "takes 1"),
        ("sqrt(x=red)", 1, "without names"),
        ("max + 1", 1, "function"),
        ("1 + 2", 1, "no band"),
        ("red +", 6, "invalid syntax"),
        ("  red $ nir", 7, "invalid syntax"),
        ("größe + red", 1, "not a band's name"),
        ("where(red > 1, größe, 0)", 16, "not a band's name"),
        ("red + where(é > 1, b.c, 0)", 13, "not a band's name"),
        ("", 1, "invalid syntax"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(text, column, reason):
    with pytest.raises(ConfigError) as caught:
        Formula.parse(text)
    assert f"column {column}:" in caught.value.message
    assert reason in caught.value.message
    assert "allowed are band names, numbers" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "-" * 900 + "red",
        "(" * 400 + "red" + ")" * 400,
        "abs(" * 150 + "red" + ")" * 150,
        "red" + ".a" * 480,
        "red" + ".a" * 450 + "()",
        "red+" * 200 + "red",
        "not " * 240 + "red",
        "red\x00",
    ],
    ids=range(8),
)
def test_deep_texts_are_refused(text):
    with pytest.raises(ConfigError):
        Formula.parse(text)


def test_long_texts_are_not_read():
    with pytest.raises(ConfigError, match=f"of 4000000 characters is too long; {MAX_LENGTH}"):
        Formula.parse("red+" * 1_000_000)


def test_a_deep_formula_that_is_allowed_is_computed():
    text = "(" * 50 + "red" + " + 1)" * 50
    assert Formula.parse(text).evaluate({"red": np.float32([2])}).tolist() == [52]


def test_planes_that_do_not_fit():
    formula = Formula.parse("nir - red")
    with pytest.raises(DataError, match="needs band 'nir'"):
        formula.evaluate({"red": np.zeros((2, 2), "float32")})
    with pytest.raises(DataError, match=r"differ in shape: nir \(2, 2\), red \(1, 2\)"):
        formula.evaluate({"nir": np.zeros((2, 2)), "red": np.zeros((1, 2))})
