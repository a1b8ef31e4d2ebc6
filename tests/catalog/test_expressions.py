"""Conditions on properties: CQL2 as text and JSON, and STAC's query."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.catalog.expressions import condition
from rsdat.errors import ConfigError
from tests.catalog.catalogs import item

ITEM = item("a", cover=7, platform="sentinel-2a", empty=None, tags=["x", "y"], inner={"deep": 3})


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("cover < 20", True),
        ("properties.cover >= 7 AND cover <= 7", True),
        ("cover <> 7", False),
        ("NOT (cover > 3)", False),
        ("cover BETWEEN 5 AND 9", True),
        ("cover + 1 = 8 AND cover * 2 = 14", True),
        ("cover % 4 = 3 AND cover ^ 2 = 49 AND cover DIV 2 = 3", True),
        ("cover ^ 9999 > 1", False),  # no number that there is
        ("7 >= cover AND 6 < cover", True),
        ("cover > 6.9999 AND cover = 7.0", True),
        ("platform > 'sentinel-1' AND platform < 'sentinel-3'", True),
        ("cover = '7'", False),
        ("cover BETWEEN 9 AND 5", False),
        ("(cover = 7 OR nothing = 1) AND NOT (cover = 8)", True),
        ("platform = 'sentinel-2a'", True),
        ("platform IN ('a', 'sentinel-2a')", True),
        ("platform LIKE 'sent%-_a'", True),
        ("platform LIKE '%a%b'", False),
        ("CASEI(platform) = CASEI('SENTINEL-2A')", True),
        ("ACCENTI('é') = 'e'", True),
        ("inner.deep = 3", True),
        ("id = 'a' AND collection = 'c'", True),
        ("A_CONTAINS(tags, ('x'))", True),
        ("A_OVERLAPS(tags, ('z'))", False),
        ("datetime > TIMESTAMP('2024-05-01T11:59:00+02:00')", True),
        ("datetime < DATE('2024-05-02')", True),
        ("T_BEFORE(datetime, TIMESTAMP('2024-05-01T00:00:00Z'))", False),
        ("S_INTERSECTS(geometry, POINT(5.5 50.5))", True),
        ("S_INTERSECTS(geometry, BBOX(170, 50, -170, 51))", False),
        ("S_DISJOINT(geometry, POINT(15 50))", True),
    ],
)
def test_cql2_text(text, met):
    assert condition(text).meets(ITEM) is met


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("nothing < 3", False),
        ("NOT (nothing < 3)", False),  # unknown, not true
        ("nothing IS NULL", True),
        ("empty IS NULL", True),
        ("cover IS NOT NULL", True),
        ("nothing < 3 OR cover = 7", True),
        ("nothing < 3 AND cover = 7", False),
        ("NOT (nothing < 3 AND cover = 8)", True),
        ("platform < 3", False),  # of two types
        ("cover / 0 = 1", False),
    ],
)
def test_what_an_item_lacks_is_unknown(text, met):
    assert condition(text).meets(ITEM) is met


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cover <", "not CQL2: it ends too early"),
        ("cover = 1 AND ( id = 'a'\nOR x y", "not CQL2 from 'y' on"),
        ("cover = = 3", "not CQL2 from '= 3' on"),
    ],
)
def test_where_a_text_stops_being_cql2_is_said(text, words):
    with pytest.raises(ConfigError) as caught:
        condition(text)
    assert words in caught.value.message


def test_cql2_json():
    asked = {"op": "<", "args": [{"property": "cover"}, 20]}
    assert condition(asked).meets(ITEM)
    assert condition(asked).cql2 == asked


@pytest.mark.parametrize(
    ("query", "met"),
    [
        ({"cover": {"lt": 20, "gte": 7}}, True),
        ({"cover": 8}, False),
        ({"cover": {"in": [1, 7]}}, True),
        ({"platform": {"startsWith": "sent", "endsWith": "2a", "contains": "nel-"}}, True),
        ({"platform": {"contains": "%"}}, False),
        ({"nothing": {"neq": 3}}, False),
    ],
)
def test_stacs_query(query, met):
    found = condition(query)
    assert found.meets(ITEM) is met
    assert found.query == query


@pytest.mark.parametrize(
    "asked",
    ["cover <", "cover", "__import__('os')", "foo(cover) = 1", {"op": "eval", "args": ["1"]},
     {"op": "<", "args": []}, {"cover": {"below": 3}}, {},
     {"op": "and", "args": [{"op": "exec", "args": [1]}, True]}],
)  # fmt: skip
def test_what_is_not_understood_is_refused_and_nothing_is_run(asked):
    with pytest.raises(ConfigError):
        condition(asked)


@settings(max_examples=40, deadline=None)
@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]))
def test_comparisons_agree_with_the_library_that_parses_them(value, other, word):
    import cql2

    asked = item("a", value=value)
    text = f"value {word} {other}"
    assert condition(text).meets(asked) == cql2.parse_text(text).matches(asked)
