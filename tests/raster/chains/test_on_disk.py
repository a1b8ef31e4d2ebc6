"""Chains that keep their dates on a disk, because the memory named does not hold them."""

from __future__ import annotations

import os
import tempfile
import time

import numpy as np
import pytest
import rasterio
import xarray as xr

from rsdat import chain
from rsdat.errors import DataError
from rsdat.raster import scratch
from rsdat.raster.chains import ends, sizes
from rsdat.raster.kernels.kept import OnDisk
from rsdat.raster.writers import run as writer
from rsdat.raster.writers import zarr_layout
from tests.raster.conftest import REFLECTANCE
from tests.raster.test_scratch import open_files

DATES, SIZE = 16, 1100


@pytest.fixture(scope="module")
def items(shelf):
    """Scenes in blocks of 1024, the last three with another offset; fields, and clouds by date."""
    rng = np.random.default_rng(0)
    fields = rng.integers(900, 6000, (SIZE // 20, SIZE // 20)).astype("uint16")
    fields = fields.repeat(20, 0).repeat(20, 1)
    found = []
    for date in range(DATES):
        clear = np.full((SIZE // 2, SIZE // 2), 4, "uint8")
        clear[20 * date : 20 * date + 200] = 9
        files = {}
        for band, pixels in (("red", fields + 7 * date), ("nir", fields[::-1] + 11 * date)):
            name = f"{band}{date}"
            files[band] = shelf.write(name, pixels, nodata=0, block=1024, compress="zstd")
        files["scl"] = shelf.write(f"scl{date}", clear, nodata=0, edge=20, block=512)
        bands = {"red": REFLECTANCE, "nir": REFLECTANCE}
        found.append(shelf.item(f"scene{date}", files, day=date + 1, bands=bands))
    return found


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The layers that were written to the scratch directory, which is a disk here."""
    found = []
    append = OnDisk.append

    def noted(self, layer):
        found.append(layer.dtype.name)
        append(self, layer)

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(OnDisk, "append", noted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(scratch, "_in_memory", lambda directory: False)
    yield found
    assert open_files(tmp_path / "scratch") == []
    assert not list((tmp_path / "scratch").glob("rsdat*"))


@pytest.mark.parametrize(
    ("method", "steps"),
    [("median", "masked"), ("p25", "index"), ("median", "mixed"), ("median", "months")],
)
def test_a_small_memory_changes_no_bit(items, kept, tmp_path, method, steps):
    if steps == "mixed":  # stored numbers of two meanings
        items = [item.clone() for item in items]
        for item in items[-3:]:
            item.assets["red"].extra_fields = {"raster:bands": [{"scale": 0.0002, "nodata": 0}]}
    made = chain(items, ["red", "nir"]).mask_clouds("scl")
    if steps == "index":
        made = made.index("ndvi")
    made = made.composite(method, by="month" if steps == "months" else None)
    usual = made.to_cog(tmp_path / "usual.tif", memory="8GB")
    assert not kept
    small = made.to_cog(tmp_path / "small.tif", memory=70e6)
    assert len(kept) >= DATES * small.tiles
    assert set(kept) >= {"float32" if steps in ("index", "mixed") else "uint16"}
    with rasterio.open(usual.path) as one, rasterio.open(small.path) as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_without_a_memory_named_many_dates_go_to_a_disk_too(items, kept, tmp_path, monkeypatch):
    made = chain(items, ["red", "nir"]).composite("median")
    usual = made.to_cog(tmp_path / "usual.tif")
    assert not kept
    for module in (ends, sizes):
        monkeypatch.setattr(module, "MEMORY", 70_000_000)
    monkeypatch.setattr(zarr_layout, "_TILE_BYTES", 70_000_000)
    for module in (ends, writer, zarr_layout):
        monkeypatch.setattr(module, "cores", lambda: 1)
    assert made.explain().disk_per_tile
    assert made.explain(zarr=True).disk_per_tile
    small = made.to_cog(tmp_path / "small.tif")
    assert len(kept) == DATES * small.tiles
    with rasterio.open(usual.path) as one, rasterio.open(small.path) as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_a_worker_keeps_dates_in_its_directory_while_it_works(items, kept, tmp_path):
    from distributed import Client

    made = chain(items, ["red"]).composite("median")
    usual = made.to_cog(tmp_path / "usual.tif")
    held = []
    with Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path / "workers"),
    ) as client:
        small = made.to_cog(
            tmp_path / "small.tif",
            progress=lambda progress: held.append(len(open_files(tmp_path / "workers"))),
            client=client,
            memory=44e6,
        )
        assert kept
        assert max(held) > 0
        # The scheduler tells the worker that nobody wants the plan.
        deadline = time.monotonic() + 60
        while open_files(tmp_path / "workers"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with rasterio.open(usual.path) as one, rasterio.open(small.path) as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_stores_and_medoids(items, kept, tmp_path):
    made = chain(items[:12], ["red", "nir"]).mask_clouds("scl").composite("medoid")
    made.to_zarr(tmp_path / "usual.zarr", memory="8GB")
    assert not kept
    made.to_zarr(tmp_path / "small.zarr", memory=60e6)
    assert "bool" in kept
    with (
        xr.open_zarr(tmp_path / "usual.zarr", group="0") as one,
        xr.open_zarr(tmp_path / "small.zarr", group="0") as other,
    ):
        xr.testing.assert_identical(one.load(), other.load())


def test_a_run_is_gone_on_with_in_memory(items, kept, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    made = chain(items, ["red"]).composite("median")
    with pytest.raises(KeyboardInterrupt):
        made.to_cog(tmp_path / "a.tif", memory=44e6, progress=stop)
    assert kept
    assert made.to_cog(tmp_path / "a.tif", memory=1e9).kept > 0


def test_it_is_told_before_what_is_kept_where(items, kept, tmp_path):
    made = chain(items, ["red", "nir"]).mask_clouds("scl").composite("median")
    usual, small = made.explain(), made.explain(memory=70e6)
    assert (usual.disk_per_tile, usual.words()["disk_per_worker"]) == (0, 0)
    assert "on disk" not in str(usual)
    assert small.tile == (1024, 1024)
    assert small.disk_per_tile == 1024 * 1024 * DATES * 2 * 2
    assert small.threads * small.memory_per_tile <= 70e6
    assert f"of the dates on disk, in {tmp_path}/scratch" in str(small)

    class Client:
        def nthreads(self):
            return {"a": 1}

    told = made.explain(memory=70e6, client=Client())
    assert "67 MB of the dates on disk each, in the workers' local directories" in str(told)
    assert not kept


def test_where_no_disk_has_room_tiles_are_smaller(items, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "_in_memory", lambda directory: True)
    made = chain(items, ["red", "nir"]).composite("median")
    assert made.explain(memory=70e6).tile != (1024, 1024)
    made.to_cog(tmp_path / "a.tif", memory=70e6)
    assert not kept


def test_a_full_disk_is_an_error_with_the_next_step(items, kept, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    made = chain(items, ["red", "nir"]).composite("median")
    with pytest.raises(
        DataError, match=r"scratch cannot hold .* MB for each thread: No space"
    ) as caught:
        made.to_cog(tmp_path / "a.tif", memory=70e6)
    assert "TMPDIR" in caught.value.hint
    assert not (tmp_path / "a.tif").exists()
