"""How far a long computation is: what a progress bar shows, and one for notebooks and terminals."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from rsdat.errors import ConfigError

#: Seconds between two looks of a bar.
_PAUSE = 0.2


@dataclass(frozen=True)
class Progress:
    """Tiles done of all, and the work of this run."""

    done: int
    total: int
    bytes_done: int = 0
    """Bytes of pixels computed in this run, as they are stored without compression."""
    seconds: float = 0.0
    """Since this run began to compute."""
    kept: int = 0
    """Tiles among ``done`` that an earlier, interrupted run had computed."""

    @property
    def rate(self) -> float:
        """Megabytes of pixels a second."""
        return self.bytes_done / 1e6 / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end at this run's rate; None before its first tile."""
        computed = self.done - self.kept
        return self.seconds / computed * (self.total - self.done) if computed else None

    @property
    def pace(self) -> str:
        """Throughput and time left, in words; empty before the first tile."""
        if self.left is None:
            return ""
        minutes, seconds = divmod(round(self.left), 60)
        return f"{self.rate:.0f} MB/s, {minutes}:{seconds:02d} left"


Report = Callable[[Progress], None]


def reporter(progress: Report | bool | None, name: str) -> Report | None:
    """What is to be called after each tile: a function as it is, of ``True`` a bar.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if progress is None or isinstance(progress, bool):
        return _bar(name) if progress else None
    if not callable(progress):
        raise ConfigError(
            f"progress {progress!r} is no function", hint="give True for a bar, or a function"
        )
    return progress


def _bar(name: str) -> Report:
    """A bar in the notebook, or a line on the terminal; elsewhere nothing is shown."""
    draw = _cell() or _line
    shown = 0.0

    def report(progress: Progress) -> None:
        nonlocal shown
        now, ended = time.monotonic(), progress.done == progress.total
        if ended or now - shown >= _PAUSE:
            shown = now
            draw(name, progress)

    return report


def _words(progress: Progress) -> str:
    pace = f", {progress.pace}" if progress.pace and progress.done < progress.total else ""
    kept = f", {progress.kept} of them from an earlier run" if progress.kept else ""
    return f"{progress.done} of {progress.total} tiles{kept}{pace}"


def _line(name: str, progress: Progress) -> None:
    if sys.stderr.isatty():
        end = "\n" if progress.done == progress.total else ""
        sys.stderr.write(f"\r\x1b[2K{name}: {_words(progress)}{end}")
        sys.stderr.flush()


def _cell() -> Callable[[str, Progress], None] | None:
    """What draws into the notebook's cell; None outside of a notebook."""
    shell: Any = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    if not getattr(shell, "kernel", None):
        return None
    # Untyped, and there wherever a kernel is.
    ipython: Any = importlib.import_module("IPython.display")
    handle = ipython.display(ipython.HTML(""), display_id=True)

    def draw(name: str, progress: Progress) -> None:
        bar = f'<progress value="{progress.done}" max="{progress.total}"></progress>'
        handle.update(ipython.HTML(f"<div>{bar} {escape(name)}: {_words(progress)}</div>"))

    return draw
