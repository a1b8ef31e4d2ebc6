"""Runs a variant in a fresh process and measures it: wall, CPU and memory of the whole tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """What one process took; seconds of the work, after imports, and of the process."""

    wall: float
    cpu: float
    process: float
    peak: float
    found: dict[str, Any] = field(default_factory=dict)


class Failed(Exception):
    """The variant ended with an error; its message is the last line that it wrote."""


def run(function: str, params: dict[str, Any], timeout: float = 1800) -> Run:
    """One variant in a process of its own.

    The peak is the kernel's own mark of the process (VmHWM); where the process has children, the
    largest sum of their proportional sets (PSS), looked at every 50 ms, if that is more.
    """
    argv = [sys.executable, "-m", "benchmarks.raster.run", function, json.dumps(params)]
    child = subprocess.Popen(
        argv,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watch = _Watch(child.pid)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(child.pid, 9)
        child.communicate()
        raise Failed(f"not ready after {timeout:.0f} s") from error
    finally:
        watch.end()
    if child.returncode:
        raise Failed((err.strip().splitlines() or ["no message"])[-1][:300])
    body = json.loads(out.splitlines()[-1])
    return Run(
        wall=body["wall"],
        cpu=body["cpu"],
        process=body["process"],
        peak=max(body["peak"], watch.peak) / 1e6,
        found=body["found"],
    )


class _Watch:
    """The largest sum of memory over a process that has children, and them."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            pids = _tree(self._pid)
            if len(pids) > 1:
                self.peak = max(self.peak, sum(_proportional(pid) for pid in pids))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                continue  # it ended meanwhile
    return found


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it ended meanwhile
    return 0


def high_water() -> int:
    """Bytes of the largest resident set of this process since its program was started."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM: the benchmarks run on Linux")


def warm(paths: list[str]) -> None:
    """Read files once, so that every variant finds them in the page cache."""
    for path in paths:
        with open(path, "rb", buffering=0) as opened:
            while opened.read(1 << 24):
                pass
