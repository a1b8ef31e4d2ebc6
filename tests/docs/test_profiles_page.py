"""docs/profiles.md: its blocks run, its table is the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rsdat.raster.profile_sums import STATISTICS

# Its programs run one after the other: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)

PAGE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_blocks(tmp_path):
    check = """
assert profile.attrs == {}
assert profile.pixels.values[1] == 1 and profile.pixels.values[0] > 1000
assert clear.ndvi.count() > 0
assert list(monthly) == ["ndvi", "ndvi_std"] and monthly.ndvi.notnull().any()
assert list(table)[:5] == ["place", "time", "lon", "lat", "pixels"] and len(table)
"""
    drawn = find_spec("matplotlib") is not None
    program = "\n".join([*blocks("python"), check, *(blocks("python plot") if drawn else [])])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RSDAT_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "HOME": str(tmp_path), "MPLBACKEND": "Agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('place', 'time')"
    assert (tmp_path / "profile.csv").read_text().startswith("place,time,")
    assert (tmp_path / "profile.png").exists() == drawn


def test_the_table_of_statistics():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [(name, "ndvi" if name == "mean" else f"ndvi_{name}") for name in STATISTICS]
