"""write_image: the pixels bit for bit, overviews as numpy makes them, valid and resumable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rio_cogeo import cog_validate

from rsdat.errors import ConfigError, DataError
from rsdat.raster.cog import write_image
from rsdat.raster.image import Computed, Image, Skipped
from rsdat.raster.writers.overviews import halve
from rsdat.raster.writers.pyramid import passes, shapes, tile_shape


def geobox(height, width):
    return GeoBox((height, width), from_origin(600_000, 5_000_000, 10, 10), "EPSG:32632")


class Pixels:
    """A function of a span that cuts an array, and counts what is asked of it."""

    def __init__(self, values, skipped=(), fail=None):
        self.values, self.skipped, self.fail, self.asked = values, skipped, fail, []

    def __call__(self, span):
        self.asked.append((span[0].start, span[1].start))
        if self.fail and self.fail(span):
            raise DataError("item x: asset red cannot be read", hint="fetch it again")
        return Computed(self.values[(slice(None), *span)], self.skipped)


def image(values, pixels=None, nodata=None, token="one", **more):
    count, height, width = values.shape
    return Image(
        geobox=geobox(height, width),
        bands=tuple(f"b{n}" for n in range(1, count + 1)),
        dtype=values.dtype.name,
        nodata=nodata,
        scales=more.pop("scales", (1.0,) * count),
        offsets=(0.0,) * count,
        pixels=pixels if pixels is not None else Pixels(values),
        token=token,
        **more,
    )


def levels_of(path):
    with rasterio.open(path) as opened:
        factors = opened.overviews(1)
        found = [opened.read()]
    for level in range(len(factors)):
        with rasterio.open(path, overview_level=level) as opened:
            found.append(opened.read())
    return found


def check(path, values, nodata, method):
    # The rules do not know that one pixel across cannot be halved, and take a level that is as wide
    # as a block for one in strips, whoever wrote it.
    if min(values.shape[1:]) > 4 and 512 not in [width for _, width in shapes(*values.shape[1:])]:
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, errors
        assert not warnings
    found = levels_of(path)
    expected = values
    for level in found:
        np.testing.assert_array_equal(level, expected)
        expected = halve(expected, nodata, method)
    assert max(found[-1].shape[1:]) <= 512
    assert all(max(level.shape[1:]) > 512 for level in found[:-1])


def random_values(seed, count, height, width, dtype):
    rng = np.random.default_rng(seed)
    values = rng.normal(60, 20, (count, height, width)).clip(1, 120).astype(dtype)
    values[:, : height // 3, width // 4 :] = 0
    return values


TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
SIZES = st.sampled_from([1, 2, 511, 512, 513, 700, 1023, 1024, 1025, 1537])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.integers(1, 3), SIZES, SIZES),
    dtype=st.sampled_from(TYPES),
    method=st.sampled_from(["average", "nearest", "mode", "max"]),
    tile=st.sampled_from([512, 1024, (512, 1024), None]),
    compress=st.sampled_from(["zstd", "zstd", "deflate", "lzw", "none", "lerc_zstd"]),
)
def test_pixels_and_overviews(tmp_path_factory, seed, shape, dtype, method, tile, compress):
    path = tmp_path_factory.mktemp("out") / "out.tif"
    values = random_values(seed, *shape, dtype)
    written = write_image(
        image(values, nodata=0),
        path,
        tile=tile,
        overview_resampling=method,
        compress=compress,
    )
    check(path, values, 0, method)
    assert written.bytes == path.stat().st_size
    assert written.skipped == ()
    assert [file.name for file in path.parent.iterdir()] == ["out.tif"]


@pytest.mark.parametrize("shape", [(1, 3000, 700), (2, 600, 2600)])
def test_levels_beyond_a_tile_are_made_from_what_tiles_hand_on(tmp_path, shape):
    values = random_values(1, *shape, "int16")
    assert len(passes(*shape[1:], (0, 512, shape[1]), (0, shape[2]))) > 1
    write_image(image(values, nodata=0, scales=(0.1,) * shape[0]), tmp_path / "o.tif", tile=512)
    check(tmp_path / "o.tif", values, 0, "average")


def test_a_tile_without_any_data(tmp_path):
    values = np.full((1, 1100, 1100), np.nan, "float32")
    values[:, 1050:, 1050:] = 5
    write_image(image(values, nodata=float("nan")), tmp_path / "o.tif", tile=512)
    check(tmp_path / "o.tif", values, float("nan"), "average")


@pytest.mark.parametrize("chunks", [(512, 512), (300, 217), (1024, 2000), ((100, 700, 224), 999)])
def test_a_dask_array_of_any_chunking(tmp_path, chunks):
    values = random_values(2, 2, 1024, 2000, "int16")
    computed = []

    def cut(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    array = da.from_array(values, chunks=(1, *chunks)).map_blocks(cut, dtype="int16")
    computed.clear()
    write_image(image(values, array, nodata=0), tmp_path / "o.tif")
    check(tmp_path / "o.tif", values, 0, "nearest")
    assert len(computed) == len(set(computed)) == array.npartitions


def test_what_the_file_says(tmp_path):
    values = random_values(3, 2, 600, 600, "int16")
    path = tmp_path / "o.tif"
    write_image(image(values, nodata=-7, scales=(0.1, 0.2)), path, tags={"WHO": "me"})
    with rasterio.open(path) as opened:
        assert opened.descriptions == ("b1", "b2")
        assert opened.scales == (0.1, 0.2)
        assert opened.nodata == -7
        assert opened.crs.to_epsg() == 32632
        assert opened.transform == geobox(600, 600).transform
        assert opened.tags()["WHO"] == "me"
        assert opened.tags()["TIFFTAG_SOFTWARE"].startswith("rsdat ")
        structure = opened.tags(ns="IMAGE_STRUCTURE")
        assert structure["LAYOUT"] == "COG"
        assert structure["INTERLEAVE"] == "BAND"
        assert structure["COMPRESSION"] == "ZSTD"
    with rasterio.open(path, overview_level=0) as opened:
        assert opened.nodata == -7


def test_three_bands_of_bytes_are_colours_and_a_fourth_is_no_mask(tmp_path):
    values = random_values(3, 4, 20, 20, "uint8")
    write_image(image(values[:3]), tmp_path / "rgb.tif")
    write_image(image(values), tmp_path / "four.tif")
    with rasterio.open(tmp_path / "rgb.tif") as opened:
        assert [c.name for c in opened.colorinterp] == ["red", "green", "blue"]
    with rasterio.open(tmp_path / "four.tif") as opened:
        assert "alpha" not in [c.name for c in opened.colorinterp]
        assert (opened.dataset_mask() == 255).all()


VALUES = random_values(4, 1, 1024, 1500, "uint8")
WHERE = {(r, c) for r in (0, 512) for c in (0, 512, 1024)}


def stopped(path, after=3, token="one", **options):
    """A run that is interrupted; where its tiles were that are kept."""
    pixels = Pixels(VALUES)

    def stop(progress):
        if progress.done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(image(VALUES, pixels, token=token), path, tile=512, progress=stop, **options)
    parts = path.parent / f".{path.name}.parts"
    return parts, [json.loads(line)[0] for line in (parts / "done").read_text().splitlines()]


def again(path, token="one", **options):
    pixels, seen = Pixels(VALUES), []
    written = write_image(
        image(VALUES, pixels, token=token), path, tile=512, progress=seen.append, **options
    )
    check(path, VALUES, None, "nearest")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return written, pixels, seen


def test_an_interrupted_run_goes_on(tmp_path):
    parts, noted = stopped(tmp_path / "o.tif")
    assert parts.stat().st_mode & 0o777 == 0o700
    assert len(noted) == 3
    assert not (parts / "lock").exists()
    written, pixels, seen = again(tmp_path / "o.tif")
    assert written.kept == 3
    assert len(pixels.asked) == len(set(pixels.asked)) == 3
    assert (seen[0].done, seen[0].kept, seen[0].bytes_done) == (3, 3, 0)


def test_damaged_parts_are_made_again(tmp_path):
    parts, noted = stopped(tmp_path / "o.tif")
    with open(parts / noted[0], "r+b") as stream:
        stream.seek(-3, os.SEEK_END)
        stream.write(b"\xff\x00\xff")
    os.truncate(parts / noted[1], 40)
    (parts / noted[2]).write_bytes(b"")
    with open(parts / "done", "a") as stream:
        stream.write('["half a li')
    written, pixels, _ = again(tmp_path / "o.tif")
    assert written.kept == 0
    assert set(pixels.asked) == WHERE


def test_other_work_does_not_take_the_parts(tmp_path, caplog):
    stopped(tmp_path / "o.tif", token="other")
    written, _, _ = again(tmp_path / "o.tif")
    assert written.kept == 0
    assert "do not fit this one (image differ)" in caplog.text
    stopped(tmp_path / "o.tif", compress="lzw")
    assert again(tmp_path / "o.tif")[0].kept == 0


def test_without_resume_nothing_is_taken_and_nothing_left(tmp_path):
    stopped(tmp_path / "o.tif")
    assert again(tmp_path / "o.tif", resume=False)[0].kept == 0
    with pytest.raises(DataError):
        write_image(
            image(VALUES, Pixels(VALUES, fail=lambda span: span[0].start == 512)),
            tmp_path / "new.tif",
            tile=512,
            resume=False,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["o.tif"]


def test_what_was_left_out_is_told_also_by_the_run_that_goes_on(tmp_path):
    left = Skipped("scene", "red", "cut short")

    def stop(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    pixels = Pixels(VALUES, skipped=(left,))
    with pytest.raises(KeyboardInterrupt):
        write_image(image(VALUES, pixels), tmp_path / "o.tif", tile=512, progress=stop)
    assert again(tmp_path / "o.tif")[0].skipped == (left,)


def test_a_failing_tile_is_named_and_the_others_are_kept(tmp_path):
    noted = threading.Event()

    def last(span):
        return span[0].start == 512 and span[1].start == 1024 and noted.wait(60)

    broken = image(VALUES, Pixels(VALUES, fail=last))
    with pytest.raises(DataError, match="asset red") as caught:
        write_image(broken, tmp_path / "o.tif", tile=512, progress=lambda _: noted.set())
    assert "of 6 tiles are kept; run again to continue" in caught.value.hint
    assert caught.value.hint.startswith("fetch it again; ")
    written, pixels, _ = again(tmp_path / "o.tif")
    assert written.kept + len(pixels.asked) == 6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda span: Computed(VALUES[:, :4, :4]), r"rows 0 to 511.*uint8 of shape \(1, 4, 4\)"),
        (
            lambda span: Computed(VALUES[(slice(None), *span)].astype("int16")),
            "computed were int16",
        ),
        (lambda span: 1 / 0, "rows 0 to 511, columns 0 to 511: ZeroDivisionError"),
    ],
)
def test_a_function_that_is_wrong(tmp_path, wrong, said):
    first = VALUES[:, :512, :512]
    with pytest.raises(DataError, match=said):
        write_image(image(first, wrong), tmp_path / "o.tif", tile=512)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused(tmp_path):
    inside, ended = threading.Event(), threading.Event()

    def pixels(span):
        inside.set()
        assert ended.wait(60)
        return Computed(VALUES[(slice(None), *span)])

    first = threading.Thread(target=write_image, args=(image(VALUES, pixels), tmp_path / "o.tif"))
    first.start()
    try:
        assert inside.wait(60)
        with pytest.raises(DataError, match=rf"written by process {os.getpid()} on ") as caught:
            write_image(image(VALUES), tmp_path / "o.tif")
        assert "wait for it" in caught.value.hint
    finally:
        ended.set()
        first.join()
    check(tmp_path / "o.tif", VALUES, None, "nearest")


PROGRAM = textwrap.dedent(
    """
    import os, signal, sys
    import numpy as np
    from odc.geo.geobox import GeoBox
    from rasterio.transform import from_origin
    from rsdat.errors import DataError
    from rsdat.raster.cog import write_image
    from rsdat.raster.image import Computed, Image
    values = np.random.default_rng(1).integers(0, 255, (1, 1024, 1024)).astype("uint8")
    def pixels(span):
        return Computed(values[(slice(None), *span)])
    box = GeoBox((1024, 1024), from_origin(0, 0, 10, 10), "EPSG:32632")
    image = Image(box, ("a",), "uint8", None, (1.0,), (0.0,), pixels, "same")
    """
)


def the_same_image():
    """What the program writes, here."""
    names = {}
    exec(PROGRAM, names)
    return names["image"]


def run(body, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(body), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_a_killed_process_leaves_no_lock_and_no_lost_tiles(tmp_path):
    path = tmp_path / "o.tif"
    body = """
    def killed(progress):
        if progress.done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    write_image(image, sys.argv[1], tile=512, progress=killed)
    """
    assert run(body, path).returncode == -9
    assert (tmp_path / ".o.tif.parts" / "lock").exists()
    assert write_image(the_same_image(), path, tile=512).kept == 2
    assert [file.name for file in tmp_path.iterdir()] == ["o.tif"]


def test_a_lock_of_another_host_stands(tmp_path):
    parts, _ = stopped(tmp_path / "o.tif")
    (parts / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "x"}))
    with pytest.raises(DataError, match="process 1 on elsewhere") as caught:
        write_image(image(VALUES), tmp_path / "o.tif", tile=512)
    assert str(parts / "lock") in caught.value.hint
    (parts / "lock").unlink()
    assert again(tmp_path / "o.tif")[0].kept == 3


def test_a_disk_that_fills_up_keeps_what_fits(tmp_path):
    # A limit on the size of files makes writes fail as a full disk does, without being root:
    # parts of 260 kB fit, the finished file of more than 1 MB does not.
    body = """
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_image(image, sys.argv[1], tile=512)
    except DataError as error:
        print(error.message, error.hint)
        sys.exit(8)
    """
    path = tmp_path / "o.tif"
    done = run(body, path, 100_000)
    assert done.returncode == 8, done.stderr
    assert "o.tif cannot be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = run(body, path, 900_000)
    assert done.returncode == 8, done.stderr
    assert "MB are free there: make room" in done.stdout
    assert "4 of 4 tiles are kept; run again to continue" in done.stdout
    assert not (tmp_path / ".o.tif.parts" / "finished.tif").exists()
    assert write_image(the_same_image(), path, tile=512).kept == 4


def test_what_is_refused_before_anything_is_touched(tmp_path):
    values = VALUES[:, :9, :9]
    for options in ({"compress": "jpeg"}, {"tile": 500}, {"overview_resampling": "cubic"}):
        with pytest.raises(ConfigError):
            write_image(image(values), tmp_path / "o.tif", **options)
    times = (np.datetime64("2024-06-01"), np.datetime64("2024-06-02"))
    with pytest.raises(ConfigError, match="2 dates"):
        write_image(image(values, times=times), tmp_path / "o.tif")
    assert list(tmp_path.iterdir()) == []


def test_tiles_follow_blocks_size_and_memory():
    assert tile_shape((10980, 10980), (1024, 1024), 16) == (2048, 2048)
    assert tile_shape((5490, 5490), (512, 512), 16) == (1024, 2048)
    assert tile_shape((5490, 5490), (2048, 2048), 16) == (2048, 2048)
    assert tile_shape((10980, 10980), (1, 10980), 16) == (512, 16384)
    rows, columns = tile_shape((10980, 10980), (512, 512), 100, memory=200_000_000)
    assert rows * columns * 100 <= 200_000_000 < rows * columns * 200
    assert tile_shape((90000, 90000), (512, 512), 100, memory=1) == (512, 512)


@pytest.mark.parametrize("seen", [True, False])
def test_on_a_cluster_with_and_without_a_shared_directory(tmp_path, monkeypatch, seen):
    from distributed import Client

    import rsdat.raster.writers.making as making

    stored = []
    monkeypatch.setattr(making, "reachable", lambda *_: stored.append(1) or seen)
    with Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as client:
        write_image(
            image(VALUES, lambda span: Computed(VALUES[(slice(None), *span)])),
            Path(tmp_path, "o.tif"),
            tile=512,
            client=client,
        )
    assert stored
    check(tmp_path / "o.tif", VALUES, None, "nearest")
