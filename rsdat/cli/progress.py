"""One line that says what is being waited for: rewritten on a terminal, appended elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Text(Protocol):
    """Anything with a line of text."""

    @property
    def text(self) -> str:
        """The line."""


class Line:
    """The progress line on stderr; silent where the output is for a script."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.terminal = sys.stderr.isatty()
        self.began = time.monotonic()
        self.shown = ""

    def __call__(self, progress: Text) -> None:
        """Show a new line of progress."""
        if self.silent or progress.text == self.shown:
            return
        self.shown = progress.text
        if self.terminal:
            seconds = time.monotonic() - self.began
            sys.stderr.write(f"\r\x1b[2K{progress.text} ({seconds:.0f} s)")
            sys.stderr.flush()
        else:
            print(progress.text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.terminal and self.shown and not self.silent:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


@contextmanager
def progress_line(*, silent: bool = False) -> Iterator[Line]:
    """A progress line that is taken away at the end, whatever happens."""
    line = Line(silent=silent)
    try:
        yield line
    finally:
        line.clear()
