"""docs/catalogs.md: its blocks run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Its programs run one after the other: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)

PAGE = (Path(__file__).parents[2] / "docs" / "catalogs.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RSDAT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    where = {"env": {**kept, "HOME": str(tmp_path), "PATH": path}, "cwd": tmp_path}
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")], capture_output=True, text=True, **where
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "3"
    script = ["sh", "-e", "-c", blocks("sh")]
    done = subprocess.run(script, capture_output=True, text=True, **where)
    assert done.returncode == 0, done.stderr
    assert "0 problems" in done.stdout
    for name in ("scenes.png", "scenes/catalog.parquet", "own-catalog/catalog.json"):
        assert (tmp_path / name).stat().st_size > 0
