"""docs/copying.md: its Python runs on what its commands have made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rsdat.catalog import copy_catalog, make_sample_catalog

PAGE = (Path(__file__).parents[2] / "docs" / "copying.md").read_text()


def test_the_python(tmp_path: Path) -> None:
    source = make_sample_catalog(tmp_path / "sample", size=64)
    copy_catalog(source, tmp_path / "scenes", assets=["red"])
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    check = """
assert red.dims == ("band", "y", "x") and red.max() > 0
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RSDAT_")}
    program = "\n".join(blocks) + check
    environment = {**kept, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
