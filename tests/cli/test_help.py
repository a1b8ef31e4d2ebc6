"""The help texts: every command and option explained, nothing cut off at 80 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer

from rsdat import __version__
from rsdat.cli import app as program

RSDAT = [sys.executable, "-c", "from rsdat.cli import main; main()"]


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


@pytest.fixture(scope="module")
def root() -> click.Command:
    program._register()
    return typer.main.get_command(program.app)


def shown(root: click.Command, path: tuple[str, ...]) -> str:
    context = click.Context(root, info_name="rsdat", terminal_width=78)
    command = root
    for name in path:
        command = command.commands[name]
        context = click.Context(command, parent=context, info_name=name)
    return command.get_help(context)


def test_summaries_are_not_cut_off_and_names_are_bracketed_once(root) -> None:
    found = list(commands(root))
    assert len(found) > 20
    for path in found:
        text = shown(root, path)
        assert "..." not in text.replace("]...", "").replace("}...", ""), (path, text)
        assert "[[" not in text.replace("[[USER@]HOST]", "")
        assert "{[" not in text


def test_every_parameter_has_a_help_text(root) -> None:
    for path in commands(root):
        command = root
        for name in path:
            command = command.commands[name]
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)


@pytest.mark.parametrize("words", [["-h"], ["run", "ndvi", "-h"], ["--version"], ["version"]])
def test_what_people_type_first(words: list[str]) -> None:
    done = subprocess.run([*RSDAT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"Usage: " if "-h" in words else rf"rsdat {re.escape(__version__)}", done.stdout
    )
