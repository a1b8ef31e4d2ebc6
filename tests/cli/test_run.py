"""`rsdat run`: files, descriptions and messages, as someone at a terminal gets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import xarray as xr
from rio_cogeo import cog_validate

from rsdat.catalog import make_sample_catalog, search
from rsdat.cli import main
from rsdat.raster import composite, index, load, mask_clouds, ndvi

RSDAT = [sys.executable, "-c", "from rsdat.cli import main; main()"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return make_sample_catalog(tmp_path_factory.mktemp("made") / "sample", size=256)


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """A home of its own: no session is found there."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RSDAT_")}
    return {**kept, "HOME": str(home)}


@pytest.fixture
def run(environment, tmp_path):
    def call(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*RSDAT, "run", *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.fixture
def inside(environment, tmp_path, monkeypatch, capsys):
    """The same in this process, which saves the imports: for runs that meet no signal."""

    def call(*words: str | Path, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["rsdat", "run", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        assert left.value.code == code, told
        return told.out, told.err

    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", environment["HOME"])
    monkeypatch.chdir(tmp_path)
    return call


def pixels(path: Path | str, band: int = 1) -> np.ndarray:
    with rasterio.open(path) as opened:
        return opened.read(band)


def test_ndvi_of_one_item(run, sample, tmp_path):
    run("ndvi", sample, "--datetime", "2025-06", "-o", "out.tif")
    item = search(sample, datetime="2025-06")[0]
    expected = ndvi(load([item], ["red", "nir"]))[0].values
    np.testing.assert_array_equal(pixels(tmp_path / "out.tif"), expected)
    assert cog_validate(tmp_path / "out.tif", strict=True)[0]
    described = pystac.Item.from_file(str(tmp_path / "out.json"))
    assert described.datetime == item.datetime
    assert described.properties["rsdat:chain"] == {
        "bands": ["nir", "red"],
        "masks": [],
        "steps": [{"index": "ndvi", "formula": "(nir - red) / (nir + red)"}],
        "resampling": "nearest",
    }
    assert [link.title for link in described.get_links("derived_from")] == [item.id]
    assert set(described.assets) == {"data", "preview"}
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_ndvi_of_several_items(run, sample, tmp_path):
    done = run("ndvi", sample, "-o", "all", "--mask", "--dtype", "int16", "--json")
    outputs = json.loads(done.stdout)["outputs"]
    assert len(outputs) == 3
    assert all(Path(output["path"]).parent == tmp_path / "all" for output in outputs)
    with rasterio.open(outputs[0]["path"]) as opened:
        assert opened.dtypes == ("int16",)
    run("ndvi", sample, "-o", "{date}.tif")
    assert (tmp_path / "2025-05-14.tif").exists()
    done = run("ndvi", sample, "-o", "one.tif", code=3)
    assert "{id} or {date}" in done.stderr


def test_composite_of_bands_and_index(run, sample, tmp_path):
    run("composite", sample, "--bands", "red,nir", "--index", "ndvi", "-o", tmp_path / "c.tif")
    ds = mask_clouds(load(search(sample), ["red", "nir", "scl"]))
    expected = composite(ds.assign(ndvi=ndvi(ds)))
    with rasterio.open(tmp_path / "c.tif") as opened:
        assert opened.descriptions == ("red", "nir", "ndvi")
    for number, name in enumerate(("red", "nir", "ndvi"), start=1):
        np.testing.assert_array_equal(pixels(tmp_path / "c.tif", number), expected[name].values)
    described = json.loads((tmp_path / "c.json").read_text())["properties"]
    assert described["start_datetime"].startswith("2025-05-14")
    assert described["end_datetime"].startswith("2025-07-28")


def test_composite_of_a_part_on_another_grid(run, sample, tmp_path):
    words = ["--bbox", "5.64,52.30,5.66,52.31", "--crs", "EPSG:3035", "--resolution", "20"]
    run("composite", sample, *words, "--method", "max", "--index", "ndvi", "-o", "part.tif")
    with rasterio.open(tmp_path / "part.tif") as opened:
        assert opened.crs.to_epsg() == 3035
        assert opened.res == (20, 20)
        assert np.isfinite(opened.read(1)).mean() > 0.5


def test_an_index_or_a_formula_of_each_item(inside, sample, tmp_path):
    inside("index", "evi", sample, "-o", "all", "--mask-band", "scl")
    ds = mask_clouds(load(search(sample), ["blue", "red", "nir", "scl"]))
    for date, item in enumerate(search(sample)):
        expected = index(ds, "evi")[date].values
        np.testing.assert_array_equal(pixels(tmp_path / "all" / f"{item.id}_evi.tif"), expected)
    inside("index", "nir / red", sample, "-o", "{date}.tif", "--datetime", "2025-05")
    expected = index(load(search(sample), ["red", "nir"]), "nir / red")[0].values
    np.testing.assert_array_equal(pixels(tmp_path / "2025-05-14.tif"), expected)


def test_an_index_of_all_items_as_one_store(inside, sample, tmp_path):
    out, _ = inside("ndvi", sample, "-o", "n.zarr", "--dtype", "int16", "--json")
    (output,) = json.loads(out)["outputs"]
    assert output["path"] == str(tmp_path / "n.zarr")
    assert len(output["inputs"]) == 3
    expected = ndvi(load(search(sample), ["red", "nir"])).values
    with xr.open_zarr(tmp_path / "n.zarr", group=levels(tmp_path / "n.zarr")) as ds:
        np.testing.assert_array_equal(ds.time, load(search(sample), ["red"]).time)
        np.testing.assert_allclose(ds.ndvi.values, expected, atol=5.1e-5)
    assert (tmp_path / "n.zarr.png").read_bytes().startswith(b"\x89PNG")
    described = pystac.Item.from_file(str(tmp_path / "n.zarr.json"))
    assert described.assets["data"].media_type == "application/vnd.zarr; version=3"


def levels(store: Path) -> str | None:
    return "0" if (store / "0").is_dir() else None


def test_a_composite_for_each_period(inside, sample, tmp_path):
    more = make_sample_catalog(tmp_path / "more", size=256, seed=3, dates=("2025-05-20",))
    words = ["--method", "mean", "--by", "month", "--bands", "red", "--index", "ndvi"]
    inside("composite", sample, more, *words, "-o", "monthly/{date}.tif")
    inside("composite", sample, more, *words, "-o", "monthly.zarr")
    paths = sorted((tmp_path / "monthly").glob("*.tif"))
    assert [path.stem for path in paths] == ["2025-05-01", "2025-06-01", "2025-07-01"]
    with xr.open_zarr(tmp_path / "monthly.zarr", group=levels(tmp_path / "monthly.zarr")) as ds:
        for number, name in enumerate(("red", "ndvi"), start=1):
            found = np.stack([pixels(path, number) for path in paths])
            np.testing.assert_array_equal(found, ds[name].values)
    may = json.loads((tmp_path / "monthly" / "2025-05-01.json").read_text())
    assert len([one for one in may["links"] if one["rel"] == "derived_from"]) == 2


def test_explaining_computes_nothing(inside, sample, tmp_path):
    words = ["composite", sample, "--index", "ndvi", "-o", "x.tif", "--explain"]
    told = json.loads(inside(*words, "--json")[0])
    assert (told["items"], told["source_files"], told["tasks"]) == (3, 9, 1)
    assert told["steps"] == ["mask scl", "index ndvi", "composite median"]
    read = sum(
        Path(item.assets[name].get_absolute_href()).stat().st_size
        for item in search(sample)
        for name in ("red", "nir", "scl")
    )
    assert told["bytes_to_read"] == read
    text, _ = inside(*words)
    assert "EPSG:32631, 256 × 256 pixels of 10 m" in text
    assert list(tmp_path.glob("x*")) == []


def test_what_cannot_be_read_is_left_out_and_reported(inside, sample, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sample.parent, copy)
    next(copy.rglob("*0514*/B08.tif")).unlink()
    broken = next(copy.rglob("*0728*/B08.tif"))
    os.truncate(broken, broken.stat().st_size // 2)
    out, complaint = inside("ndvi", copy, "-o", "all", "--on-error", "skip", "--json")
    told = json.loads(out)
    assert complaint == ""
    (output,) = told["outputs"]
    assert Path(output["path"]).name == "SAMPLE_20250623_L2A_ndvi.tif"
    # No image of one that could be opened, and not read.
    assert [path.name for path in sorted((tmp_path / "all").glob("*.tif"))] == [
        "SAMPLE_20250623_L2A_ndvi.tif"
    ]
    assert [(one["item"], one["asset"]) for one in told["skipped"]] == [
        ("SAMPLE_20250514_L2A", "nir"),
        ("SAMPLE_20250728_L2A", "nir"),
    ]
    out, complaint = inside("composite", copy, "-o", "c.tif", "--on-error", "skip")
    assert "c.tif" in out
    assert "2 source(s) could not be read" in complaint
    assert "SAMPLE_20250728_L2A: asset nir" in complaint
    described = json.loads((tmp_path / "c.json").read_text())["properties"]["rsdat:skipped"]
    assert {one["item"] for one in described} == {"SAMPLE_20250514_L2A", "SAMPLE_20250728_L2A"}
    expected = mask_clouds(load(search(copy)[1:2], ["nir", "scl"])).nir[0].values
    np.testing.assert_array_equal(pixels(tmp_path / "c.tif", 2), expected)
    next(copy.rglob("*0623*/B08.tif")).unlink()
    broken.unlink()
    _, complaint = inside("ndvi", copy, "-o", "none", "--on-error", "skip", code=8)
    assert "cannot be read" in complaint


def test_only_what_lies_in_a_geometry_is_computed(inside, sample, tmp_path):
    ring = [[5.645, 52.31], [5.655, 52.31], [5.65, 52.316], [5.645, 52.31]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    (tmp_path / "part.geojson").write_text(json.dumps(polygon))
    inside("composite", sample, "--clip", "part.geojson", "--memory", "100MB", "-o", "c.tif")
    with rasterio.open(tmp_path / "c.tif") as opened:
        assert opened.shape < (80, 80)
        outside = rasterio.features.geometry_mask(
            [rasterio.warp.transform_geom("EPSG:4326", opened.crs, polygon)],
            opened.shape,
            opened.transform,
        )
        assert np.isnan(opened.read(1)[outside]).all()
        assert np.isfinite(opened.read(1)[~outside]).mean() > 0.5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ndvi", "nothing.json", "-o", "x.tif"], 8, "does not exist"),
        (["ndvi", "{sample}", "--bbox", "1,2,3", "-o", "x.tif"], 3, "four numbers"),
        (["ndvi", "{sample}", "--bbox", "1,2,3,4", "-o", "x.tif"], 8, "it holds 3 items"),
        (["composite", "{sample}", "--method", "mode", "-o", "x.tif"], 3, "median, mean, min, max"),
        (["composite", "{sample}", "--bands", "swir16", "-o", "x.tif"], 8, "no band 'swir16'"),
        (["composite", "{sample}", "--index", "nvdi", "-o", "x.tif"], 3, "not known"),
        (["composite", "{sample}", "--index", "nir; red", "-o", "x.tif"], 3, "column 4"),
        (["composite", "{sample}", "--by", "week", "-o", "x.zarr"], 3, "solar_day"),
        (["composite", "{sample}", "--by", "month", "-o", "x.tif"], 3, "{date}"),
        (["composite", "{sample}", "--memory", "much", "-o", "x.tif"], 3, "2GB"),
        (["composite", "{sample}", "--resampling", "best", "-o", "x.tif"], 3, "bilinear"),
        (["composite", "{sample}", "--on-error", "stop", "-o", "x.tif"], 3, "fail or skip"),
        (["composite", "{sample}", "--clip", "{sample}", "-o", "x.tif"], 3, "no geometry"),
        (["composite", "{sample}", "--clip", "none.json", "-o", "x.tif"], 8, "does not exist"),
        (["composite", "{sample}", "--mask-band", "fog", "-o", "x.tif"], 8, "no band 'fog'"),
        (["composite", "{sample}", "--compress", "lzw", "-o", "x.zarr"], 3, "zstd"),
        (["composite", "{sample}", "-o", "s3://bucket/x.tif"], 3, "to a file system only"),
        (["index", "swir16 / nir", "{sample}", "--limit", "1", "-o", "x.tif"], 8, "'swir16'"),
        (["index", "nvdi", "{sample}", "-o", "x.tif"], 3, "not known"),
        (["composite", "{sample}", "--crs", "EPSG:1", "-o", "x.tif"], 3, "EPSG:1"),
        (["composite", "{sample}", "-o", "{sample}/x.tif"], 8, "cannot be written"),
        (["composite", "{sample}", "-o", "x.png"], 3, "does not end in .tif"),
        (["composite", "{sample}", "-o", "."], 3, "is a directory"),
        (["composite", "{sample}", "-o", ""], 3, "no output is named"),
        (["ndvi", "{sample}", "--limit", "1", "-o", "x.json"], 3, "does not end in .tif"),
        (["composite", "{sample}", "--compress", "jpeg", "-o", "x.tif"], 3, "zstd"),
        (["composite", "http://127.0.0.1:9/c.json", "-o", "x.tif"], 8, "cannot be read"),
        (["composite", "{sample}", "--session", "nobody", "-o", "x.tif"], 6, "nobody"),
    ],
)
def test_wrong_input_has_one_clear_message(inside, sample, tmp_path, words, code, message):
    _, complaint = inside(*(word.format(sample=sample) for word in words), code=code)
    assert message in complaint
    assert complaint.startswith("rsdat: ")
    assert not (tmp_path / "x.tif").exists()


def test_the_catalog_is_not_written_over(run, sample):
    before = sample.read_bytes()
    done = run("composite", sample, "-o", sample.with_suffix(".tif"), code=8)
    assert "catalog.json is there, and is no description of an earlier result" in done.stderr
    assert sample.read_bytes() == before
    assert not sample.with_suffix(".tif").exists()


def test_a_damaged_file_leaves_nothing(run, sample, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sample.parent, copy)
    victim = next(copy.rglob("*0728*/B08.tif"))
    with open(victim, "r+b") as stream:
        stream.truncate(victim.stat().st_size // 2)
    done = run("composite", copy, "-o", tmp_path / "out" / "c.tif", code=8)
    assert "SAMPLE_20250728_L2A: asset nir" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(environment, tmp_path, number):
    # A pipe in place of a file: opening it waits, so the signal surely arrives in the middle.
    big = make_sample_catalog(tmp_path / "big", size=64)
    victim = next(big.parent.rglob("*0728*/B04.tif"))
    victim.unlink()
    os.mkfifo(victim)
    process = subprocess.Popen(
        [*RSDAT, "run", "composite", str(big), "-o", str(tmp_path / "out" / "c.tif")],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with open(victim, "wb"):  # returns when the run has opened the pipe
        process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert complaint == "rsdat: interrupted; nothing half-written is left\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_the_real_stack_equals_plain_numpy(run, tmp_path):
    named = os.environ.get("RSDAT_TEST_DATA")
    place = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "data"
    stack = place / "s2_l2a_slovenia_stack_33TWL"
    if not stack.is_dir():
        pytest.skip("the real scenes are not here (RSDAT_TEST_DATA)")
    run("composite", stack, "--method", "median", "-o", tmp_path / "c.tif")
    run("ndvi", stack, "-o", tmp_path / "ndvi")
    layers: dict[str, list[np.ndarray]] = {"B04": [], "B08": []}
    for folder in sorted(path for path in stack.iterdir() if path.is_dir()):
        cloud = np.isin(pixels(folder / "SCL.tif"), (0, 1, 3, 8, 9, 10, 12))
        values = {}
        for name, kept in layers.items():
            stored = pixels(folder / f"{name}.tif")
            # The items declare an offset of -0.1 and that it is applied: it must not be again.
            values[name] = stored.astype("float32") * np.float32(0.0001)
            values[name][stored == 0] = np.nan
            kept.append(np.where(cloud, np.float32(np.nan), values[name]))
        index = (values["B08"] - values["B04"]) / (values["B08"] + values["B04"])
        found = pixels(tmp_path / "ndvi" / f"{folder.name}_ndvi.tif")
        np.testing.assert_array_equal(found, index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for band, name in enumerate(layers, start=1):
            expected = np.nanmedian(np.stack(layers[name]), axis=0)
            np.testing.assert_array_equal(pixels(tmp_path / "c.tif", band), expected)
