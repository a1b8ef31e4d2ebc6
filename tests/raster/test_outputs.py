"""Where a run writes: names of files, and what is refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
