"""Many requests to one server: in order, several at one time, few ahead of who takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rsdat.catalog.servers import each


def test_results_come_in_order_while_several_are_under_way() -> None:
    meet = threading.Barrier(3)

    def work(number: int) -> int:
        meet.wait(60)
        return number * 2

    assert list(each(work, range(9), 3)) == [2 * number for number in range(9)]


def test_no_more_are_begun_than_are_soon_taken() -> None:
    begun: list[int] = []

    def things() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            yield number

    results = each(lambda number: number, things(), 2)
    assert next(results) == 0
    assert len(begun) == 4
    results.close()


def test_the_first_error_in_order_ends_it() -> None:
    def work(number: int) -> int:
        if number in (3, 5):
            raise ValueError(number)
        return number

    results = each(work, range(50), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
