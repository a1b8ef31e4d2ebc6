"""docs/indices.md: its blocks run, its table is the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from rsdat.raster.grouping import check_period
from rsdat.raster.indices import INDICES
from tests.raster.conftest import Scenes

PAGE = (Path(__file__).parents[2] / "docs" / "indices.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(program: str, home: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RSDAT_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_blocks(tmp_path):
    check = """
import numpy as np
assert np.abs(savi - rsdat.index(ds, "savi")).max() < 1e-6
assert 0 < share < 1
assert float(np.nanmax(greenest.to_xarray().values)) > 0.5
"""
    printed = run("\n".join(blocks("python")) + check, tmp_path)
    comments = re.findall(r"BANDS\)  # (.*)", PAGE)
    assert [re.sub(r"[()']", "", line) for line in printed.splitlines()] == comments


def test_the_block_with_a_rule(tmp_path):
    check = "\nimport numpy as np\nassert np.nanmax(burnt.to_xarray().values) == 1\n"
    before = f"""
import rsdat
from rsdat.raster import rules
items = rsdat.search({str(tmp_path / "items")!r})
"""
    scenes = made(tmp_path)
    for date in range(2):
        item = scenes.item(
            f"fields{date}",
            {
                name: scenes.write(f"{name}{date}", np.full((64, 64), number, "uint16"), nodata=0)
                for name, number in zip(
                    ("red", "rededge2", "nir", "swir16", "scl"),
                    (800, 900, 1000, 1200, 4),
                    strict=True,
                )
            },
            day=date + 1,
            bands={
                name: {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": 0}]}
                for name in ("red", "rededge2", "nir", "swir16")
            },
        )
        item.save_object(dest_href=str(tmp_path / "items" / f"{item.id}.json"))
    run(before + "\n".join(blocks("python sentinel2")) + check, tmp_path)


def test_the_block_of_radar(tmp_path):
    scenes = made(tmp_path)
    rng = np.random.default_rng(0)
    for date in range(2):
        db = rng.normal(-9, 1, (128, 128))
        db[:, :40] = rng.normal(-20, 1, (128, 40))
        path = scenes.write(f"vv{date}", (10 ** (db / 10)).astype("float32"))
        item = scenes.item(f"radar{date}", {"vv": path}, day=date + 1)
        item.save_object(dest_href=str(tmp_path / "items" / f"{item.id}.json"))
    before = f"import rsdat\nradar = rsdat.search({str(tmp_path / 'items')!r})\n"
    check = """
assert (same.water_class[:, :38] == 2).mean() > 0.99
frequency, classes = often.evaluate()
assert (classes[:, :38] == 2).mean() > 0.99
assert (classes[:, 42:] == 0).mean() > 0.99
"""
    run(before + "\n".join(blocks("python radar")) + check, tmp_path)


def made(place: Path) -> Scenes:
    (place / "items").mkdir()
    (place / "files").mkdir()
    return Scenes(place / "files")


def test_the_table_of_indices():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (index.name, ", ".join(index.bands), index.title, index.source)
        for index in INDICES.values()
    ]


def test_the_periods():
    (section,) = re.findall(r"^## Periods\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(\w+)`", section)
    assert len(named) == 6
    for period in named:
        check_period(period)
