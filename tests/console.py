"""The shell commands of our documents, found and run as a reader would type them.

A block that begins with ```` ```console ```` runs on this machine, one with
```` ```console cluster ```` needs the virtual cluster: the documents say ``spider`` there, which is
what most readers will replace, and the tests say ``virtual``. Lines after a command are what it
has to print. Blocks in other languages are not run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Command:
    """A command of a document, and the lines that the document says it prints."""

    place: str
    text: str
    expected: tuple[str, ...]


def commands(document: Path, kind: str) -> list[Command]:
    """The commands in a document's blocks of this kind: ``console`` or ``console cluster``."""
    found: list[Command] = []
    inside = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside and line[3:].strip() == kind
            continue
        if not inside:
            continue
        if line.startswith("$ "):
            found.append(Command(f"{document.name}:{number}", line[2:], ()))
        elif found and found[-1].text.endswith("\\"):
            last = found.pop()
            found.append(Command(last.place, f"{last.text}\n{line}", ()))
        elif found and line:
            last = found.pop()
            found.append(Command(last.place, last.text, (*last.expected, line)))
    return found


def run(command: Command, where: Path, environment: Mapping[str, str]) -> None:
    """Run one command; it has to succeed and print what the document says."""
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=where,
        env={**environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    said = f"{command.place}: $ {command.text}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    printed = re.sub(r"\s+", " ", done.stdout)
    for line in command.expected:
        assert re.sub(r"\s+", " ", line).strip() in printed, f"{said}\nexpected: {line}"
