"""Zarr stores: bit for bit, overviews as of the whole image, georeferenced, there or not at all."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.transform import Affine, from_origin

import rsdat
from rsdat.errors import ConfigError, DataError
from rsdat.raster.image import Computed, Image, Skipped
from rsdat.raster.tiles import cores
from rsdat.raster.writers import zarr_store
from rsdat.raster.writers.overviews import halve
from rsdat.raster.writers.zarr import write_image

UTM = "EPSG:32632"


def grid(shape: tuple[int, int], crs: Any = UTM) -> GeoBox:
    return GeoBox(shape, from_origin(600_000, 5_000_000, 10, 10), crs)


def numbers(shape: tuple[int, ...], dtype: str = "int16", seed: int = 0) -> np.ndarray:
    """Numbers over the type's whole range, a third of them nodata, some rows without data."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = rng.normal(0, 100, shape).astype(kind)
        values[rng.random(shape) < 0.3] = np.nan
        values[..., :3, :] = np.nan
        return values
    limits = np.iinfo(kind)
    values = rng.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)
    values[rng.random(shape) < 0.3] = limits.min
    values[..., :3, :] = limits.min
    return values


def nodata_of(dtype: str) -> float:
    return float("nan") if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).min)


def image(values: np.ndarray, *, scale: float = 1.0, offset: float = 0.0, **other: Any) -> Image:
    """An image of (band, y, x) or (time, band, y, x)."""
    count = values.shape[-3]
    days = np.arange(values.shape[0]) if values.ndim == 4 else ()
    known = {
        "geobox": grid(values.shape[-2:]),
        "bands": ("red", "nir", "swir")[:count],
        "dtype": values.dtype.name,
        "nodata": nodata_of(values.dtype.name),
        "scales": (scale,) * count,
        "offsets": (offset,) * count,
        "pixels": values,
        "token": "numbers",
        "times": tuple(np.datetime64("2024-06-01T10:20:30.123456", "ns") + d * DAY for d in days)
        or None,
    }
    return Image(**{**known, **other})


DAY = np.timedelta64(1, "D")


@dataclass
class Recorded:
    """Pixels that remember which tiles were asked for, and fail or note a loss where told to."""

    values: np.ndarray
    asked: list[tuple[int, int]] = field(default_factory=list)
    fail_at: tuple[int, int] | None = None
    fails: threading.Event | None = None
    """When it may fail; None: at once."""
    skipped: tuple[Skipped, ...] = ()
    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, span: Any) -> Computed:
        corner = (span[0].start, span[1].start)
        if corner == self.fail_at and (self.fails is None or self.fails.wait(60)):
            raise DataError("item x: asset red cannot be read")
        with self.lock:
            self.asked.append(corner)
        return Computed(self.values[(..., *span)], self.skipped if corner == (0, 0) else ())


def stored(store: Any, level: int | None = 0) -> np.ndarray:
    """What is stored, as (…, band, y, x) in the order red, nir, swir."""
    group = None if level is None else str(level)
    with xr.open_zarr(store, group=group, mask_and_scale=False, chunks=None) as ds:
        names = [n for n in ("red", "nir", "swir") if n in ds]
        return np.stack([ds[n].values for n in names], axis=-3)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ---- what is stored -------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "dtype": draw(st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"])),
        "shape": (draw(st.integers(1, 90)), draw(st.integers(1, 90))),
        "bands": draw(st.integers(1, 3)),
        "times": draw(st.sampled_from([None, 1, 3])),
        "shard": (16 * draw(st.sampled_from([1, 2, 3, 4])), 16 * draw(st.sampled_from([1, 2, 4]))),
        "compress": draw(st.sampled_from(["zstd", "lz4", "gzip", "none"])),
        "overview_resampling": draw(st.sampled_from(["average", "nearest"])),
        "multiscales": draw(st.booleans()),
    }


PLAIN = {
    "bands": 1,
    "times": None,
    "compress": "zstd",
    "overview_resampling": None,
    "multiscales": True,
}


@settings(max_examples=20, deadline=None)
@given(case=cases())
@example(case={**PLAIN, "dtype": "int16", "shape": (1, 1), "shard": (16, 16)})
@example(case={**PLAIN, "dtype": "float32", "shape": (65, 17), "shard": (64, 64)})
@example(case={**PLAIN, "dtype": "uint8", "shape": (64, 128), "shard": (32, 32), "times": 2})
def test_every_level_is_stored_bit_for_bit(tmp_path_factory, case):
    lead = (case["bands"],) if case["times"] is None else (case["times"], case["bands"])
    values = numbers((*lead, *case["shape"]), case["dtype"])
    options = {k: case[k] for k in ("shard", "compress", "overview_resampling", "multiscales")}
    store = tmp_path_factory.mktemp("zarr") / "out.zarr"
    written = write_image(image(values), store, chunk=16, **options)
    method = case["overview_resampling"] or ("average" if values.dtype.kind == "f" else "nearest")
    expected, level = values, 0
    while True:
        found = stored(store, level if case["multiscales"] else None)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, expected)
        level += 1
        if not case["multiscales"] or max(expected.shape[-2:]) <= 16:
            break
        expected = halve(expected, nodata_of(case["dtype"]), method)
    assert written.levels == level


def test_an_overview_is_the_mean_of_what_has_data(tmp_path):
    values = numbers((1, 101, 75), "float64")
    write_image(image(values), tmp_path / "out.zarr", chunk=16, shard=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is wanted: NaN
        for level in (1, 2):
            height, width = values.shape[-2:]
            even = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
            blocks = even.reshape(1, (height + 1) // 2, 2, (width + 1) // 2, 2)
            values = np.nanmean(blocks, axis=(2, 4))
            np.testing.assert_allclose(stored(tmp_path / "out.zarr", level), values, rtol=1e-12)


def test_negative_zero_is_no_empty_chunk(tmp_path):
    values = np.full((1, 16, 16), -0.0, "float32")
    write_image(image(values, nodata=None), tmp_path / "out.zarr", chunk=16, shard=16)
    assert np.signbit(stored(tmp_path / "out.zarr")).all()


def test_a_tile_is_a_file_for_each_band_and_level_and_one_without_data_is_none(tmp_path):
    values = numbers((1, 128, 128), "uint16")
    values[:, :64, :64] = 0
    write_image(image(values), tmp_path / "out.zarr", chunk=16, shard=64)
    place = tmp_path / "out.zarr"
    files = {
        level: sorted(
            p.relative_to(place / level / "red" / "c").as_posix()
            for p in (place / level / "red" / "c").rglob("*")
            if p.is_file()
        )
        for level in "0123"
    }
    assert files == {
        "0": ["0/1", "1/0", "1/1"],
        "1": ["0/1", "1/0", "1/1"],
        "2": ["0/1", "1/0", "1/1"],
        "3": ["0/0"],
    }
    array = zarr.open_array(place / "0" / "red")
    assert (array.shards, array.chunks) == ((64, 64), (16, 16))


def test_defaults_are_tiles_of_2048_in_chunks_of_512_and_less_where_memory_is_short(tmp_path):
    values = numbers((1, 600, 520), "uint8")
    write_image(image(values), tmp_path / "a.zarr")
    write_image(image(values, bytes_per_pixel=300), tmp_path / "b.zarr")
    wide = zarr.open_array(tmp_path / "a.zarr" / "0" / "red")
    narrow = zarr.open_array(tmp_path / "b.zarr" / "0" / "red")
    assert (wide.shards, wide.chunks) == ((2048, 2048), (512, 512))
    assert (narrow.shards, narrow.chunks) == ((512, 512), (512, 512))
    np.testing.assert_array_equal(stored(tmp_path / "a.zarr", 1), stored(tmp_path / "b.zarr", 1))


# ---- what xarray and others read ------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, -0.1])
def test_xarray_decodes_physical_values_and_nan(tmp_path, offset):
    values = numbers((2, 40, 50), "int16")
    write_image(image(values, scale=1e-4, offset=offset), tmp_path / "out.zarr", chunk=16)
    with xr.open_zarr(tmp_path / "out.zarr", group="0") as ds:
        for band, name in enumerate(("red", "nir")):
            expected = np.where(values[band] == -32768, np.nan, values[band] * 1e-4 + offset)
            np.testing.assert_allclose(ds[name].values, expected, rtol=1e-6, atol=1e-7)
        assert ds.red.dims == ("y", "x")
        assert ("add_offset" in ds.red.encoding) == (offset != 0)


def test_numbers_that_are_values_are_not_scaled(tmp_path):
    values = numbers((1, 40, 50), "uint8")
    write_image(image(values, nodata=None), tmp_path / "out.zarr", multiscales=False)
    with xr.open_zarr(tmp_path / "out.zarr") as ds:
        assert ds.red.dtype == "uint8"
        np.testing.assert_array_equal(ds.red.values, values[0])


def test_times_lead_and_are_exact(tmp_path):
    values = numbers((3, 2, 20, 30), "uint16")
    written = image(values)
    write_image(written, tmp_path / "out.zarr", chunk=16)
    with xr.open_zarr(tmp_path / "out.zarr", group="1") as ds:
        assert ds.nir.dims == ("time", "y", "x")
        np.testing.assert_array_equal(ds.time.values, np.array(written.times))


WKT = (
    'PROJCS["mine",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",1],PARAMETER["central_meridian",9.5],'
    'PARAMETER["scale_factor",0.9],PARAMETER["false_easting",0],PARAMETER["false_northing",0],'
    'UNIT["metre",1]]'
)


@pytest.mark.parametrize(
    "geobox",
    [
        grid((33, 50)),
        GeoBox((33, 50), Affine(10, 0, 6e5, 0, 10, 5e6), UTM),
        GeoBox((33, 50), Affine(0.01, 0, 10, 0, -0.01, 50), "EPSG:4326"),
        grid((33, 50), WKT),
        grid((1, 1)),
    ],
    ids=["utm", "row 0 in the south", "geographic", "no code", "one pixel"],
)
def test_rioxarray_and_odc_know_where_it_lies(tmp_path, geobox):
    values = numbers((1, *geobox.shape), "int16")
    written = write_image(image(values, geobox=geobox), tmp_path / "out.zarr", chunk=16)
    for level in range(written.levels):
        with xr.open_zarr(tmp_path / "out.zarr", group=str(level)) as ds:
            scaled = geobox.transform * Affine.scale(2**level)
            assert ds.odc.geobox.crs == geobox.crs
            assert ds.odc.geobox.transform.almost_equals(scaled, 1e-9)
            assert ds.red.rio.crs == geobox.crs.to_wkt()
            assert ds.red.rio.transform().almost_equals(scaled, 1e-9)
            np.testing.assert_allclose(ds.x.values[0], (scaled * (0.5, 0.5))[0])


@pytest.mark.parametrize("crs", [UTM, WKT], ids=["utm", "no code"])
def test_attributes_follow_the_conventions(tmp_path, crs):
    import zarr_cm

    values = numbers((1, 33, 50))
    write_image(image(values, geobox=grid((33, 50), crs)), tmp_path / "out.zarr", chunk=16)
    root = zarr.open_group(tmp_path / "out.zarr")
    for path in ("", "0", "1", "2"):
        group = zarr.open_group(tmp_path / "out.zarr", path=path)
        document = {"zarr_format": 3, "node_type": "group", "attributes": dict(group.attrs)}
        zarr_cm.proj.validate_group_metadata(document)
        zarr_cm.spatial.validate_group_metadata(document)
    zarr_cm.multiscales.validate_group_metadata(
        {"zarr_format": 3, "node_type": "group", "attributes": dict(root.attrs)}
    )
    assert ("proj:code" in root.attrs) == (crs == UTM)
    assert root.attrs["spatial:bbox"] == [600_000, 4_999_670, 600_500, 5_000_000]
    # Where there are several levels, the convention wants no transform of the whole.
    assert not {"spatial:transform", "spatial:shape"} & set(root.attrs)
    layout = root.attrs["multiscales"]["layout"]
    assert [entry["asset"] for entry in layout] == ["0", "1", "2"]
    assert layout[1]["derived_from"] == "0"
    for entry in layout:
        level = zarr.open_group(tmp_path / "out.zarr", path=entry["asset"])
        assert entry["spatial:shape"] == list(level["red"].shape) == level.attrs["spatial:shape"]
        assert entry["spatial:transform"] == level.attrs["spatial:transform"]


def test_metadata_is_consolidated_and_attributes_are_kept(tmp_path):
    store = tmp_path / "out.zarr"
    write_image(image(numbers((1, 33, 50))), store, chunk=16, attrs={"processing": "v1"})
    root = zarr.open_consolidated(store)
    assert root.attrs["processing"] == "v1"
    assert {"0/red", "1/x", "2/spatial_ref"} <= set(
        root.metadata.consolidated_metadata.flattened_metadata
    )
    assert zarr.open_consolidated(store, path="1")["red"].shape == (17, 25)
    with xr.open_datatree(store, engine="zarr") as tree:
        assert list(tree.children) == ["0", "1", "2"]


def test_writing_and_reading_warn_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Use `@` matmul")  # odc-geo's, of affine 3
        write_image(image(numbers((2, 2, 33, 50))), tmp_path / "out.zarr", chunk=16)
        with xr.open_zarr(tmp_path / "out.zarr", group="0") as ds:
            ds.load()


# ---- interrupted, damaged, contended ---------------------------------------------------------


def test_an_interrupted_run_leaves_no_store_and_the_next_computes_only_what_is_missing(tmp_path):
    values = numbers((1, 96, 64))
    noted = threading.Event()
    broken = image(values, pixels=Recorded(values, fail_at=(64, 32), fails=noted))
    store = tmp_path / "out.zarr"
    with pytest.raises(DataError, match="asset red") as caught:
        write_image(broken, store, chunk=16, shard=32, progress=lambda _: noted.set())
    assert re.search(r"[1-5] of 6 tiles are kept; run again to continue$", caught.value.hint)
    assert names(tmp_path) == [".out.zarr.parts"]
    seen = []
    whole = Recorded(values)
    written = write_image(
        image(values, pixels=whole), store, chunk=16, shard=32, progress=seen.append
    )
    # The tile that failed, and perhaps those that were in flight beside it.
    assert (64, 32) in whole.asked
    assert len(whole.asked) == written.tiles - written.kept <= cores() + 1
    assert seen[0].kept == written.kept
    assert (seen[-1].done, seen[-1].total) == (6, 6)
    assert names(tmp_path) == ["out.zarr"]
    np.testing.assert_array_equal(stored(store), values)
    np.testing.assert_array_equal(stored(store, 2), values[:, ::4, ::4])


@pytest.fixture
def interrupted(tmp_path):
    """A store of which five of six tiles are finished; its parts' directory."""
    values = numbers((1, 96, 64))

    def stop(progress: Any) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write_image(image(values), tmp_path / "out.zarr", chunk=16, shard=32, progress=stop)
    assert caught.value.__notes__ == ["5 of 6 tiles are kept; run again to continue"]
    return values, tmp_path / ".out.zarr.parts"


def again(values: np.ndarray, parts: Path, **changed: Any) -> int:
    """Run again, check the result, and say how many tiles were computed."""
    what = {name: changed.pop(name) for name in ("token", "nodata") if name in changed}
    pixels = Recorded(values)
    store = parts.parent / "out.zarr"
    options = {"chunk": 16, "shard": 32, **changed}
    written = write_image(image(values, pixels=pixels, **what), store, **options)
    np.testing.assert_array_equal(stored(store), values)
    assert not parts.exists()
    assert len(pixels.asked) == written.tiles - written.kept
    return len(pixels.asked)


def test_what_an_interrupted_run_left_out_is_said_by_the_one_that_ends_it(tmp_path):
    def stop(progress: Any) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    values = numbers((1, 64, 64))
    left_out = Skipped("a", "red", "damaged")
    one = image(values, pixels=Recorded(values, skipped=(left_out,)))
    with pytest.raises(KeyboardInterrupt):
        write_image(one, tmp_path / "out.zarr", chunk=16, shard=32, progress=stop)
    whole = image(values, pixels=Recorded(values))
    written = write_image(whole, tmp_path / "out.zarr", chunk=16, shard=32)
    assert (written.kept, whole.pixels.asked) == (4, [])
    assert written.skipped == (left_out,)
    np.testing.assert_array_equal(stored(tmp_path / "out.zarr", 2), values[:, ::4, ::4])


def test_a_run_goes_on_where_it_was_interrupted(interrupted):
    assert again(*interrupted) == 1


@pytest.mark.parametrize(
    "changed",
    [{"token": "other"}, {"nodata": 7.0}, {"compress": "gzip"}, {"level": 2}, {"resume": False}],
    ids=lambda changed: next(iter(changed)),
)
def test_another_computation_or_layout_begins_anew(interrupted, changed):
    assert again(*interrupted, **changed) == 6


def test_a_cut_shard_is_written_again(interrupted):
    values, parts = interrupted
    _, files = json.loads((parts / "files").read_text().splitlines()[0])
    shard = parts / "store" / files[-1][0]
    shard.write_bytes(shard.read_bytes()[:-1])
    assert again(values, parts) == 2


@pytest.mark.parametrize("name", ["done", "files"])
def test_a_cut_note_counts_for_nothing(interrupted, name):
    values, parts = interrupted
    notes = (parts / name).read_bytes()
    (parts / name).write_bytes(notes[: notes.rindex(b",")])
    assert again(values, parts) == 2


@pytest.mark.parametrize("name", ["done", "files", "run.json", "store/zarr.json"])
@pytest.mark.parametrize("content", [b"", b"\xff[[{}", b'["a", 1]'], ids=["", "binary", "json"])
def test_damaged_notes_do_not_harm(interrupted, name, content):
    values, parts = interrupted
    (parts / name).write_bytes(content)
    assert again(values, parts) == (1 if name.startswith("store") else 6)


def test_a_foreign_directory_of_parts_is_replaced(interrupted):
    values, parts = interrupted
    (parts / "run.json").write_text('{"fingerprint": {"image": "a file"}, "mark": "x"}')
    (parts / "0+3-0-0.part").write_text("of a file")
    (parts / "store" / "0" / "red" / "c" / "9").mkdir(parents=True)
    assert again(values, parts) == 6


def test_the_old_store_stays_until_the_new_one_is_complete(tmp_path):
    store = tmp_path / "out.zarr"
    old, new = numbers((1, 40, 40), seed=1), numbers((1, 40, 40), seed=2)
    write_image(image(old), store, chunk=16)
    with pytest.raises(DataError):
        write_image(image(new, pixels=Recorded(new, fail_at=(0, 0)), token="new"), store, chunk=16)
    np.testing.assert_array_equal(stored(store), old)
    write_image(image(new, token="new"), store, chunk=16)
    np.testing.assert_array_equal(stored(store), new)
    assert names(tmp_path) == ["out.zarr"]


def test_an_old_store_that_a_killed_run_had_moved_aside_comes_back(tmp_path, interrupted):
    values, _ = interrupted
    other = numbers((1, 40, 40), seed=1)
    write_image(image(other), tmp_path / "other.zarr", chunk=16)
    os.rename(tmp_path / "other.zarr", tmp_path / ".out.zarr.replaced")
    failing = image(values, pixels=Recorded(values, fail_at=(0, 0)), token="b")
    with pytest.raises(DataError, match="asset red"):
        write_image(failing, tmp_path / "out.zarr", chunk=16)
    assert names(tmp_path) == ["out.zarr"]
    np.testing.assert_array_equal(stored(tmp_path / "out.zarr"), other)


def test_two_runs_at_once_on_one_store_are_refused(tmp_path):
    values = numbers((1, 40, 40))
    refused = []

    def meanwhile(progress: Any) -> None:
        with pytest.raises(DataError, match=f"is being written by process {os.getpid()} on "):
            write_image(image(values), tmp_path / "out.zarr", chunk=16)
        refused.append(progress.done)

    write_image(image(values), tmp_path / "out.zarr", chunk=16, shard=32, progress=meanwhile)
    assert refused == [1, 2, 3, 4]
    np.testing.assert_array_equal(stored(tmp_path / "out.zarr"), values)


PROGRAM = textwrap.dedent(
    """
    import resource, signal, sys
    import numpy as np
    from odc.geo.geobox import GeoBox
    from rasterio.transform import from_origin
    from rsdat.errors import DataError
    from rsdat.raster.image import Image
    from rsdat.raster.writers.zarr import write_image
    grid = GeoBox((512, 512), from_origin(0, 0, 10, 10), "EPSG:32632")
    values = np.random.default_rng(1).integers(1, 60000, (1, 512, 512)).astype("uint16")
    image = Image(grid, ("red",), "uint16", 0, (1.0,), (0.0,), values, "token")
    def wait(progress):
        print(progress.done, flush=True)
        if limit == 0 and progress.done == 2:
            sys.stdin.read()
    limit = int(sys.argv[2])
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_image(image, sys.argv[1], chunk=64, shard=256, progress=wait)
    except DataError as error:
        print(error.message, error.hint)
        sys.exit(8)
    """
)


def the_same_image() -> Image:
    values = np.random.default_rng(1).integers(1, 60000, (1, 512, 512)).astype("uint16")
    geobox = GeoBox((512, 512), from_origin(0, 0, 10, 10), UTM)
    pixels = Recorded(values)
    return Image(geobox, ("red",), "uint16", 0, (1.0,), (0.0,), pixels, "token")


def test_a_killed_process_holds_nothing_up(tmp_path):
    store = tmp_path / "out.zarr"
    arguments = [sys.executable, "-c", PROGRAM, str(store), "0"]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        with pytest.raises(DataError, match=f"is being written by process {process.pid}"):
            write_image(the_same_image(), store, chunk=64, shard=256)
        process.kill()
    assert not store.exists()
    written = write_image(the_same_image(), store, chunk=64, shard=256)
    assert (written.tiles, written.kept) == (4, 2)
    np.testing.assert_array_equal(stored(store), the_same_image().pixels.values)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(tmp_path):
    # A limit on the size of files makes writes fail as a full disk does, without being root.
    assert hasattr(resource, "RLIMIT_FSIZE")
    assert hasattr(signal, "SIGXFSZ")
    store = tmp_path / "out.zarr"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store), "90000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8, (done.stdout, done.stderr)
    # Of the tiles that are written side by side, the first to fail is named.
    assert re.search(r"\(tile of rows (0 to 255|256 to 511), columns", done.stdout)
    assert "cannot be written" in done.stdout
    assert "make room" in done.stdout
    assert not store.exists()
    assert not list((tmp_path / ".out.zarr.parts").rglob("store-*"))
    write_image(the_same_image(), store, chunk=64, shard=256)
    np.testing.assert_array_equal(stored(store), the_same_image().pixels.values)


# ---- refused ----------------------------------------------------------------------------------


def test_what_is_no_store_is_not_replaced(tmp_path):
    one = image(numbers((1, 5, 5)))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        write_image(one, tmp_path / "file")
    with pytest.raises(ConfigError, match="no Zarr store"):
        write_image(one, tmp_path / "folder")
    with pytest.raises(DataError, match="cannot be written"):
        write_image(one, tmp_path / "file" / "out.zarr")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": "lzw"}, "compression 'lzw'"),
        ({"level": 30}, "level 30"),
        ({"chunk": 0}, "chunk of 0"),
        ({"chunk": 16, "shard": 40}, "no whole number of chunks"),
        ({"chunk": 16, "shard": 0}, "no whole number of chunks"),
        ({"overview_resampling": "magic"}, "'magic'"),
    ],
)
def test_options_that_are_not_possible_are_refused_before_anything_is_written(
    tmp_path, options, message
):
    with pytest.raises(ConfigError, match=message):
        write_image(image(numbers((1, 5, 5))), tmp_path / "out.zarr", **options)
    assert names(tmp_path) == []


@pytest.mark.parametrize("bands", [("x", "nir"), ("a/b", "nir"), ("nir", "nir"), ("", "nir")])
def test_bands_that_cannot_be_variables_are_refused(tmp_path, bands):
    with pytest.raises(ConfigError, match=r"same name|cannot be a variable"):
        write_image(image(numbers((2, 5, 5)), bands=bands), tmp_path / "out.zarr")


@pytest.mark.parametrize("nodata", [-1.0, 256.0, 0.5, float("nan")])
def test_a_nodata_value_beyond_the_type_is_refused(tmp_path, nodata):
    with pytest.raises(ConfigError, match="is no number of type uint8"):
        write_image(image(numbers((1, 5, 5), "uint8"), nodata=nodata), tmp_path / "out.zarr")
    assert names(tmp_path) == []


def test_pixels_of_another_shape_or_type_are_named_by_their_tile(tmp_path):
    values = numbers((1, 40, 40))
    for wrong in (values[0], values.astype("int32")):
        one = image(values, pixels=Recorded(wrong))
        with pytest.raises(DataError, match=r"tile of rows 0 to 39.*where the image has int16"):
            write_image(one, tmp_path / "out.zarr", chunk=16)


# ---- where it computes, and where it writes ---------------------------------------------------


def test_dask_arrays_are_cut_into_tiles(tmp_path):
    values = numbers((2, 2, 70, 50))
    lazy = da.from_array(values, chunks=(1, 1, 33, 17))
    write_image(image(values, pixels=lazy), tmp_path / "out.zarr", chunk=16, shard=32)
    np.testing.assert_array_equal(stored(tmp_path / "out.zarr"), values)


@dataclass(frozen=True)
class Ramp:
    """Picklable pixels whose numbers say where they lie."""

    def __call__(self, span: Any) -> Computed:
        rows, columns = np.ogrid[span]
        return Computed((rows * 100 + columns).astype("int16")[None])


def test_workers_write_side_by_side(tmp_path):
    from distributed import Client, LocalCluster

    expected = (np.arange(90)[:, None] * 100 + np.arange(80)).astype("int16")[None]
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
        ) as cluster,
        Client(cluster) as client,
    ):
        one = image(expected, pixels=Ramp(), nodata=None)
        write_image(one, tmp_path / "a.zarr", chunk=16, shard=32, client=client)
        lazy = replace(one, pixels=da.from_array(expected, chunks=(1, 40, 40)))
        write_image(lazy, tmp_path / "b.zarr", chunk=16, shard=16, client=client)
        failing = replace(one, pixels=expected[0])
        with pytest.raises(DataError, match="tile of rows"):
            write_image(failing, tmp_path / "c.zarr", chunk=16, shard=32, client=client)
    for name in ("a.zarr", "b.zarr"):
        np.testing.assert_array_equal(stored(tmp_path / name), expected)
        np.testing.assert_array_equal(stored(tmp_path / name, 3), expected[:, ::8, ::8])


def test_a_worker_that_does_not_see_the_disk_hands_its_shards_on(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(zarr_store, "reachable", lambda *place: asked.append(place))
    values = numbers((1, 40, 40))
    write_image(image(values), tmp_path / "out.zarr", chunk=16, shard=32)
    assert [Path(directory).name for directory, _ in asked] == 4 * [".out.zarr.parts"]
    assert all(mark for _, mark in asked)
    np.testing.assert_array_equal(stored(tmp_path / "out.zarr"), values)


def test_without_resume_a_failure_leaves_nothing(tmp_path):
    values = numbers((1, 40, 40))
    broken = image(values, pixels=Recorded(values, fail_at=(16, 16)))
    with pytest.raises(DataError, match="asset red"):
        write_image(broken, tmp_path / "out.zarr", chunk=16, shard=16, resume=False)
    assert names(tmp_path) == []


def test_memory_makes_tiles_smaller(tmp_path):
    values = numbers((1, 200, 200), "uint8")
    one = image(values, bytes_per_pixel=9, blocks=(16, 16))
    write_image(one, tmp_path / "out.zarr", chunk=16, memory=cores() * 10 * 64 * 64)
    assert zarr.open_array(tmp_path / "out.zarr" / "0" / "red").shards == (64, 64)


@pytest.fixture
def remote():
    import fsspec

    address = "memory://bucket/out.zarr"
    yield address
    files = fsspec.filesystem("memory")
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)


def test_a_remote_store_says_when_it_is_complete(remote):
    values = numbers((1, 96, 64))
    options = {"chunk": 16, "shard": 32}

    def stop(progress: Any) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(image(values), remote, progress=stop, **options)
    assert zarr.open_group(remote, mode="r").attrs["rsdat:complete"] is False
    whole = Recorded(values)
    written = write_image(image(values, pixels=whole), remote, **options)
    assert len(whole.asked) == written.tiles - written.kept == 1
    root = zarr.open_group(remote, mode="r")
    assert root.attrs["rsdat:complete"] is True
    assert root.metadata.consolidated_metadata is not None
    np.testing.assert_array_equal(stored(remote), values)
    np.testing.assert_array_equal(stored(remote, 2), values[:, ::4, ::4])


def test_nothing_is_replaced_at_a_remote_address(remote):
    values = numbers((1, 40, 40))
    write_image(image(values), remote, chunk=16)
    with pytest.raises(ConfigError, match=r"something at memory://bucket/out\.zarr already"):
        write_image(image(values + 1, token="other"), remote, chunk=16)
    np.testing.assert_array_equal(stored(remote), values)


# ---- the xarray door ---------------------------------------------------------------------------


def reflectances(dates: int | None) -> xr.Dataset:
    """Two lazy variables of float32 with NaN, (y, x) or (time, y, x)."""
    rng = np.random.default_rng(0)
    shape = (70, 50) if dates is None else (dates, 70, 50)
    times = None if dates is None else np.datetime64("2024-06-01", "ns") + np.arange(dates) * DAY
    variables = {}
    for name in ("red", "nir"):
        values = rng.random(shape).astype("float32")
        values[..., :5, :] = np.nan
        chunks = shape if dates is None else (1, 40, 30)
        array = wrap_xr(da.from_array(values, chunks=chunks), grid((70, 50)), time=times)
        variables[name] = array.astype("float32")
    return xr.Dataset(variables)


@pytest.mark.parametrize("dates", [None, 1, 3])
def test_a_dataset_comes_back_as_it_was(tmp_path, dates):
    ds = reflectances(dates)
    rsdat.write_zarr(ds, tmp_path / "out.zarr", chunk=16, shard=32, multiscales=False)
    with xr.open_zarr(tmp_path / "out.zarr") as back:
        assert back.odc.geobox == ds.odc.geobox
        for name in ("red", "nir"):
            assert back[name].dims == ds[name].dims
            assert back[name].dtype == "float32"
            np.testing.assert_array_equal(back[name].values, ds[name].values)
        if dates:
            np.testing.assert_array_equal(back.time.values, ds.time.values)


def test_floats_stored_as_integers_are_read_as_floats(tmp_path):
    ds = reflectances(3)
    rsdat.write_zarr(ds, tmp_path / "out.zarr", chunk=16, dtype="int16")
    assert zarr.open_array(tmp_path / "out.zarr" / "0" / "red").dtype == "int16"
    with xr.open_zarr(tmp_path / "out.zarr", group="0") as back:
        np.testing.assert_allclose(back.nir.values, ds.nir.values, atol=0.5001e-4)


def test_an_interrupted_dataset_is_gone_on_with(tmp_path):
    def stop(progress: Any) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    ds = reflectances(3)
    options = {"chunk": 16, "shard": 32}
    with pytest.raises(KeyboardInterrupt):
        rsdat.write_zarr(ds, tmp_path / "out.zarr", progress=stop, **options)
    written = rsdat.write_zarr(ds, tmp_path / "out.zarr", **options)
    assert (written.tiles, written.kept) == (6, 2)


def test_data_in_memory_leaves_nothing_when_it_fails(tmp_path):
    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rsdat.write_zarr(reflectances(None).red.compute(), tmp_path / "out.zarr", progress=stop)
    assert names(tmp_path) == []


def test_data_without_a_grid_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no grid"):
        rsdat.write_zarr(xr.DataArray(np.zeros((3, 3))), tmp_path / "out.zarr")
