"""docs/chain.md: its blocks run, its tables name what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rsdat.raster.chains import Chain
from rsdat.raster.kernels import METHODS, check_method

# Its programs run one after the other: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)

PAGE = (Path(__file__).parents[2] / "docs" / "chain.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_the_blocks(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RSDAT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environment = {**kept, "HOME": str(tmp_path), "PATH": path}
    check = """
block = soft.geobox[300:400, 300:420]
whole = soft.evaluate(soft.geobox[200:500, 200:520])
np.testing.assert_array_equal(soft.evaluate(block), whole[..., 100:200, 100:220])
assert cube.sizes == {"time": 3, "band": 2, "y": 1024, "x": 1024}
np.testing.assert_array_equal(cube[..., :256, :256].values, array)
assert fields.sizes["place"] == 2
assert not written.skipped
"""
    program = "\n".join(blocks("python")) + check
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "rsdat-examples" / "greenest-chain.json").exists()
    (script,) = blocks("sh")
    subprocess.run(["sh", "-e", "-c", script], env=environment, cwd=tmp_path, check=True)
    assert not (tmp_path / "greenest.tif").exists()
    assert len(list((tmp_path / "monthly").glob("*.tif"))) == 3
    assert len(list((tmp_path / "soil").glob("*.json"))) == 3
    assert (tmp_path / "ndvi.zarr").is_dir()


def test_the_table_of_steps():
    named = re.findall(r"`\.(\w+)\(", section("Steps").partition("A mask comes")[0])
    assert len(named) > 6
    assert all(callable(getattr(Chain, name)) for name in named)


def test_the_table_of_composites():
    rows = re.findall(r"^\| (`.*?) \|", section("Composites"), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    for method in named:
        check_method(method)
    assert set(METHODS) <= set(named)
