"""What long commands say while they run: counted on a terminal, silent in a log or a script."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from rsdat.cli import catalog, data_cp
from rsdat.storage.transfer_listing import expand
from rsdat.storage.transfer_moving import remove
from tests.catalog.catalogs import item, write_catalog
from tests.cli.test_progress import Terminal

COMMANDS = {
    "summarise": (catalog.summarise, "3 items read"),
    "validate": (catalog.validate, "3 items checked"),
    "index": (catalog.index, "3 items indexed"),
}


@pytest.fixture
def made(tmp_path: Path) -> str:
    return str(write_catalog(tmp_path / "catalog", [item(str(day)) for day in range(3)]))


def seen(monkeypatch: pytest.MonkeyPatch, screen: Any, command: Any, *words: Any) -> str:
    monkeypatch.setattr("sys.stderr", screen)
    command(*words)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_sees_how_many_items_there_were(made, monkeypatch, capsys, name) -> None:
    command, words = COMMANDS[name]
    assert words in seen(monkeypatch, Terminal(), command, made)
    assert words not in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_log_and_a_script_see_nothing_of_it(made, monkeypatch, capsys, name) -> None:
    command, _ = COMMANDS[name]
    command(made)
    assert capsys.readouterr().err == ""
    options = {"as_json": True}
    assert seen(monkeypatch, Terminal(), lambda: command(made, **options)) == ""


def tree(top: Path) -> Path:
    """Five files, directories within directories, and links that lead out."""
    kept = top.parent / "kept"
    kept.mkdir()
    (kept / "mine").touch()
    for name in ("a", "b/c", "b/d", "b/e/f", "b/e/g"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    (top / "empty").mkdir()
    (top / "to directory").symlink_to(kept)
    (top / "b" / "dangling").symlink_to(top / "none")
    return top


def test_a_terminal_sees_how_many_files_are_removed(tmp_path, monkeypatch) -> None:
    top = tree(tmp_path / "top")
    words = seen(monkeypatch, Terminal(), data_cp.rm, [str(top)], True, True)
    assert "7 files removed" in words
    assert not top.exists()
    assert (tmp_path / "kept" / "mine").exists()


def test_files_are_counted_as_they_go(tmp_path) -> None:
    top, counts = tree(tmp_path / "top"), []
    (tmp_path / "single").touch()
    entries = [one for url in (top, tmp_path / "single") for one in expand(str(url))]
    assert remove(entries, recursive=True, progress=counts.append) == []
    assert sorted(counts) == list(range(1, 9))


def test_what_may_not_be_removed_is_told(tmp_path, monkeypatch) -> None:
    top, counts, unlink = tree(tmp_path / "top"), [], os.unlink

    def refuse(name: str, **where: Any) -> None:
        if name == "c":
            raise PermissionError(13, "Permission denied", name)
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", refuse)
    (failed,) = remove(expand(str(top)), recursive=True, progress=counts.append)
    assert "Permission denied" in failed.error.message
    assert (top / "b" / "c").exists()
    assert len(counts) < 7
