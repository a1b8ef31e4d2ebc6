"""What is being waited for: one line, rewritten on a terminal; a bar for tiles computed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rsdat.raster.progress import Progress, Report

#: Asked for one counter for each thing that is computed, by its name.
Counters = Callable[[str], "Report"]


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


@contextmanager
def tile_bars(quiet: bool) -> Iterator[Counters | None]:
    """A bar for each output with its tiles, throughput and time left, on stderr.

    Where that is no terminal, it is only said what an earlier run had done.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _kept_only
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles {task.fields[rate]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield lambda name: _counter(bars, name)


def _counter(bars: Any, name: str) -> Report:
    task = bars.add_task(name, total=None, rate="")
    said = _Once()

    def show(progress: Progress) -> None:
        if said.first and progress.kept:
            bars.console.print(_kept(progress), markup=False, highlight=False)
        said.first = False
        bars.update(task, completed=progress.done, total=progress.total, rate=progress.pace)

    return show


def _kept_only(name: str) -> Report:
    said = _Once()

    def show(progress: Progress) -> None:
        if said.first and progress.kept:
            print(f"{name}: {_kept(progress)}", file=sys.stderr, flush=True)
        said.first = False

    return show


class _Once:
    """Whether a counter has not been called yet."""

    first = True


def _kept(progress: Progress) -> str:
    return f"{progress.kept} of {progress.total} tiles were there from an earlier run"
