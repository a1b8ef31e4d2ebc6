"""Merging layers: per key, the upper one wins, whatever the layers hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rsdat.config.origin import Layer, Origin
from rsdat.config.values import Values, from_mapping, merge

keys = st.sampled_from("abcd")
section_names = st.sampled_from("xyz")
scalars = st.one_of(st.integers(0, 9), st.none(), st.lists(st.integers(0, 9), max_size=2))
sections = st.recursive(
    st.dictionaries(keys, scalars, max_size=3),
    lambda inner: st.dictionaries(keys, st.one_of(scalars, inner), max_size=3),
    max_leaves=8,
)
# Layers that agree on what is a section, as all valid ones do.
agreeing = st.recursive(
    st.dictionaries(keys, scalars, max_size=3),
    lambda inner: st.builds(
        lambda plain, nested: plain | nested,
        st.dictionaries(keys, scalars, max_size=2),
        st.dictionaries(section_names, inner, max_size=2),
    ),
    max_leaves=8,
)


def layer(values: dict[str, Any], place: str = "file") -> Values:
    return from_mapping(values, Origin(Layer.ADMIN, place, 1))


def plain_merge(lower: Any, upper: Any) -> Any:
    """The same rule, written the obvious way."""
    if isinstance(lower, dict) and isinstance(upper, dict):
        both = {k: plain_merge(lower[k], upper[k]) for k in lower if k in upper}
        return {**lower, **upper, **both}
    return upper


@given(sections, sections)
def test_the_upper_layer_wins_per_key(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    assert merge([layer(lower), layer(upper)]).nested() == plain_merge(lower, upper)


@given(agreeing, agreeing, agreeing)
def test_it_does_not_matter_which_layers_are_merged_first(a: Any, b: Any, c: Any) -> None:
    one, two, three = layer(a), layer(b), layer(c)
    left = merge([merge([one, two]), three]).nested()
    assert left == merge([one, merge([two, three])]).nested() == merge([one, two, three]).nested()


@given(sections)
def test_a_layer_over_itself_changes_nothing(values: dict[str, Any]) -> None:
    assert merge([layer(values), layer(values)]).nested() == values


@given(sections, sections)
def test_every_value_keeps_the_origin_of_the_layer_that_gave_it(lower: Any, upper: Any) -> None:
    below, above = layer(lower, "below"), layer(upper, "above")
    merged = merge([below, above])
    for path, value in merged.leaves.items():
        place = merged.origin(path).place
        assert {"below": below, "above": above}[place].leaves[path] == value
        # An empty section in the upper layer says nothing against what is below it.
        assert place == "above" or path not in above.leaves or above.leaves[path] == {}


def test_a_list_is_replaced_with_its_origins() -> None:
    lower = Values(
        {("a",): [1, 2]},
        {p: Origin(Layer.ADMIN, "low", 1) for p in [("a",), ("a", "0"), ("a", "1")]},
    )
    upper = Values({("a",): [3]}, {p: Origin(Layer.USER, "up", 1) for p in [("a",), ("a", "0")]})
    merged = merge([lower, upper])
    assert merged.leaves == {("a",): [3]}
    assert merged.origin(("a", "1")).place == "up"
