"""The dcache:// filesystem beside dcachefs 0.2.0 and curl, at the tests' door.

The door runs as a process of its own and answers each request after ``--latency``; each figure is
the median of fresh processes that take turns::

    .venv/bin/python -m benchmarks.storage [--repeats 5] [--size 2] [--only upload files …]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.environments import CACHE, python_of

ROOT = Path(__file__).resolve().parents[1]
TASKS = Path(__file__).with_name("storage_tasks.py")
COG = 1_000_000_000
#: As the tasks write.
BLOCK = 4 << 20
#: dcachefs keeps what is written in memory until the file is closed.
MOST_IN_MEMORY = 4_000_000_000
LIBRARIES = ("rsdat", "dcachefs")


class Door:
    """A running door, and its log."""

    def __init__(self, known: dict[str, Any], token_file: Path) -> None:
        self.options = {
            "api": f"{known['rest']}/api/v1",
            "webdav": known["webdav"],
            "token": known["token"],
            "token_file": str(token_file),
        }
        self._control = known["control"]

    def set(self, **options: Any) -> None:
        """Change how the door behaves."""
        body = json.dumps(options).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._control}/options", body, headers)
        urllib.request.urlopen(asked).close()

    def requests(self) -> int:
        """How many requests there were since the last time."""
        with urllib.request.urlopen(f"{self._control}/log") as answer:
            count = len(json.load(answer))
        forget = urllib.request.Request(f"{self._control}/log", method="DELETE")
        urllib.request.urlopen(forget).close()
        return count


@contextmanager
def door(place: Path, *words: str) -> Iterator[Door]:
    """A door of its own process."""
    argv = [sys.executable, "-m", "tests.dcache", "--no-md5", *words]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        known = json.loads(process.stdout.readline())
        token = place / "token"
        token.touch(mode=0o600)
        token.write_text(known["token"])
        yield Door(known, token)
    finally:
        process.terminate()
        process.wait()


def python(library: str) -> tuple[str, dict[str, str]]:
    """The interpreter of a library, and its environment."""
    if library == "rsdat":
        return sys.executable, {**os.environ, "PYTHONPATH": str(ROOT)}
    version = importlib.metadata.version("zarr")
    beside = CACHE / f"zarr-{version}-{sys.version_info[1]}"
    chosen = python_of("comparison")
    if not beside.exists():
        from uv import find_uv_bin

        argv = [find_uv_bin(), "pip", "install", "-q", "--python", str(chosen)]
        subprocess.run([*argv, "--target", str(beside), f"zarr=={version}"], check=True)
    # Behind the comparison's own packages, which are locked.
    return str(chosen), {**os.environ, "RSDAT_BENCH_BESIDE": str(beside)}


def run(task: str, library: str, at: Door, **more: Any) -> dict[str, Any]:
    """One task in a fresh process: its seconds, memory, and the door's requests."""
    interpreter, environment = python(library)
    at.requests()
    program = (
        "import os, runpy, sys; sys.path.append(os.environ.get('RSDAT_BENCH_BESIDE', '')); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    process = subprocess.Popen(
        [interpreter, "-c", program, str(TASKS), task, library],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({**at.options, **more}) + "\n")
    process.stdin.flush()
    counts = []
    answer = None
    for line in process.stdout:
        answer = json.loads(line)
        counts.append(at.requests())
        if answer == "between":
            process.stdin.write("\n")
            process.stdin.flush()
    process.stdin.close()
    if process.wait() != 0 or not isinstance(answer, dict):
        raise SystemExit(f"{task} with {library} failed")
    return {**answer, "requests": counts}


def curl(at: Door, file: Path) -> float:
    """Seconds of an upload by curl."""
    header = file.parent / "header"
    header.write_text(f"Authorization: Bearer {at.options['token']}")
    began = time.perf_counter()
    url = f"{at.options['webdav']}/up/c"
    argv = ["curl", "-sSfL", "-T", str(file), "-H", f"@{header}", "-o", os.devnull, url]
    subprocess.run(argv, check=True)
    return time.perf_counter() - began


# --- tables


def upload(place: Path, repeats: int, size: int) -> None:
    """Throughput and memory of writing one large file."""
    source = place / "source"
    size -= size % BLOCK
    with source.open("wb") as stream:
        # Holes: nothing on the way looks at what the bytes are.
        stream.truncate(size)
    subprocess.run(["cat", source], stdout=subprocess.DEVNULL, check=True)
    rows: dict[str, list[tuple[float, int]]] = {}
    with door(place, "--storage", "sink", "--no-log") as at:
        subprocess.run(
            ["curl", "-sSf", "-X", "MKCOL", "-H", f"Authorization: Bearer {at.options['token']}",
             f"{at.options['webdav']}/up/"], check=True)  # fmt: skip
        for _ in range(repeats):
            rows.setdefault("curl -T", []).append((curl(at, source), 0))
            for library in LIBRARIES:
                for task, words in (("write", 'open("wb")'), ("put", "put_file")):
                    if (library, task) == ("dcachefs", "write") and size > MOST_IN_MEMORY:
                        continue
                    done = run(task, library, at, size=size, file=str(source))
                    found = rows.setdefault(f"{library} {words}", [])
                    found.append((done["seconds"][task], done["peak"]))
    source.unlink()
    print(
        f"\n### Upload of {size / 1e9:.1f} GB\n\n| | GB/s | of curl | peak MB |\n|---|--:|--:|--:|"
    )
    base = statistics.median(one for one, _ in rows["curl -T"])
    for name, found in rows.items():
        took = statistics.median(one for one, _ in found)
        peak = statistics.median(one for _, one in found)
        memory = f"{peak / 1e6:.0f}" if peak else ""
        print(f"| {name} | {size / took / 1e9:.2f} | {base / took:.2f} | {memory} |")


def compared(
    title: str, task: str, place: Path, repeats: int, words: tuple[str, ...], **more: Any
) -> None:
    """A table of seconds and requests of a task with both libraries."""
    found: dict[str, list[dict[str, Any]]] = {library: [] for library in LIBRARIES}
    for _ in range(repeats):
        for library in LIBRARIES:
            with door(place, *words) as at:
                lasting = more.get("lasting_addresses", True)
                at.set(lasting_addresses=lasting, put_makes_parents=True)
                found[library].append(run(task, library, at, **more))
    print(f"\n### {title}\n\n| | rsdat | dcachefs | |\n|---|--:|--:|--:|")
    for name in found["rsdat"][0]["seconds"]:
        ours, theirs = (
            statistics.median(one["seconds"][name] for one in found[library])
            for library in LIBRARIES
        )
        print(f"| {name} | {ours:.3f} s | {theirs:.3f} s | {theirs / ours:.1f} × |")
    counts = [
        " + ".join(str(count) for count in found[library][0]["requests"]) for library in LIBRARIES
    ]
    print(f"| requests | {counts[0]} | {counts[1]} | |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=float, default=2.0, help="GB of the upload")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds for each request")
    names = ("upload", "files", "ranges", "zarr")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    chosen = parser.parse_args()
    late = ("--latency", str(chosen.latency))
    milliseconds = f"{chosen.latency * 1000:.0f} ms"
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        place = Path(name)
        if "upload" in chosen.only:
            upload(place, chosen.repeats, int(chosen.size * 1e9))
        if "files" in chosen.only:
            words = (*late, "--files", "1000")
            compared(f"1000 small files, {milliseconds}", "files", place, chosen.repeats, words)
        if "ranges" in chosen.only:
            words = (*late, "--storage", "sink", "--zeros", f"/cog:{COG}")
            for lasting in (True, False):
                kept = "while a transfer lives" if lasting else "for one request"
                title = f"100 random ranges of 512 kB, {milliseconds}; pools' addresses hold {kept}"
                more = {"cog": COG, "lasting_addresses": lasting}
                compared(title, "ranges", place, chosen.repeats, words, **more)
        if "zarr" in chosen.only:
            title = f"xarray and zarr, 2 × 2 chunks: write + read, {milliseconds}"
            compared(title, "zarr", place, chosen.repeats, late)


if __name__ == "__main__":
    main()
