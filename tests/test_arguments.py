"""Arguments of another kind than an annotation says are refused, and no others."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsdat.arguments import checked
from rsdat.errors import ConfigError


@checked
def example(
    path: str | os.PathLike[str],
    names: str | Sequence[str | Mapping[str, str]] = (),
    *,
    count: int | tuple[int, int] | None = None,
    size: float = 1.5,
    flag: bool = True,
    tell: Callable[[int], object] | None = None,
    anything: Any = None,
    strange: set[str] | None = None,
    **others: float,
) -> tuple[Any, ...]:
    """An example."""
    return path, names, count, size, flag, tell, anything, strange, others


@pytest.mark.parametrize(
    "given",
    [
        {"path": Path("a")},
        {"names": ["a", {"b": "c"}]},
        {"names": (name for name in "ab")},
        {"names": np.array(["a"])},
        {"names": {"a": 1}.keys()},
        {"count": np.int16(5)},
        {"count": (1, 2)},
        {"count": None},
        {"size": 2},
        {"size": np.float32(2)},
        {"flag": np.True_},
        {"tell": print},
        {"anything": object()},
        {"strange": 5},
        {"more": 5.5},
    ],
)
def test_what_the_annotation_says_is_taken(given):
    *got, others = example(**{"path": "a", **given})
    assert any(one is value for one in (*got, *others.values()) for value in given.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": None}, "path=None is not a text or a path"),
        ({"path": b"a"}, "path=b'a' is not"),
        ({"names": 5}, "names=5 is not a text or a list \\(each a text or a dict\\)"),
        ({"names": ["a", None]}, r"names=\['a', None\] is not"),
        (
            {"count": 5.0},
            "count=5.0 is not a whole number or a list \\(each a whole number\\) or None",
        ),
        ({"count": True}, "count=True is not"),
        ({"count": "12"}, "count='12' is not"),
        ({"count": (1, "2")}, "is not"),
        ({"size": "1"}, "size='1' is not a number"),
        ({"size": None}, "size=None is not a number"),
        ({"flag": 1}, "flag=1 is not True or False"),
        ({"tell": 5}, "tell=5 is not a function or None"),
        ({"more": "5"}, "more='5' is not a number"),
    ],
)
def test_another_kind_is_refused(given, said):
    with pytest.raises(ConfigError, match=f"example: .*{said}") as caught:
        example(**{"path": "a", **given})
    assert caught.value.hint.startswith("give ")


def test_the_hint_tells_the_default():
    with pytest.raises(ConfigError) as caught:
        example("a", size="big")
    assert caught.value.hint == "give a number; the default is 1.5"


def test_a_long_value_is_told_in_short():
    with pytest.raises(ConfigError) as caught:
        example("a", size="x" * 5000)
    assert len(caught.value.message) < 150


def test_calls_that_do_not_fit_are_told_by_python():
    with pytest.raises(TypeError, match=r"example\(\) missing 1 required positional argument"):
        example()


def test_a_checked_function_is_the_function():
    assert example.__doc__ == "An example."
    assert pickle.loads(pickle.dumps(example)) is example
