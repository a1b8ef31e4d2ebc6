"""`rsdat catalog`: from files to a catalog that is searched, checked and drawn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.catalog.catalogs import item, raster, write_catalog

RSDAT = [sys.executable, "-c", "from rsdat.cli import main; main()", "catalog"]


def rsdat(*words, code=0):
    done = subprocess.run([*RSDAT, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def scenes(tmp_path):
    for day in ("20240501", "20240506"):
        for band in ("B04", "B08"):
            raster(tmp_path / "scenes" / f"s_{day}_{band}.tif")
    return tmp_path / "scenes"


def test_from_files_to_a_map(scenes, tmp_path):
    catalog = tmp_path / "catalog"
    assert "2 items with 4 files written" in rsdat("make", scenes, "--out", catalog).stdout
    assert rsdat("make", scenes, "--out", catalog, code=8).stderr.count("is there already") == 1
    raster(tmp_path / "more" / "s_20240511_B04.tif")
    made = json.loads(rsdat("add", catalog, tmp_path / "more", "--json").stdout)
    assert (made["items"], made["assets"]) == (1, 1)
    (scenes / "s_20240501_B04.tif").unlink()
    assert "is gone" in rsdat("update", catalog, "--prune").stderr
    shown = rsdat("summarise", catalog, "--map", tmp_path / "map.png").stdout.splitlines()
    assert shown[1].split()[:4] == ["scenes", "3", "2024-05-01", "2024-05-11"]
    assert Image.open(tmp_path / "map.png").width > 300
    assert "3 items" in rsdat("index", catalog).stdout
    assert "5 files checked, 0 problems" in rsdat("validate", catalog, "--assets").stdout


def test_skipped_files_are_listed(scenes, tmp_path):
    (scenes / "broken_B04.tif").write_text("x")
    assert (
        "broken_B04.tif cannot be read"
        in rsdat("make", scenes, "-o", tmp_path / "c", code=8).stderr
    )
    done = rsdat("make", scenes, "-o", tmp_path / "c", "--on-error", "skip")
    assert "skipped: " in done.stderr
    assert "broken_B04.tif" in done.stderr
    rsdat("make", scenes, "-o", tmp_path / "d", "--on-error", "guess", code=3)


def test_a_broken_catalog_has_its_exit_code(tmp_path):
    catalog = write_catalog(tmp_path / "c", [item("a"), item("b")])
    shutil.rmtree(tmp_path / "c" / "c" / "b")
    assert "b/item.json does not exist" in rsdat("validate", catalog, code=8).stdout
    found = json.loads(rsdat("validate", catalog, "--json", code=8).stdout)
    assert found["checked"] == 3
    shown = rsdat("summarise", catalog, "--json", code=8)
    assert json.loads(shown.stdout)[0]["items"] == 1
    assert "left out: " in shown.stderr
    assert "does not exist" in rsdat("index", catalog, code=8).stderr
    assert not list(tmp_path.rglob("*.parquet*"))


def test_what_a_search_prints_is_a_catalog_for_the_next_command(tmp_path):
    catalog = write_catalog(tmp_path / "c", [item("a"), item("b", x=9.0), item("d", day=3)])
    area = tmp_path / "area.json"
    area.write_text(json.dumps({"type": "Feature", "geometry": item("a")["geometry"]}))
    table = rsdat("search", catalog, "--geometry", area, "--sortby", "-datetime").stdout
    assert [line.split()[0] for line in table.splitlines()] == ["ITEM", "d", "a"]
    found = rsdat("search", catalog, "--bbox", "8,50,9,51", "--json").stdout
    (tmp_path / "found.json").write_text(found)
    again = json.loads(rsdat("search", tmp_path / "found.json", "--json").stdout)["features"]
    assert [one["id"] for one in again] == ["b"]
    assert again[0]["assets"]["red"]["href"] == str(tmp_path / "c" / "c" / "b" / "red.tif")
    assert "no item of" in rsdat("search", catalog, "--where", "cover < 1", code=8).stderr


def test_empty_names_are_refused(tmp_path):
    for words in (("make", "", "-o", "x"), ("make", "x", "-o", ""), ("search", ""), ("update", ""),
                  ("copy", "", "x"), ("copy", "x", "")):  # fmt: skip
        assert "a name is empty" in rsdat(*words, code=2).stderr
