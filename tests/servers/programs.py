"""Starts servers that nobody here wrote: on a free port, as an ordinary user, and gone afterwards.

Each runs in a process group of its own. A watchdog (a shell that reads from a pipe of this process)
ends the group when the tests are killed, so that nothing is left after a crash.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.ports import kept_port

SECONDS_TO_START = 60.0
WATCHDOG = """
read -r _
kill -s "$2" -- "-$1"
for _ in 1 2 3 4 5 6 7 8 9; do kill -0 -- "-$1" || break; sleep 0.2; done
kill -KILL -- "-$1"
rm -rf "$3"
"""


@dataclass(frozen=True)
class Server:
    """A running server: its address, the directory that it serves, its log."""

    url: str
    root: Path
    log: Path


def missing(what: str) -> NoReturn:
    """Skip, or fail where everything has to run."""
    if os.environ.get("CI") == "true" or os.environ.get("RSDAT_REQUIRE_CLUSTER") == "1":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def require(program: str, package: str, *places: str) -> str:
    """Path of a program; without it the test is skipped, or fails where everything has to run."""
    path = ":".join([os.environ.get("PATH", ""), "/usr/sbin", *places])
    found = shutil.which(program, path=path)
    if found is None:
        missing(f"{program} is not installed (apt-get install {package})")
    return found


def ordinary() -> dict[str, Any]:
    """Arguments for `subprocess` that leave root's rights behind: some servers refuse them."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def workplace(name: str) -> Iterator[Path]:
    """A directory for a server, which the ordinary user may enter and write.

    Not below pytest's own directory, which is closed to others, and short, as sockets need it.
    """
    with tempfile.TemporaryDirectory(prefix=f"rs-{name}-", ignore_cleanup_errors=True) as directory:
        place = give(Path(directory))
        (place / "log").touch()
        give(place / "log")
        yield place


def give(path: Path) -> Path:
    """Let the ordinary user own a file or directory."""
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return path


@contextmanager
def running(
    argv: Callable[[int], list[str]],
    place: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
    own_rights: bool = False,
) -> Iterator[int]:
    """A server in a process group of its own, at a `workplace`; yields the port of its choice.

    Its output goes to the file ``log`` there. With ``own_rights`` it keeps the user of the tests,
    who alone may reach a Python in a home.
    """
    log = place / "log"
    user = {} if own_rights else ordinary()
    with kept_port() as kept, contextlib.ExitStack() as stack:
        port: int = kept.getsockname()[1]
        words = argv(port)
        process = _start(words, log, environment, user)
        stack.callback(_stop, process, _watch(process.pid, stop, place), stop)
        if not _listens(process, port):
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{words[0]} did not start:\n{tail}")
        yield port


def _start(
    argv: list[str], log: Path, environment: Mapping[str, str] | None, user: dict[str, Any]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=log.parent,
            env={**os.environ, "HOME": str(log.parent), **(environment or {})},
            start_new_session=True,
            **user,
        )


def _watch(group: int, stop: signal.Signals, place: Path) -> subprocess.Popen[bytes]:
    words = [str(group), stop.name.removeprefix("SIG"), str(place)]
    argv = ["/bin/sh", "-c", WATCHDOG, "watchdog", *words]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None
        time.sleep(0.02)
    return False


def _stop(
    process: subprocess.Popen[bytes], watchdog: subprocess.Popen[bytes], stop: signal.Signals
) -> None:
    watchdog.kill()
    watchdog.communicate()
    if process.poll() is None:
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
