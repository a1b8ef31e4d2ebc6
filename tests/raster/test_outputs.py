"""Where a run writes: names of files, and what is refused before anything is computed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsdat import chain, write_cog
from rsdat.errors import ConfigError, DataError
from rsdat.raster.outputs import output, outputs
from rsdat.raster.recipes import Reading, Storage, composite_run, compute


@pytest.fixture
def items(scenes):
    def one(name: str, day: int):
        red = scenes.write(f"{name}-red", np.full((32, 32), 1500, "uint16"))
        nir = scenes.write(f"{name}-nir", np.full((32, 32), 4500, "uint16"))
        return scenes.item(name, {"red": red, "nir": nir}, day=day)

    return [one("a", 1), one("b", 2)]


def test_one_file_for_each_item(items, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there.tif").mkdir()
    for out in (tmp_path / "new", f"{tmp_path}/new/", tmp_path / "there.tif", "~/2025.v1"):
        folder = Path(out).expanduser()
        assert outputs(items, out) == [f"{folder}/a_ndvi.tif", f"{folder}/b_ndvi.tif"]
    assert outputs(items, tmp_path / "{id}-x.tif") == [
        f"{tmp_path}/a-x.tif",
        f"{tmp_path}/b-x.tif",
    ]
    assert [path[-6:] for path in outputs(items, tmp_path / "{date}.tif")] == [
        "01.tif",
        "02.tif",
    ]
    with pytest.raises(ConfigError, match="2 items would be written to 1 file"):
        outputs(items, tmp_path / "one.tif")


@pytest.mark.parametrize("name", ["x.png", "x.json", "x.nc"])
def test_other_kinds_of_files_are_no_directories(items, name):
    with pytest.raises(ConfigError, match=r"does not end in \.tif"):
        outputs(items[:1], name)


@pytest.mark.parametrize(
    ("out", "message"),
    [("", "no output"), (" ", "no output"), (".", "is a directory"), ("new/", "is a directory")],
)
def test_what_names_no_file(items, out, message):
    with pytest.raises(ConfigError, match=message):
        output(items, out)


def test_inputs_are_not_written_over(items):
    with pytest.raises(DataError, match="is one of the inputs"):
        output(items, items[0].assets["red"].href)


def test_a_file_of_someone_else_is_not_written_over_and_an_earlier_result_is(items, tmp_path):
    foreign = tmp_path / "out.json"
    for text in ("{}", "[1]", "no json", '{"properties": null}'):
        foreign.write_text(text)
        with pytest.raises(DataError, match=r"out\.json is there"):
            composite_run(items, tmp_path / "out.tif", reading=Reading())
        assert foreign.read_text() == text
        assert not (tmp_path / "out.tif").exists()
    foreign.unlink()
    for _ in range(2):
        run = composite_run(items, tmp_path / "out.tif", reading=Reading())
        compute(run, Storage())


def test_a_picture_of_someone_else_is_not_written_over(items, tmp_path):
    (tmp_path / "out.png").write_text("mine")
    with pytest.raises(DataError, match=r"out\.png is there"):
        composite_run(items, tmp_path / "out.tif", reading=Reading())
    assert [one.name for one in tmp_path.glob("out.*")] == ["out.png"]


def contents(path: Path) -> dict[str, bytes]:
    """What lies below a place, by name."""
    return {
        str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()
    }


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_link_to_a_file_is_followed(items, tmp_path, there):
    end, link = tmp_path / "far" / "y.tif", tmp_path / "x.tif"
    end.parent.mkdir()
    if there:
        end.write_bytes(b"before")
    link.symlink_to(Path("far/y.tif"))
    made = chain(items, ["red"]).composite("mean")
    written = made.to_cog(link, preview=True)
    assert os.readlink(link) == "far/y.tif"
    assert [one.name for one in end.parent.iterdir()] == ["y.tif"]
    with rasterio.open(end) as opened:
        np.testing.assert_array_equal(opened.read(), made.evaluate())
    assert (written.path, written.item) == (str(link), str(tmp_path / "x.json"))
    write_cog(made.to_xarray().astype("float64"), link)
    assert link.is_symlink()


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_link_to_a_store_is_followed(items, tmp_path, there):
    end, link = tmp_path / "far" / "y", tmp_path / "x.zarr"
    end.parent.mkdir()
    made = chain(items, ["red"]).composite("mean")
    if there:
        made.to_zarr(end, multiscales=False, describe=False)
        (end / "of the old one").touch()
    link.symlink_to(end)
    written = made.to_zarr(link, preview=True)
    assert link.is_symlink()
    assert [one.name for one in end.parent.iterdir()] == ["y"]
    made.to_zarr(tmp_path / "plain.zarr", describe=False)
    assert contents(end) == contents(tmp_path / "plain.zarr")
    item = json.loads(Path(written.item).read_text())
    assert item["assets"]["data"]["href"] == "x.zarr"
    assert "zarr" in item["assets"]["data"]["type"]


def test_a_link_to_a_directory_that_is_no_store_is_refused(items, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "x.zarr").symlink_to(tmp_path / "notes")
    with pytest.raises(ConfigError, match="notes is a directory, and no Zarr store"):
        chain(items, ["red"]).to_zarr(tmp_path / "x.zarr")
    assert contents(tmp_path / "notes") == {"mine.txt": b"mine"}


def test_a_link_to_an_input_is_refused(items, tmp_path):
    red = items[0].assets["red"].href
    (tmp_path / "x.tif").symlink_to(red)
    before = Path(red).read_bytes()
    with pytest.raises(DataError, match="is one of the inputs"):
        chain(items, ["red"]).composite("mean").to_cog(tmp_path / "x.tif")
    assert Path(red).read_bytes() == before


def test_an_input_that_is_reached_by_another_way_is_not_written_over(items, tmp_path):
    red = Path(items[0].assets["red"].href)
    (tmp_path / "way").symlink_to(red.parent)
    with pytest.raises(DataError, match="is one of the inputs"):
        output(items, tmp_path / "way" / red.name)


def test_a_link_to_itself_is_refused(items, tmp_path):
    (tmp_path / "x.tif").symlink_to(tmp_path / "x.tif")
    with pytest.raises(DataError, match="a link that leads nowhere"):
        chain(items, ["red"]).composite("mean").to_cog(tmp_path / "x.tif")


def test_an_interrupted_run_through_a_link_goes_on_through_its_end(items, tmp_path):
    (tmp_path / "x.tif").symlink_to(tmp_path / "y.tif")
    made = chain(items, ["red"]).composite("mean")

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.to_cog(tmp_path / "x.tif", progress=stop)
    assert made.to_cog(tmp_path / "y.tif").kept == 1


def test_what_lies_beside_the_end_of_a_link_goes_with_the_old_result(items, tmp_path):
    made = chain(items, ["red"]).composite("mean")
    made.to_cog(tmp_path / "y.tif")
    (tmp_path / "x.tif").symlink_to(tmp_path / "y.tif")
    made.to_cog(tmp_path / "x.tif")
    assert {one.name for one in tmp_path.glob("[xy].*")} == {"x.tif", "x.json", "y.tif"}
