"""docs/notebook.md and the example notebooks: their commands run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Its programs run one after the other: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notebook.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RSDAT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "HOME": str(tmp_path), "PATH": path}


def test_the_page(tmp_path, environment):
    program = "\n".join(blocks("python"))
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "rsdat-examples" / "greenest.json").exists()
    (script,) = blocks("sh")
    subprocess.run(["sh", "-e", "-c", script], env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "ndvi.tif").exists()
    assert len(list((tmp_path / "all-dates").glob("*.tif"))) == 3


@pytest.mark.parametrize("name", ["ndvi", "composite"])
def test_notebooks_are_kept_without_outputs(name):
    notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text())
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
