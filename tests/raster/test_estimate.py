"""What a chain is said to take, before it is begun."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from rsdat import chain
from rsdat.raster.estimate import (
    grid_words,
    overlaps,
    size_words,
    span_words,
    step_words,
    together,
)


def files_of(items, *bands: str) -> int:
    return sum(Path(item.assets[band].href).stat().st_size for item in items for band in bands)


def test_files_masks_and_times_are_counted(sentinel2):
    items = sentinel2(size=96, dates=3)
    made = chain(items, ["red", "nir"]).mask_clouds().index("ndvi").composite("median")
    told = made.explain()
    assert (told.items, told.source_files, told.dates, told.tasks) == (3, 9, None, 1)
    assert (told.bytes_to_read, told.measured) == (files_of(items, "red", "nir", "scl"), True)
    assert told.span == "2024-06-01 to 2024-06-03"
    assert told.steps == ("mask scl", "index ndvi", "composite median")
    assert (told.bands, told.dtype, told.geobox) == (("ndvi",), "float32", made.geobox)
    assert 96 * 96 * 4 < told.bytes_stored < 96 * 96 * 6
    words = json.loads(json.dumps(told.words()))
    assert words["grid"]["crs"] == "EPSG:32632"
    for line in ("3 (2024-06-01 to 2024-06-03), 9 files", "96 × 96 pixels of 10 m", "1 task,"):
        assert line in str(told)
    assert chain(items, ["red"]).explain(zarr=True).dates == 3


def test_only_the_part_on_the_grid_is_read(sentinel2):
    items = sentinel2(size=96, dates=2)
    grid = chain(items, ["red"]).geobox
    quarter = chain(items, ["red"], geobox=grid[:48, :48]).explain()
    assert quarter.bytes_to_read == pytest.approx(files_of(items, "red") / 4, rel=0.01)
    beside = GeoBox(grid.shape, grid.transform * grid.transform.translation(500, 0), grid.crs)
    assert chain(items, ["red"], geobox=beside).explain().bytes_to_read == 0
    clipped = chain(items, ["red"]).clip(grid[:48].extent).explain()
    assert clipped.bytes_to_read == pytest.approx(files_of(items, "red") / 2, rel=0.01)


def test_the_overlap_is_the_share_of_the_pixels(scenes):
    rng = np.random.default_rng(0)
    origins = [(600_000 + 10 * x, 5_000_000 - 10 * y) for x, y in rng.integers(-50, 50, (6, 2))]
    items = [
        scenes.item(f"i{i}", {"red": scenes.write(f"r{i}", np.ones((64, 64), "u2"), origin=o)})
        for i, o in enumerate(origins)
    ]
    grid = GeoBox((64, 64), chain(items[:1], "red").geobox.transform, "EPSG:32632")
    made = chain(items, "red", geobox=grid)
    seen = np.isfinite(made.evaluate()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(overlaps(made), seen, atol=1e-9)


def test_sizes_that_items_declare_are_believed_and_others_guessed(sentinel2, scenes):
    items = sentinel2(size=96, dates=3)
    for item in items:
        item.assets["red"].extra_fields = {"file:size": 1_000_000}
    assert chain(items, ["red"]).explain().bytes_to_read == 3_000_000
    items[1].assets["red"].extra_fields = {}
    items[1].assets["red"].href = str(scenes.directory / "gone.tif")
    told = chain(items, ["red"], on_error="skip").explain()
    assert (told.bytes_to_read, told.measured) == (3_000_000, False)
    assert "about 3 MB" in str(told)


def test_overviews_are_what_is_read_of_a_coarse_grid(scenes):
    rng = np.random.default_rng(0)
    path = scenes.write(
        "a", rng.integers(0, 9999, (512, 512)).astype("u2"), block=128, overviews=(2, 4)
    )
    item = scenes.item("a", {"red": path})
    size = path.stat().st_size
    for resolution, share in ((10, 3 / 4), (20, 3 / 16), (40, 3 / 64), (80, 3 / 64)):
        told = chain(item, "red", resolution=resolution).explain()
        assert told.bytes_to_read == pytest.approx(size * share, rel=0.01)


def test_memory_decides_tiles_and_threads(scenes):
    path = scenes.write("a", np.ones((4096, 4096), "uint16"), block=512, compress="deflate")
    made = chain(scenes.item("a", {"red": path, "nir": path}), ["red", "nir"]).index("ndvi")
    usual, small = made.explain(), made.explain(memory=30_000_000)
    assert small.tasks > usual.tasks
    assert small.threads * small.memory_per_tile <= 30_000_000
    assert usual.source_files == 1

    class Client:
        def nthreads(self):
            return {"a": 4, "b": 4}

    told = made.explain(client=Client())
    assert (told.workers, told.threads) == (2, 4)
    assert "2 workers, each with 4 threads" in str(told)


@pytest.mark.parametrize("zarr", [False, True])
def test_the_memory_named_holds_the_program_too(scenes, zarr):
    path = scenes.write("a", np.ones((4096, 4096), "uint16"), block=512, compress="deflate")
    made = chain(scenes.item("a", {"red": path, "nir": path}), ["red", "nir"]).index("ndvi")
    for memory in (350e6, 600e6):
        told = made.explain(memory=memory, zarr=zarr)
        assert told.memory_of_program < told.memory_per_worker <= memory
    assert made.explain(memory=1e6, zarr=zarr).memory_per_tile <= 100e6

    class Client:
        def nthreads(self):
            return {"a": 2}

    told = made.explain(memory=30e6, zarr=zarr, client=Client())
    assert 20e6 < told.memory_per_tile <= 30e6  # of a tile alone


@pytest.mark.filterwarnings("ignore:with a halo of 512 pixels")
def test_a_halo_takes_memory(scenes):
    path = scenes.write("a", np.ones((4096, 4096), "uint16"), block=512, compress="deflate")
    made = chain(scenes.item("a", {"red": path}), ["red"])
    small, wide = (made.apply(np.sqrt, halo=halo).explain(memory=600e6) for halo in (0, 512))
    pixels = [one.tile[0] * one.tile[1] for one in (small, wide)]
    assert wide.memory_per_tile / pixels[1] > 2.5 * small.memory_per_tile / pixels[0]


def test_what_is_estimated_takes_what_it_is_written_with(scenes, tmp_path):
    path = scenes.write("a", np.ones((1500, 1100), "uint16"), block=512, compress="deflate")
    made = chain(scenes.item("a", {"red": path}), ["red"])
    for memory in (None, 20_000_000):
        told = made.explain(memory=memory)
        assert made.to_cog(tmp_path / "a.tif", memory=memory).tiles == told.tasks
        told = made.explain(memory=memory, zarr=True)
        assert made.to_zarr(tmp_path / "a.zarr", memory=memory).tiles == told.tasks


def test_many_outputs_are_estimated_from_some(sentinel2):
    one, other = (chain(item, ["red"]).explain() for item in sentinel2(size=96, dates=2))
    both = together([one, other], 2)
    assert both.bytes_to_read == one.bytes_to_read + other.bytes_to_read
    assert (both.items, both.measured, both.span) == (2, True, "2024-06-01 to 2024-06-02")
    many = together([one, other], 10)
    assert (many.items, many.outputs, many.measured) == (10, 10, False)
    assert many.bytes_to_read == 5 * both.bytes_to_read


def test_words():
    assert [size_words(n) for n in (0, 999, 1200, 15e6, 123e6, 4.5e15)] == [
        "0 bytes",
        "999 bytes",
        "1.2 kB",
        "15 MB",
        "123 MB",
        "4500 TB",
    ]
    assert span_words(np.array(["2024-01-02"], "M8[ns]")) == "2024-01-02"
    globe = GeoBox.from_bbox((-180, -90, 180, 90), resolution=0.25)
    assert grid_words(globe) == "EPSG:4326, 720 × 1440 pixels of 0.25°"
    assert step_words({"index": "wet", "formula": "nir - red"}) == "index wet = nir - red"
    assert step_words({"index": "a + b", "formula": "a + b"}) == "index a + b"
    assert step_words({"composite": "median", "by": "month"}) == "composite median by month"
