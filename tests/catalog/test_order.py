"""The order of an answer, and its limit."""

from __future__ import annotations

import pytest

from rsdat.catalog import search
from rsdat.errors import ConfigError
from tests.catalog.catalogs import item, write_catalog


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(
        tmp_path,
        [
            item("a", day=3, cover=20, platform="x"),
            item("b", day=2, cover=5, platform="y"),
            item("c", day=1, platform="x"),
            item("d", day=4, cover=5, platform="x"),
        ],
    )


@pytest.mark.parametrize(
    ("sortby", "order"),
    [
        (None, "cbad"),
        ("datetime", "cbad"),
        ("-datetime", "dabc"),
        ("cover", "bdac"),  # the unknown last, ties by time
        ("-cover", "abdc"),
        ("-properties.cover", "abdc"),
        (["platform", "-datetime"], "dacb"),
        ("platform,-datetime", "dacb"),
        ([{"field": "properties.cover", "direction": "desc"}, "-id"], "adbc"),
        ("-id", "dcba"),
    ],
)
def test_sortby(catalog, sortby, order):
    assert "".join(one.id for one in search(catalog, sortby=sortby)) == order
    for limit in (1, 3):
        found = search(catalog, sortby=sortby, limit=limit)
        assert "".join(one.id for one in found) == order[:limit]


@pytest.mark.parametrize(
    "sortby", ["", "-", [3], [{"direction": "asc"}], [{"field": "a", "direction": "up"}]]
)
def test_what_is_no_order(catalog, sortby):
    with pytest.raises(ConfigError, match="sortby"):
        search(catalog, sortby=sortby)


def test_a_limit_of_nothing_is_refused(catalog):
    with pytest.raises(ConfigError, match="limit 0"):
        search(catalog, limit=0)
