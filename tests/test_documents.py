"""The commands in the documents that run on this machine, and the demo."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import console


@pytest.fixture
def person(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a person with an empty home; their local sessions are stopped."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RSDAT_", "XDG_"))}
    environment["HOME"] = str(tmp_path / "home")
    Path(environment["HOME"]).mkdir()
    yield environment
    rsdat = Path(sys.executable).with_name("rsdat")
    subprocess.run([rsdat, "stop", "--all"], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("document", console.DOCUMENTS, ids=lambda path: path.name)
def test_commands(document: Path, person: dict[str, str], tmp_path: Path) -> None:
    for command in console.commands(document, "console"):
        console.run(command, tmp_path, person)


def test_the_demo_makes_its_images_and_a_second_run_uses_them_again(
    person: dict[str, str], tmp_path: Path
) -> None:
    demo = console.ROOT / "examples" / "demo.py"
    for again in (False, True):
        done = subprocess.run(
            [sys.executable, demo], cwd=tmp_path, env=person, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("from an earlier run" in done.stdout) is again
        assert "lab?token=" in done.stdout
    output = tmp_path / "demo-output"
    assert len(list((output / "ndvi").glob("*.tif"))) == 3
    for suffix in (".tif", ".png", ".json"):
        assert (output / "composite").with_suffix(suffix).stat().st_size > 0
