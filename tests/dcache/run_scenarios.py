"""Runs scenarios in an interpreter that has a library: ``run_scenarios.py FILE LIBRARY``.

A scenario's name and options come as a line of JSON; the answer is a line with the error that it
ended in, or null. Nothing of the tests is imported here.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any


def outcome(scenarios: dict[str, Any], library: str, name: str, options: Any) -> str | None:
    """The error that a scenario ends in, as text; None if it passes."""
    try:
        scenarios[name](scenarios["LIBRARIES"][library](options), options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    # The answers have the output to themselves, whatever a library prints.
    answers, sys.stdout = sys.stdout, sys.stderr
    scenarios = runpy.run_path(sys.argv[1])
    for line in sys.stdin:
        task = json.loads(line)
        answer = outcome(scenarios, sys.argv[2], task["scenario"], task["options"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
