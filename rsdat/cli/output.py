"""What the commands print: one line of error with its next step, JSON for scripts, small tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rsdat.errors import RsdatError


def report_error(error: RsdatError) -> None:
    """Print an error to stderr; as a JSON object where the caller asked for ``--json``."""
    if "--json" in sys.argv:
        body = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        print(json.dumps(body), file=sys.stderr)
        return
    print(f"rsdat: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  → {error.hint}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a value as one JSON document on stdout."""
    json.dump(value, sys.stdout, indent=2, default=str)
    print()


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, columns as wide as their widest cell; plain text, greppable."""
    table = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
