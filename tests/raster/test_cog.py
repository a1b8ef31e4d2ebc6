"""write_cog: valid files, all there or not at all, on threads and on a Dask cluster."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.transform import from_origin
from rio_cogeo import cog_validate

from rsdat.errors import ConfigError, DataError
from rsdat.raster import load, ndvi, write_cog
from rsdat.raster.preview import preview
from rsdat.raster.writers.zarr import write_zarr

GRID = GeoBox((700, 900), from_origin(600_000, 5_000_000, 10, 10), "EPSG:32632")


def image(chunks=(256, 300), name="ndvi") -> xr.DataArray:
    values = np.random.default_rng(1).random(GRID.shape).astype("float32") * 2 - 1
    values[:50] = np.nan
    return wrap_xr(da.from_array(values, chunks=chunks), GRID, nodata=np.nan).rename(name)


def read(path) -> np.ndarray:
    with rasterio.open(path) as opened:
        return opened.read(1)


@pytest.mark.parametrize("compress", ["zstd", "deflate", "lzw", "none"])
def test_valid_and_exact(tmp_path, compress):
    data = image()
    path = write_cog(data, tmp_path / "new" / "out.tif", compress=compress)
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    np.testing.assert_array_equal(read(path), data.values)
    with rasterio.open(path) as opened:
        assert opened.overviews(1)
        assert opened.crs.to_epsg() == 32632
        assert opened.transform == GRID.transform
        assert np.isnan(opened.nodata)
        assert opened.descriptions == ("ndvi",)


def test_scaled_integers(tmp_path):
    data = image()
    path = write_cog(data, tmp_path / "out.tif", dtype="int16")
    with rasterio.open(path) as opened:
        assert opened.nodata == -32768
        assert opened.scales == (0.0001,)
        stored = opened.read(1, masked=True)
    np.testing.assert_array_equal(stored.mask, np.isnan(data.values))
    np.testing.assert_allclose(stored * 0.0001, np.ma.masked_invalid(data.values), atol=0.5001e-4)


def test_numbers_beyond_the_type_are_clipped_and_nodata_stays_free(tmp_path):
    data = image()
    data.data[100, 100] = 9.0
    data.data[100, 101] = -9.0
    with rasterio.open(write_cog(data, tmp_path / "out.tif", dtype="int16")) as opened:
        stored = opened.read(1)
    assert stored[100, 100] == 32767
    assert stored[100, 101] == -32767


def whole(dtype: str, **attributes: object) -> xr.DataArray:
    values = np.arange(GRID.shape[0] * GRID.shape[1]).reshape(GRID.shape) % 300
    return wrap_xr(values.astype(dtype), GRID, nodata=None).assign_attrs(attributes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "uint8"}, "uint8 holds too few numbers for units of 0.0001"),
        ({"dtype": "int64"}, "floats are not stored as int64"),
        ({"dtype": "complex64"}, "type complex64 cannot be stored"),
        ({"dtype": "bool"}, "type bool cannot be stored"),
        ({"dtype": "words"}, "dtype 'words' is not known"),
        ({"dtype": "int16", "nodata": 1e9}, "nodata 1000000000.0 is no number of int16"),
        ({"dtype": "int16", "nodata": 0.5}, "nodata 0.5 is no number of int16"),
        ({"dtype": "int16", "nodata": np.nan}, "nodata nan is no number of int16"),
        ({"nodata": "none"}, "nodata 'none' is no number"),
        ({"dtype": "int16", "scale": 0}, "scale 0 is not positive"),
        ({"dtype": "int16", "scale": np.nan}, "scale nan is not positive"),
        ({"dtype": "int16", "scale": "0.1"}, "scale '0.1' is no number"),
    ],
)
@pytest.mark.parametrize("write", [write_cog, write_zarr])
def test_numbers_that_cannot_be_stored(tmp_path, write, options, said):
    with pytest.raises(ConfigError, match=said) as caught:
        write(image(), tmp_path / "out", **options)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [None, np.zeros((4, 4)), {"red": 1}])
@pytest.mark.parametrize("write", [write_cog, write_zarr])
def test_what_is_no_xarray_object(tmp_path, write, given):
    with pytest.raises(ConfigError, match=rf"and not a {type(given).__name__}") as caught:
        write(given, tmp_path / "out")
    assert "chain.to_cog" in caught.value.hint


def test_texts_are_no_pixels(tmp_path):
    with pytest.raises(ConfigError, match="are no pixels"):
        write_cog(whole("int16").astype(str), tmp_path / "out.tif")


@pytest.mark.parametrize("chunks", [None, 256])
def test_integers_that_a_type_cannot_hold_are_not_made_others(tmp_path, chunks):
    data = whole("int64") if chunks is None else whole("int64").chunk(chunks)
    with pytest.raises(DataError, match="the number 299 is beyond uint8"):
        write_cog(data, tmp_path / "out.tif", dtype="uint8")
    path = write_cog(data - 50, tmp_path / "out.tif", dtype="int16")
    np.testing.assert_array_equal(read(path), (data - 50).values)
    path = write_cog(data.clip(0, 255), tmp_path / "out.tif", dtype="uint8")
    np.testing.assert_array_equal(read(path), data.clip(0, 255).values)


def test_a_nodata_that_integers_carry_along_from_floats_is_none_of_theirs(tmp_path):
    path = write_cog(whole("uint16", nodata=np.nan), tmp_path / "out.tif")
    with rasterio.open(path) as opened:
        assert opened.nodata is None
    path = write_cog(whole("uint16", nodata=299), tmp_path / "out.tif")
    with rasterio.open(path) as opened:
        assert opened.nodata == 299


@pytest.mark.parametrize("attribute", [False, True])
def test_floats_without_data_become_the_nodata_that_is_named(tmp_path, attribute):
    data = image()
    expected = np.where(np.isnan(data.values), np.float32(-9999), data.values)
    if attribute:
        path = write_cog(data.assign_attrs(nodata=-9999.0), tmp_path / "out.tif")
    else:
        path = write_cog(data, tmp_path / "out.tif", nodata=-9999)
    with rasterio.open(path) as opened:
        assert opened.nodata == -9999
        np.testing.assert_array_equal(opened.read(1), expected)
        overview = opened.read(1, out_shape=(350, 450))
    assert (overview[:25] == -9999).all()
    assert (overview[25:] > -1).all()


def test_a_dataset_becomes_bands(tmp_path):
    ds = xr.Dataset({"red": image(name="red"), "nir": image(name="nir") + 1})
    path = write_cog(ds, tmp_path / "out.tif")
    with rasterio.open(path) as opened:
        assert opened.descriptions == ("red", "nir")
        np.testing.assert_array_equal(opened.read(2), ds.nir.values)


def test_progress_counts_every_tile(tmp_path):
    seen = []
    write_cog(image(), tmp_path / "out.tif", progress=seen.append)
    assert [(one.done, one.total) for one in seen] == [(n, 6) for n in range(1, 7)]
    assert seen[-1].bytes_done == GRID.shape[0] * GRID.shape[1] * 4


def failing(noted: threading.Event) -> xr.DataArray:
    """An image whose last chunk cannot be computed, as soon as another tile is noted."""

    def fail(block, block_id=None):
        if block_id == (2, 2) and noted.wait(60):
            raise DataError("item x: asset red cannot be read", hint="fetch it")
        return block

    broken = image()
    broken.data = da.map_blocks(
        fail, broken.data, dtype="float32", meta=np.empty((0, 0), "float32"), name="broken"
    )
    return broken


def test_a_failing_tile_leaves_the_old_file_and_the_tiles_that_were_done(tmp_path):
    path = write_cog(image(), tmp_path / "out.tif")
    before, noted = path.read_bytes(), threading.Event()
    with pytest.raises(DataError, match="asset red") as caught:
        write_cog(failing(noted), path, progress=lambda _: noted.set())
    assert path.read_bytes() == before
    assert re.fullmatch(
        r"fetch it; \d of 6 tiles are kept; run again to continue", caught.value.hint
    )
    assert {file.name for file in tmp_path.iterdir()} == {"out.tif", ".out.tif.parts"}


def test_an_error_in_the_first_tile_leaves_nothing(tmp_path):
    def fail(block):
        raise ValueError("odd number")

    data = image(chunks=(700, 900))
    data.data = data.data.map_blocks(fail, dtype="float32", meta=np.empty((0, 0), "float32"))
    with pytest.raises(DataError, match=r"rows 0 to 699, columns 0 to 899: ValueError: odd number"):
        write_cog(data, tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_goes_on_with_the_missing_tiles(tmp_path):
    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write_cog(image(), tmp_path / "out.tif", progress=stop)
    assert caught.value.__notes__ == ["3 of 6 tiles are kept; run again to continue"]
    assert [file.name for file in tmp_path.iterdir()] == [".out.tif.parts"]

    seen = []
    path = write_cog(image(), tmp_path / "out.tif", progress=seen.append)
    assert [(one.done, one.kept) for one in seen] == [(n, 3) for n in range(3, 7)]
    np.testing.assert_array_equal(read(path), image().values)
    assert [file.name for file in tmp_path.iterdir()] == ["out.tif"]


def test_pixels_that_are_there_already_leave_nothing(tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cog(image().compute(), tmp_path / "out.tif", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    # A limit on the size of files makes writes fail as a full disk does, without being root.
    program = textwrap.dedent(
        """
        import resource, signal, sys
        import numpy as np
        from odc.geo.geobox import GeoBox
        from odc.geo.xr import wrap_xr
        from rasterio.transform import from_origin
        from rsdat.errors import DataError
        from rsdat.raster import write_cog
        grid = GeoBox((700, 900), from_origin(0, 0, 10, 10), "EPSG:32632")
        data = wrap_xr(np.random.default_rng(1).random(grid.shape).astype("float32"), grid)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
        try:
            write_cog(data, sys.argv[1])
        except DataError as error:
            print(error.message, error.hint)
            sys.exit(8)
        """
    )
    assert hasattr(resource, "RLIMIT_FSIZE")
    assert hasattr(signal, "SIGXFSZ")
    for limit in (400_000, 2_600_000):  # while tiles are written, and while they are laid out
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "out.tif"), str(limit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 8, (limit, done.stdout, done.stderr)
        assert "cannot be written" in done.stdout
        assert "make room" in done.stdout
        assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_seen_before_computing(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(DataError, match="its tiles take"):
        write_cog(image(), tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_cog(image(), tmp_path / "file" / "out.tif")


def test_a_directory_is_no_file_to_write(tmp_path):
    with pytest.raises(ConfigError, match="is a directory"):
        write_cog(image(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_dates_are_refused(tmp_path):
    data = xr.concat([image(), image()], dim="time")
    with pytest.raises(ConfigError, match="2 dates"):
        write_cog(data, tmp_path / "out.tif")


def test_data_without_a_grid_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no grid"):
        write_cog(xr.DataArray(np.zeros((3, 3))), tmp_path / "out.tif")


def test_computes_on_the_current_client(tmp_path, sentinel2):
    from distributed import Client, LocalCluster

    index = ndvi(load(sentinel2(dates=1), ["red", "nir"], chunks=20)).isel(time=0)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
        ) as cluster,
        Client(cluster) as client,
    ):
        path = write_cog(index, tmp_path / "out.tif")
        workers = client.run(lambda dask_worker: dask_worker.state.tasks is not None)
    assert len(workers) == 2
    np.testing.assert_array_equal(read(path), index.compute(scheduler="sync").values)


def test_an_error_on_a_worker_arrives_as_it_was(tmp_path, sentinel2):
    from distributed import Client

    items = sentinel2(dates=1)
    index = ndvi(load(items, ["red", "nir"], chunks=40)).isel(time=0)
    with open(items[0].assets["nir"].href, "r+b") as stream:
        stream.truncate(3000)
    with (
        Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"),
        pytest.raises(DataError, match=r"item scene0: asset nir .* cannot be read") as caught,
    ):
        write_cog(index, tmp_path / "out.tif")
    assert "fetch it again" in (caught.value.hint or "")
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_preview_is_a_png_with_transparent_nodata(tmp_path):
    path = write_cog(image(), tmp_path / "out.tif")
    png = preview(path, tmp_path / "out.png", max_size=90)
    with rasterio.open(png) as opened:
        assert (opened.count, opened.height, opened.width) == (4, 70, 90)
        alpha = opened.read(4)
    assert alpha[:5].max() == 0
    assert alpha[6:].min() == 255


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_preview_of_near_infrared_and_red_shows_both(tmp_path):
    # Plants on the left, bare ground on the right: reflectances as they are in nature.
    left = np.arange(GRID.shape[1]) < 450
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.005, (2, *GRID.shape)).astype("float32")
    bands = {
        "red": wrap_xr(np.where(left, np.float32(0.04), np.float32(0.2)) + noise[0], GRID),
        "nir": wrap_xr(np.where(left, np.float32(0.5), np.float32(0.3)) + noise[1], GRID),
    }
    path = write_cog(xr.Dataset(bands), tmp_path / "out.tif")
    with rasterio.open(preview(path, tmp_path / "out.png", max_size=90)) as opened:
        red, green, blue = opened.read([1, 2, 3]).astype(int)
    np.testing.assert_array_equal(green, blue)
    assert np.median(red[:, :40] - green[:, :40]) > 150
    assert np.median(green[:, 50:] - red[:, 50:]) > 150
