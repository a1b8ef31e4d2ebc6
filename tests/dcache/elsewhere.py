"""Scenarios run with a release of a library and with rsdat, each in an interpreter of its own.

What a comparison tests of both is the same: the release fails a case with what the table says, and
rsdat passes it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dcache.door import Door
from tests.servers.environments import python_of

RUNNER = Path(__file__).with_name("run_scenarios.py")


@dataclass(frozen=True)
class Case:
    """A scenario at a door that was prepared; ``fault``: what the release fails with."""

    scenario: Callable[[Any, dict[str, Any]], None]
    prepare: Callable[..., None]
    fault: str
    #: What has to be true at the door afterwards.
    after: Callable[[Door], bool] | None = None

    @property
    def name(self) -> str:
        words = self.scenario.__name__.replace("_", " ")
        return f"{words} ({self.prepare.__name__.replace('_', ' ')})"


class Elsewhere:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def outcome(self, scenario: str, options: dict[str, Any]) -> str | None:
        """The error that a scenario ended in there; None if it passed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"scenario": scenario, "options": options}), file=self._process.stdin)
        self._process.stdin.flush()
        answer: str | None = json.loads(self._process.stdout.readline())
        return answer

    def fault(self, case: Case, door: Door, options: dict[str, Any]) -> str | None:
        """What went wrong in a case, at the door or in the scenario; None if it passed."""
        error = self.outcome(case.scenario.__name__, options)
        if error is None and case.after is not None and not case.after(door):
            return f"the door does not hold what it should: {door.paths()}"
        return error


@contextmanager
def elsewhere(python: str | Path, scenarios: str, library: str, log: Path) -> Iterator[Elsewhere]:
    """Start an interpreter on a file of scenarios; its own output goes to a log."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [python, RUNNER, scenarios, library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield Elsewhere(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def compared(release: str, scenarios: str, log: Path) -> Iterator[dict[str, Elsewhere]]:
    """An interpreter with a release of PyPI, and one with rsdat, by the library's name."""
    pythons = {release: python_of("comparison"), "rsdat": sys.executable}
    with ExitStack() as stack:
        yield {
            library: stack.enter_context(elsewhere(python, scenarios, library, log / library))
            for library, python in pythons.items()
        }


def token_file(door: Door, directory: Path) -> Path:
    """A file (0600) with the door's token."""
    file = directory / "token"
    file.touch(mode=0o600)
    file.write_text(door.token)
    return file
