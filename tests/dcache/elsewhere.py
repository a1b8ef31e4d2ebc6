"""A process of another interpreter that runs scenarios with the library it has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).with_name("run_scenarios.py")


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
