"""The rendered scripts do what they say when a shell runs them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobRequest, Resources

# Says what it is told, and leaves with 7 when it is told to end.
LISTENER = """
import os, signal, sys
def say(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(7)
signal.signal(signal.SIGUSR1, say)
signal.signal(signal.SIGTERM, say)
print("ready", flush=True)
while True:
    signal.pause()
"""

WARNED = timedelta(minutes=2)


def script(tmp_path: Path, *command: str, warned: bool, **further: object) -> Path:
    request = JobRequest(
        name="rsdat-test",
        resources=Resources(),
        command=command,
        log="unused.log",
        warn_before=WARNED if warned else None,
        **further,  # type: ignore[arg-type]
    )
    path = tmp_path / "job.sh"
    path.write_text(queue_named("slurm").script(request))
    return path


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    path = script(tmp_path, sys.executable, "-c", LISTENER, warned=True)
    process = subprocess.Popen(["bash", path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.stdout.close()
    process.wait()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_warning_reaches_the_program_which_goes_on(listening: subprocess.Popen[str]) -> None:
    for _ in range(3):
        listening.send_signal(signal.SIGUSR1)
        assert said(listening) == "SIGUSR1"
    assert listening.poll() is None
    listening.send_signal(signal.SIGTERM)
    assert said(listening) == "SIGTERM"
    assert listening.wait() == 7


def test_term_reaches_the_program_and_its_status_comes_back(
    listening: subprocess.Popen[str],
) -> None:
    listening.send_signal(signal.SIGTERM)
    assert said(listening) == "SIGTERM"
    assert listening.wait() == 7


@pytest.mark.parametrize("warned", [True, False])
@pytest.mark.parametrize("status", [0, 1, 127, 200])
def test_the_exit_status_is_the_programs(tmp_path: Path, warned: bool, status: int) -> None:
    path = script(tmp_path, "bash", "-c", f"exit {status}", warned=warned)
    assert subprocess.run(["bash", path], check=False).returncode == status


@pytest.mark.parametrize("warned", [True, False])
def test_a_program_that_a_signal_kills_gives_its_status(tmp_path: Path, warned: bool) -> None:
    path = script(tmp_path, "bash", "-c", "kill -KILL $$", warned=warned)
    done = subprocess.run(["bash", path], capture_output=True, check=False)
    assert done.returncode in (137, -signal.SIGKILL)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_status_is_right_when_the_program_ends_upon_the_warning(
    tmp_path: Path, shell: str
) -> None:
    """The signal that interrupts the wait is also what ends the program."""
    program = f"{LISTENER.split('print')[0]}    os._exit(9)\n" + (
        "signal.signal(signal.SIGUSR1, say)\nprint('ready', flush=True)\n"
        "while True: signal.pause()\n"
    )
    path = script(tmp_path, sys.executable, "-c", program, warned=True)
    for _ in range(5):
        with subprocess.Popen([shell, path], stdout=subprocess.PIPE, text=True) as process:
            assert said(process) == "ready"
            process.send_signal(signal.SIGUSR1)
            assert process.wait() == 9


def test_an_admins_set_e_and_set_u_do_no_harm(tmp_path: Path) -> None:
    path = script(tmp_path, "bash", "-c", "exit 4", warned=True, prologue=("set -eu",))
    assert subprocess.run(["bash", path], check=False).returncode == 4


def test_the_prologue_comes_before_the_exports_and_what_is_made_is_private(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "sh",
        "-c",
        'echo "$A" >made; umask',
        warned=False,
        prologue=("A=from-the-prologue", "export A"),
        environment={"A": "ours"},
    )
    done = subprocess.run(["bash", path], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("077")
    assert (tmp_path / "made").read_text() == "ours\n"
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
