"""Networks that find order statistics."""

from __future__ import annotations

import numpy as np
import pytest

from rsdat.raster.kernels.networks import selection


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 11, 12])
def test_a_network_that_sorts_all_zeros_and_ones_sorts_everything(size):
    # The 0-1 principle (Knuth, 5.3.4): exhaustive over 2**size inputs, for each place by itself.
    inputs = np.array(list(np.ndindex(*[2] * size)), "uint8").T
    ordered = np.sort(inputs, axis=0)
    for places in [(place,) for place in range(size)] + [tuple(range(size))]:
        program = selection(size, places)
        scratch = [np.empty_like(inputs[0]) for _ in range(program.scratch)]
        found = program.run(list(inputs), scratch)
        np.testing.assert_array_equal(found, ordered[list(places)])


@pytest.mark.parametrize("size", [2, 12, 33, 100])
def test_a_median_takes_fewer_steps_and_little_scratch(size):
    whole = selection(size, tuple(range(size)))
    middle = selection(size, ((size - 1) // 2, size // 2))
    assert len(middle.steps) <= len(whole.steps)
    assert middle.scratch <= size + 1
    assert all(target >= size for _, _, _, target in middle.steps)  # inputs are only read
