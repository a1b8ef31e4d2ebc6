"""Functions that look beyond a block: what is refused, what is said, and what is left out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from rsdat import chain
from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.steps import Apply, Axis, _nothing_seen


def same(values):
    return values


@pytest.mark.parametrize("steps", [(20_000,), (800, 19_200)], ids=["one", "together"])
@pytest.mark.parametrize("door", ["evaluate", "to_xarray", "explain", "to_cog"])
def test_a_halo_larger_than_the_grid_is_refused(sentinel2, tmp_path, steps, door):
    asked = []

    def function(values):
        asked.append(values.shape)
        return values

    made = chain(sentinel2(dates=1), ["red"])
    for halo in steps:
        made = made.apply(function, halo=halo)
    arguments = (tmp_path / "a.tif",) if door == "to_cog" else ()
    with pytest.raises(
        ConfigError, match="halo of 20000 pixels is larger than the grid of 96 × 96"
    ) as e:
        getattr(made, door)(*arguments)
    assert "not in metres" in e.value.hint
    assert not asked


def test_a_small_grid_takes_a_halo_that_costs_little(sentinel2):
    made = chain(sentinel2(dates=1), ["red"])
    np.testing.assert_array_equal(made.apply(same, halo=200).evaluate(), made.evaluate())


def test_a_costly_halo_is_said_by_explain(sentinel2):
    made = chain(sentinel2(dates=1), ["red"])
    words = "with a halo of 100 pixels, 9 times the pixels of each tile of 100 × 100"
    grid = GeoBox((100, 100), made.geobox.transform, made.geobox.crs)
    tiled = chain(sentinel2(dates=1), ["red"], geobox=grid).apply(same, halo=100)
    with pytest.warns(UserWarning, match=re.escape(words)) as caught:
        tiled.explain()
    assert [one.filename for one in caught if "halo" in str(one.message)] == [__file__]


def test_where_memory_ends_it_is_the_halo():
    crowded = Apply(same, (), halo=4000)
    grid = GeoBox.from_bbox((0, 0, 10, 10), resolution=0.1)

    def upstream(geobox, positions):
        assert geobox.shape == (8100, 8100)
        raise MemoryError
        yield

    axis = Axis(("red",), None)
    said = "the halo of 4000 pixels makes 8100 × 8100 of a block of 100 × 100 pixels"
    with pytest.raises(DataError, match=said) as caught:
        list(crowded.run(upstream, grid, axis, [0]))
    assert "radius" in caught.value.hint
    with pytest.raises(MemoryError):  # of which the halo is not the cause
        list(Apply(same, (), halo=1).run(lambda *_: upstream(grid.pad(4000), ()), grid, axis, [0]))


@pytest.mark.parametrize("halo", [0, 1, 2, 3, 7, 12])
def test_what_sees_no_data_at_all(halo):
    rng = np.random.default_rng(halo)
    values = np.where(rng.random((2, 40, 31)) < 0.02, 1.0, np.nan).astype("float32")
    empty = np.isnan(values).all(axis=0)
    window = 2 * halo + 1
    windows = np.lib.stride_tricks.sliding_window_view(empty, (window, window))
    np.testing.assert_array_equal(_nothing_seen(values, halo), windows.all(axis=(2, 3)))
