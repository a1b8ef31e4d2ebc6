"""Processes by pid and start time: a pid alone may belong to somebody else by now."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process of this machine, also after it has ended."""

    pid: int
    started: str
    """When it started, in the system's own words; equal for the same process only."""

    def alive(self) -> bool:
        """Whether it runs."""
        return start_of(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self, patience: float = 10) -> None:
        """Ask it to end; kill it when it has not after ``patience`` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(number)
            deadline = time.monotonic() + patience
            # It is no child of ours, so there is nothing to wait on.
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.02)


def process(pid: int) -> Process | None:
    """The process of this pid; None when there is none."""
    started = start_of(pid)
    return Process(pid, started) if started else None


def start_of(pid: int) -> str | None:
    """When the process of this pid started; None when there is none, or it has ended."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _ask_ps(pid)
    try:
        # The name, in parentheses, may hold anything; the fields after it do not.
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _ask_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
