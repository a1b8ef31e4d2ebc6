"""Sorting networks cut down to the order statistics that are wanted, as programs of numpy calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Program:
    """Minima and maxima that bring order statistics of ``size`` arrays, element by element.

    Registers below ``size`` are the inputs, which are only read; the others are scratch.

    Parameters
    ----------
    size
        Number of arrays that are sorted.
    steps
        ``(is_maximum, first, second, target)``, register numbers.
    outputs
        The register of each wanted order statistic, as asked.
    scratch
        How many scratch registers there are.
    """

    size: int
    steps: tuple[tuple[bool, int, int, int], ...]
    outputs: tuple[int, ...]
    scratch: int

    def run(self, inputs: Sequence[Array], scratch: Sequence[Array]) -> list[Array]:
        """The wanted order statistics; views of an input or of a scratch array."""
        registers = [*inputs, *scratch]
        for is_maximum, first, second, target in self.steps:
            pick = np.maximum if is_maximum else np.minimum
            pick(registers[first], registers[second], out=registers[target])
        return [registers[output] for output in self.outputs]


@lru_cache(maxsize=64)
def selection(size: int, wanted: tuple[int, ...]) -> Program:
    """The program for these positions (0: the smallest) of ``size`` sorted values.

    Batcher's network, without the halves of comparators that no wanted position depends on.
    """
    comparators: list[tuple[int, int, bool, bool]] = []
    needed = set(wanted)
    for low, high in reversed(list(sorting_network(size))):
        if low in needed or high in needed:
            comparators.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return _with_registers(size, comparators[::-1], wanted)


def _with_registers(
    size: int, comparators: list[tuple[int, int, bool, bool]], wanted: tuple[int, ...]
) -> Program:
    # Each line of the network has a register for its value of the moment. Results go to scratch,
    # so that nothing is copied and the inputs are never written to; scratch whose value is not
    # needed any more is used again.
    place = list(range(size))
    free: list[int] = []
    steps: list[tuple[bool, int, int, int]] = []
    highest = size
    for low, high, minimum, maximum in comparators:
        first, second = place[low], place[high]
        own = [register for register in (first, second) if register >= size]
        if (minimum and maximum) or not own:
            target = free.pop() if free else highest
            highest = max(highest, target + 1)
        else:
            target = own.pop()
        last = target
        if minimum and maximum:
            last = own.pop() if own else free.pop() if free else highest
            highest = max(highest, last + 1)
        if minimum:
            steps.append((False, first, second, target))
            place[low] = target
        if maximum:
            steps.append((True, first, second, last))
            place[high] = last
        free += own
    return Program(size, tuple(steps), tuple(place[line] for line in wanted), highest - size)


def sorting_network(size: int) -> Iterator[tuple[int, int]]:
    """Comparators that sort ``size`` values: Batcher's odd-even merge sort (Knuth, 5.2.2 M)."""
    top = 1
    while top < size:
        top *= 2
    p = top // 2
    while p > 0:
        q, r, d = top // 2, 0, p
        while d > 0:
            for low in range(size - d):
                if low & p == r:
                    yield low, low + d
            d, q, r = q - p, q // 2, p
        p //= 2
