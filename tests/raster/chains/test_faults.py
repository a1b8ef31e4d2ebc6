"""What goes wrong in a chain: the error names item, asset, tile and next step; or it is skipped."""

from __future__ import annotations

import datetime as dt
import errno
import os
import pickle
import re
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsdat import chain
from rsdat.errors import ConfigError, DataError
from tests.raster.chains.cases import Stack

equal = np.testing.assert_array_equal


@pytest.fixture
def stack(scenes) -> Stack:
    """Three dates of one place, 64 × 64 pixels, in blocks of 16."""
    made = Stack()
    for day in (1, 2, 3):
        bands = {name: np.full((64, 64), 1000 * day, "uint16") for name in ("red", "nir")}
        bands["scl"] = np.full((32, 32), 4, "uint8")
        made.add(scenes, bands, day=day, block=16, nodata={"red": 0})
    return made


def truncate(path: Path, keep: float = 0.6) -> None:
    with open(path, "r+b") as stream:
        stream.truncate(int(path.stat().st_size * keep))


def damage(path: Path) -> None:
    """Blocks that do not decode; the head is as it was."""
    with rasterio.open(path) as opened:
        pixels, profile = opened.read(), opened.profile
    with rasterio.open(path, "w", **{**profile, "compress": "deflate"}) as opened:
        opened.write(pixels)
    with rasterio.open(path) as opened:
        offset = int(opened.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 40)


@pytest.mark.parametrize("spoil", [truncate, damage, Path.unlink])
@pytest.mark.parametrize("band", ["red", "scl"])
def test_a_file_that_cannot_be_read(stack, spoil, band):
    made = chain(stack.items, ["red", "nir"]).mask_clouds().composite()
    _ = made.plan  # the files were good then
    item = stack.items[1].id
    spoil(stack.files[1][band].path)
    with pytest.raises(DataError, match=rf"item {item}: asset {band} .*cannot be read") as caught:
        made.evaluate()
    assert "x 600000 to 600640, y 4999360 to 5000000" in caught.value.message
    assert "leave this item out" in caught.value.hint
    arrived = pickle.loads(pickle.dumps(caught.value))
    assert (arrived.message, arrived.hint) == (caught.value.message, caught.value.hint)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("spoil", [truncate, damage, Path.unlink])
def test_what_is_skipped_is_left_out_and_named(stack, spoil, place, tmp_path):
    spoil(stack.files[place]["nir"].path)
    made = chain(stack.items, ["red", "nir"], on_error="skip").mask_clouds().composite("mean")
    left = [1000.0 * day for day in (1, 2, 3) if day != place + 1]
    computed = made.plan.evaluate(made.geobox)
    equal(computed.values, np.full((2, 64, 64), np.mean(left), "float32"))
    (skipped,) = computed.skipped
    assert skipped.item == stack.items[place].id
    assert skipped.asset == "nir"
    assert "cannot be read" in skipped.reason
    written = made.to_cog(tmp_path / "out.tif")
    assert {one.item for one in written.skipped} == {stack.items[place].id}
    with rasterio.open(written.path) as opened:
        equal(opened.read(), computed.values)


@pytest.fixture
def damaged(stack):
    """A chain that leaves one item out, and what is to be said of it."""
    damage(stack.files[1]["nir"].path)
    del stack.items[2].assets["nir"]
    made = chain(stack.items, ["red", "nir"], on_error="skip").composite("mean")
    read, lacking = stack.items[1].id, stack.items[2].id
    said = rf"item {read}: asset nir \(.*\) cannot be read, at x 600\d+ to "
    return made, said, rf"item {lacking} has no band 'nir'"


def warnings_of(work):
    """What the work gives, and the warnings that it is told by."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = work()
    return result, [one for one in caught if one.category is UserWarning]


def test_pixels_without_a_description_come_with_a_warning_of_what_is_missing(damaged):
    made, said, lacks = damaged
    place = made.geobox.extent
    values, told = warnings_of(lambda: made.evaluate())
    equal(values, np.full((2, 64, 64), 1000, "float32"))
    profile, also = warnings_of(lambda: made.profile(place))
    assert len(profile.attrs["skipped"]) == 2
    for caught in (told, warnings_of(lambda: made.preview())[1], also):
        (warned,) = caught
        assert re.search(said, str(warned.message))
        assert re.search(lacks, str(warned.message))
        assert warned.filename == __file__


def test_tasks_warn_once_of_each_source(damaged):
    made, said, _ = damaged
    values, told = warnings_of(lambda: made.to_xarray(chunks=8).compute(scheduler="sync"))
    (warned,) = told
    assert re.search(said, str(warned.message))
    assert (values == 1000).any()


def test_where_nothing_is_left_out_nothing_is_said(stack):
    made = chain(stack.items, ["red", "nir"], on_error="skip").composite("mean")
    for work in (made.evaluate, made.preview, made.to_xarray(chunks=32).compute):
        assert warnings_of(work)[1] == []


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_an_image_of_which_nothing_could_be_read_is_none(scenes, tmp_path, name):
    stack = Stack()
    pixels = np.random.default_rng(1).integers(1, 999, (600, 600)).astype("uint16")
    for day in (1, 2):
        stack.add(scenes, {"a": pixels}, day=day, block=256)
    good = chain(stack.items, "a", on_error="skip").composite("mean")
    write = {"chunk": 256, "shard": 256} if name.endswith("zarr") else {"tile": 512}
    door = "to_zarr" if name.endswith("zarr") else "to_cog"
    kept = getattr(good, door)(tmp_path / name, **write)
    before = sorted(path.name for path in tmp_path.iterdir())
    files = [one["a"].path for one in stack.files]
    whole = [path.read_bytes() for path in files]
    for path in files:
        truncate(path, 0.01)
    made = chain(stack.items, "a", on_error="skip").composite("max")
    for work in (lambda: getattr(made, door)(tmp_path / name, **write), made.evaluate):
        with pytest.raises(DataError, match=r"nothing could be read: item .* asset a ") as caught:
            work()
        assert caught.value.hint == "fetch the files again, or choose other items"
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # the old one, and no parts
    with pytest.warns(UserWarning, match="left out"):
        assert np.isnan(made.evaluate(made.geobox[:64, :64])).all()
    for path, content in zip(files, whole, strict=True):
        path.write_bytes(content)
    written = getattr(made, door)(tmp_path / name, **write)
    assert (written.kept, written.skipped, written.tiles) == (0, (), kept.tiles)


def test_what_is_masked_is_read(stack):
    """Of one item clouds are known to hide everything; the others cannot be read."""
    with rasterio.open(stack.files[0]["scl"].path, "r+") as opened:
        opened.write(np.full((1, 32, 32), 9, "uint8"))
    for files in stack.files[1:]:
        truncate(files["red"].path)
    made = chain(stack.items, "red", on_error="skip").mask_clouds().composite()
    with pytest.warns(UserWarning, match="left out"):
        assert np.isnan(made.evaluate()).all()


def test_a_missing_asset(stack):
    del stack.items[1].assets["nir"]
    lacking = stack.items[1].id
    with pytest.raises(DataError, match=f"item {lacking} has no band 'nir'; its raster assets"):
        chain(stack.items, ["red", "nir"])
    made = chain(stack.items, ["red", "nir"], on_error="skip").mask_clouds()
    assert [(one.item, one.asset) for one in made.skipped] == [(lacking, "nir")]
    with pytest.warns(UserWarning, match=f"item {lacking} has no band"):
        equal(made.composite("max").evaluate()[0], np.full((64, 64), 3000, "float32"))
    for item in stack.items:
        item.assets.pop("nir", None)
    with pytest.raises(DataError, match="has no band 'nir'"):
        chain(stack.items, ["red", "nir"], on_error="skip")


def test_a_missing_mask(stack):
    del stack.items[2].assets["scl"]
    lacking = stack.items[2].id
    with pytest.raises(DataError, match=f"item {lacking} has no band of clouds"):
        chain(stack.items, "red").mask_clouds()
    made = chain(stack.items, "red", on_error="skip").mask_clouds()
    assert (len(made.items), [one.item for one in made.skipped]) == (2, [lacking])


def test_items_of_one_name_keep_their_own_masks(stack):
    for item in stack.items:
        item.id = "same"
    made = chain(stack.items, "red").mask_clouds()
    equal(made.evaluate()[:, 0, 0, 0], np.float32([1000, 2000, 3000]))


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__("odd")
        self.handle = open


def raises(values):
    raise ValueError("too dark")


def raises_oddly(values):
    raise Unpicklable(1, 2)


def raises_as_files_do(values):
    raise OSError(errno.ENOENT, "no such table")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "raised ValueError: too dark"),
        (raises_oddly, "raised Unpicklable: odd"),
        (raises_as_files_do, "raised FileNotFoundError"),
        (lambda v: v[:, 1:], r"gave an array of shape \(2, 63, 64\)"),
        (lambda v: v[:1], r"gave an array of shape \(1, 64, 64\)"),
        (lambda v: None, r"gave an array of shape \(\)"),
        (lambda v: np.full(v.shape, "x"), "could not convert string"),
        (lambda v: v * 1j, "raised TypeError: it gave complex numbers"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_function_that_is_wrong(stack, function, said, on_error):
    made = chain(stack.items, ["red", "nir"], on_error=on_error).apply(function)
    with pytest.raises(DataError, match=said) as caught:
        made.evaluate()
    assert function.__name__ in caught.value.message
    assert "x 600000 to 600640" in caught.value.message
    assert caught.value.hint
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_masked_array_is_without_what_it_masks(stack):
    made = chain(stack.items, "red").apply(lambda v: np.ma.masked_less(v, 2500))
    found = made.evaluate()
    assert np.isnan(found[:2]).all()
    equal(found[2], np.full((1, 64, 64), 3000, "float32"))


@pytest.mark.parametrize("chunks", [0, -5, "auto", 1e3, {"x": 0}, {"x": "a"}, {"z": 5}])
def test_chunks_that_are_not_possible(stack, chunks):
    made = chain(stack.items, "red")
    with pytest.raises(ConfigError, match=r"chunks .* are not possible") as caught:
        made.to_xarray(chunks=chunks)
    assert "-1: one chunk" in caught.value.hint


def test_a_clip_that_meets_nothing(stack, tmp_path):
    away = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    made = chain(stack.items, "red").composite().clip(away)
    for work in (made.evaluate, made.to_xarray, lambda: made.to_cog(tmp_path / "a.tif")):
        with pytest.raises(
            DataError, match=r"does not meet the grid, which covers 10\.2"
        ) as caught:
            work()
        assert "degrees" in caught.value.hint
    # Of many grids some may lie beside it.
    given = chain(stack.items, "red", geobox=chain(stack.items, "red").geobox)
    assert np.isnan(given.composite().clip(away).evaluate()).all()


@pytest.mark.parametrize("year", [1500, 9999])
def test_a_year_that_stands_for_no_time(stack, year):
    stack.items[1].datetime = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    name = stack.items[1].id
    with pytest.raises(DataError, match=f"item {name} is of the year {year}") as caught:
        chain(stack.items, "red")
    assert "correct its datetime" in caught.value.hint


def test_a_function_may_give_nothing_but_nan(stack):
    made = chain(stack.items, "red").apply(lambda v: v * np.nan)
    assert np.isnan(made.evaluate()).all()
    assert np.isnan(made.composite().evaluate()).all()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "raised ValueError: too dark"),
        (raises_oddly, "raised Unpicklable: odd"),
        (raises_as_files_do, "raised FileNotFoundError"),
        (lambda v: v[1:] > 0, "gave an array of shape"),
        (lambda v: True, r"gave an array of shape \(\)"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_mask_function_that_is_wrong(stack, function, said, on_error):
    made = chain(stack.items, "red", on_error=on_error).mask_clouds("scl", function=function)
    with pytest.raises(ConfigError, match=said) as caught:
        made.composite().evaluate()
    assert re.search(rf"item {stack.items[0].id}: asset scl, at x 600000", caught.value.message)
    assert function.__name__ in caught.value.message
    assert "(y, x)" in caught.value.hint
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_quality_band_of_another_layout_names_its_item(scenes):
    stack = Stack()
    bands = {"red": np.ones((8, 8), "uint16"), "qa_pixel": np.full((8, 8), 20480, "uint16")}
    item = stack.add(scenes, bands, day=1)
    with pytest.raises(DataError, match=rf"item {item.id}: asset qa_pixel.* not Landsat"):
        chain(stack.items, "red").mask_clouds().evaluate()


def test_what_is_not_known_is_refused_before_anything_is_read(stack):
    for files in stack.files:
        files["red"].path.unlink()
    made = chain(stack.items, ["red", "nir"])
    for wrong, said in (
        (lambda: made.index("greenness"), "greenness"),
        (lambda: made.index("evi"), "needs the band 'blue'"),
        (lambda: made.composite("mode"), "composite method 'mode'"),
        (lambda: made.composite("p101"), "above 100"),
        (lambda: made.composite(by="fortnight"), "fortnight"),
        (lambda: made.composite().composite(), "no dates left"),
        (lambda: made.composite().mosaic(), "no dates left"),
        (lambda: made.apply(np.abs, halo=-1), "halo -1"),
        (lambda: made.index("ndvi").mask_clouds(), "before the other steps"),
        (lambda: made.clip({"type": "Nothing"}), "no geometry"),
        (lambda: made.apply(np.ones(3)), "is no function"),
        (lambda: made.apply(np.abs, halo=1.5), "halo 1.5 is no number of pixels"),
        (lambda: made.apply(np.abs, bands_out=["a", "a"]), "named twice in a, a"),
        (lambda: made.apply(np.abs, bands_out=5), "5 are no names"),
        (lambda: made.index("ndvi", keep="blue"), "keep needs the band 'blue'"),
        (lambda: made.mask_clouds("scl", function="cloudy"), "is no function"),
        (lambda: made.mask_clouds(classes=[3, 300]), r"classes \[3, 300\] are no numbers"),
        (lambda: made.mask_clouds(classes="cloud"), "classes 'cloud' are no numbers"),
        (lambda: made.mask_clouds(classes=[]), r"classes \[\] are no numbers"),
        (lambda: made.mask_clouds(bits=3), "bits 3 are no numbers"),
        (lambda: made.mask_clouds(bits=[-1]), "bits .* are no numbers from 0 to 63"),
        (lambda: chain(stack.items, "red", resampling="fuzzy"), "fuzzy"),
        (lambda: chain(stack.items, "red", on_error="ignore"), "on_error 'ignore'"),
        (lambda: chain(stack.items, ["red", "red"]), "named twice"),
    ):
        with pytest.raises((ConfigError, DataError), match=said) as caught:
            wrong()
        assert caught.value.hint, said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"memory": 0}, "memory 0 is no size"),
        ({"memory": "much"}, "memory 'much' is no size"),
        ({"memory": float("inf")}, "memory inf is no size"),
        ({"compress": "zip"}, "compression 'zip'"),
        ({"level": 99}, "level 99"),
        ({"overview_resampling": "cubic"}, "'cubic'"),
        ({"dtype": "int64"}, "int64"),
        ({"dtype": "int16", "nodata": 0.5}, "nodata 0.5"),
        ({"dtype": "int16", "scale": 0}, "scale 0.0 is not positive"),
    ],
)
@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_options_that_are_not_possible(stack, tmp_path, name, wrong, said):
    made = chain(stack.items, "red").composite("mean")
    write = made.to_zarr if name.endswith("zarr") else made.to_cog
    with pytest.raises(ConfigError, match=said) as caught:
        write(tmp_path / name, **wrong)
    assert caught.value.hint
    assert not list(tmp_path.glob("*out*"))


def test_a_mistyped_option_is_told_before_anything_is_read(stack, tmp_path):
    for files in stack.files:
        files["red"].path.unlink()
    made = chain(stack.items, "red").composite("mean")
    for write in (made.to_cog, made.to_zarr):
        with pytest.raises(TypeError, match=rf"{write.__name__}.*'compres'"):
            write(tmp_path / "out", compres="lzw")


def test_memory_may_be_a_text(stack, tmp_path):
    made = chain(stack.items, "red").composite("mean")
    assert made.explain(memory="500MB") == made.explain(memory=500e6)
    assert made.explain(memory="500MB", zarr=True) == made.explain(memory=500e6, zarr=True)
    assert made.to_cog(tmp_path / "out.tif", memory="500MB").tiles == 1


def test_a_place_that_is_no_file(stack, tmp_path):
    made = chain(stack.items, "red").composite("mean")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe is no file"):
        made.to_cog(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(ConfigError, match=r"s3://bucket/out\.tif: a GeoTIFF is written to a file"):
        made.to_cog("s3://bucket/out.tif")
    (tmp_path / "file").touch()
    for write in (made.to_cog, made.to_zarr):
        with pytest.raises(DataError, match="cannot be written: Not a directory") as caught:
            write(tmp_path / "file" / "out")
        assert caught.value.hint == "choose another place or name for it"


def test_a_grid_that_memory_does_not_hold(stack):
    made = chain(stack.items, "red", resolution=5e-5).composite("mean")
    with pytest.raises(DataError, match="12800000 × 12800000 pixels does not fit") as caught:
        made.evaluate()
    assert "to_cog" in caught.value.hint
    with pytest.raises(ConfigError, match="tuple is no grid"):
        made.evaluate((64, 64))


def test_a_geometry_in_metres_is_not_taken_for_degrees(stack):
    made = chain(stack.items, "red")
    west, south, east, north = made.geobox.boundingbox.bbox
    corners = [[west, south], [east, south], [east, north], [west, south]]
    metres = {"type": "Polygon", "coordinates": [corners]}
    with pytest.raises(ConfigError, match="is not in degrees") as caught:
        made.clip(metres)
    assert "Geometry" in caught.value.hint
    with pytest.raises(ConfigError, match="degrees"):
        made.profile(metres)


def test_no_items_and_no_overlap(stack):
    with pytest.raises(DataError, match="no items"):
        chain([], "red")
    with pytest.raises(DataError, match="does not meet the items") as caught:
        _ = chain(stack.items, "red", bbox=(100, 10, 101, 11)).geobox
    assert "west,south,east,north" in caught.value.hint


def test_an_interrupted_run_goes_on_with_the_missing_tiles(scenes, tmp_path, monkeypatch):
    from rsdat.raster.writers import run

    # With as many threads as tiles, none might be noted when the first of them fails.
    monkeypatch.setattr(run, "cores", lambda: 2)
    stack = Stack()
    pixels = np.random.default_rng(1).integers(1, 999, (1100, 700)).astype("uint16")
    stack.add(scenes, {"a": pixels}, day=1, block=256)
    calls = tmp_path / "calls"
    calls.mkdir()
    broken = tmp_path / "broken"
    broken.touch()

    def note(values):
        if broken.exists() and len(list(calls.iterdir())) >= 3:
            raise ValueError("interrupted")
        (calls / f"{values.shape}-{float(np.nansum(values))}").touch()
        return values

    made = chain(stack.items, "a").apply(note)
    target = tmp_path / "out.tif"
    with pytest.raises(DataError, match="interrupted"):
        made.to_cog(target, tile=512)
    assert not target.exists()
    done = list(calls.iterdir())
    broken.unlink()
    for path in done:
        path.unlink()
    written = made.to_cog(target, tile=512)
    assert written.tiles == 6
    assert 1 <= written.kept <= len(done)  # what was on its way when it broke is lost
    assert len(list(calls.iterdir())) == 6 - written.kept
    with rasterio.open(target) as opened:
        equal(opened.read(1), pixels.astype("float32"))


def test_a_full_disk_is_told_and_leaves_no_file(stack, tmp_path, monkeypatch):
    from rsdat.raster.writers import parts

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts.os, "replace", full)
    with pytest.raises(DataError, match=r"out\.tif.*No space left") as caught:
        chain(stack.items, "red").composite().to_cog(tmp_path / "out.tif")
    assert caught.value.hint
    assert not (tmp_path / "out.tif").exists()
