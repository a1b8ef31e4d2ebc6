"""Dates kept on a disk give the bits that dates in memory give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.raster.kernels import Disk, kept, on_disk, reducer, stacks
from rsdat.raster.scratch import Scratch
from tests.raster.kernels.test_reducers import held, layers, run

METHODS = ("median", "p10", "p90", "percentile:12.5", "medoid")


@pytest.fixture
def short_strips(monkeypatch):
    """Several strips of small layers, and such whose end is cut."""
    monkeypatch.setattr(kept, "_LONGEST", 16)
    monkeypatch.setattr(kept, "_SHORTEST", 4)
    monkeypatch.setattr(kept, "_TOGETHER", 400)


@pytest.mark.usefixtures("short_strips")
@pytest.mark.parametrize("method", METHODS)
def test_a_disk_makes_no_difference(method):
    shared = Scratch()  # one file for all examples, as for all tiles

    @settings(deadline=None, max_examples=25)
    @given(layers(), st.integers(1, 25), st.sampled_from([0.0001, -0.5]))
    def check(case, announced, scale):
        inside = run(method, *case, scale=scale)
        with shared.lend() as files:
            found = run(method, *case, scale=scale, disk=Disk(files, announced))
        assert found.tobytes() == inside.tobytes()

    check()


@pytest.mark.parametrize("method", METHODS)
def test_many_dates_and_the_usual_strips(method):
    shape = (300, 7) if method == "medoid" else (400, 350)  # more than one strip
    dates = 20 if method == "medoid" else 130
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, (dates, 2, *shape), dtype="uint8")
    missing = [None if day % 3 else rng.random((2, *shape)) < 0.4 for day in range(dates)]
    inside = run(method, values, missing, range(dates))
    with Scratch().lend() as files:
        found = run(method, values, missing, range(dates), disk=Disk(files, dates))
    assert found.tobytes() == inside.tobytes()


def test_nothing_added_is_nothing():
    with Scratch().lend() as files:
        for method in METHODS:
            made = reducer(
                method,
                bands=("a",),
                shape=(2, 3),
                dtype="uint8",
                scales=(1.0,),
                offsets=(0.0,),
                disk=Disk(files, 3),
            )
            assert np.isnan(made.result()).all()
        assert files.lent == []


def test_strips_stay_bounded_with_very_many_dates():
    for dates in (1, 10, 100, 1000, 4000):
        needed = on_disk("median", dates, 2, "uint16")
        assert needed.strip <= 16 << 20
        assert needed.disk == 4 * dates
        assert needed.memory == on_disk("median", 1, 2, "uint16").memory


@pytest.mark.parametrize("method", METHODS)
def test_what_is_held_beside_a_disk_is_what_is_announced(method):
    shape, dates = (20, 30), 7
    rng = np.random.default_rng(0)
    values = rng.integers(1, 9000, (dates, 3, *shape), dtype="uint16")
    assert stacks(method)
    with Scratch().lend() as files:
        made = reducer(
            method,
            bands=("red", "nir", "swir"),
            shape=shape,
            dtype="uint16",
            scales=(1.0,) * 3,
            offsets=(0.0,) * 3,
            disk=Disk(files, dates),
        )
        for day, layer in enumerate(values):
            made.add(layer, rng.random(layer.shape) < 0.3, day)
        needed = on_disk(method, dates, 3, "uint16")
        assert held(made) + made.result().nbytes <= needed.memory * shape[0] * shape[1]
        written = sum(file.size for file in files.lent)
        assert written == needed.disk * shape[0] * shape[1]
        assert sum(len(file.buffer(0).base) for file in files.lent) <= needed.strip


def test_streams_take_no_disk():
    assert not any(stacks(method) for method in ("mean", "max", "first", "max_ndvi", "count"))
