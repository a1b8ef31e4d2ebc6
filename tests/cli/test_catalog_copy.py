"""`rsdat catalog copy` as a program: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.catalog.catalogs import item, write_catalog

RSDAT = Path(sys.executable).with_name("rsdat")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = write_catalog(tmp_path / "source", [item("a"), item("b", x=20.0)])
    for name in "ab":
        (tmp_path / "source" / "c" / name / "red.tif").write_bytes(b"x" * 1000)
    return place


def rsdat(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RSDAT_", "XDG_"))}
    return subprocess.run(
        [RSDAT, "catalog", "copy", *arguments],
        env={**environment, "HOME": str(home), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_a_look_a_copy_and_a_second_copy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    look = rsdat(tmp_path, source, target, "--dry-run")
    assert look.returncode == 0, look.stderr
    assert "to copy   2 assets of 2 items, 2.0 kB" in look.stdout
    assert not target.exists()
    done = rsdat(tmp_path, source, target, "--assets", "red")
    assert done.returncode == 0, done.stderr
    assert "copied    2 assets, 2.0 kB" in done.stdout
    again = json.loads(rsdat(tmp_path, source, target, "--json").stdout)
    assert (again["copied"], len(again["skipped"]), again["failed"]) == ([], 2, [])
    assert again["place"] == "in this process"


def test_a_part_that_fails_has_an_exit_code_of_its_own(source: Path, tmp_path: Path) -> None:
    (source.parent / "c/a/red.tif").unlink()
    done = rsdat(tmp_path, source, tmp_path / "target")
    assert done.returncode == 9
    assert "failed    1" in done.stdout
    assert "a red: " in done.stderr
    assert "the source does not exist" in done.stderr
    failed = json.loads(rsdat(tmp_path, source, tmp_path / "target", "--json").stdout)["failed"]
    assert [(one["item"], one["asset"]) for one in failed] == [("a", "red")]


def test_options_choose_items(source: Path, tmp_path: Path) -> None:
    for options in (("--ids", "b"), ("--bbox", "19,49,22,52"), ("--where", "id = 'b'")):
        done = rsdat(tmp_path, source, tmp_path / "t", "--dry-run", "--json", *options)
        found = json.loads(done.stdout)
        assert [one["item"] for one in found["copied"]] == ["b"], options


def test_nothing_found_and_wrong_words(source: Path, tmp_path: Path) -> None:
    nothing = rsdat(tmp_path, source, tmp_path / "t", "--ids", "none")
    assert (nothing.returncode, "no item of" in nothing.stderr) == (8, True)
    wrong = rsdat(tmp_path, source, tmp_path / "t", "--on-error", "stop")
    assert (wrong.returncode, "on_error 'stop'" in wrong.stderr) == (3, True)
