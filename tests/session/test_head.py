"""The head job's program at the edges of its life: signals early and twice, no answering queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from rsdat.cluster.layout import Layout
from rsdat.config import load_site
from rsdat.config.models import Site
from rsdat.session.head import cancel_workers, prepare


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "sessions" / "lab-bcdfg"
    directory.mkdir(parents=True, mode=0o700)
    (directory / "site.json").write_text(load_site("local").site.model_dump_json())
    # Without workers: Dask logs a traceback of its own for one that is ended while it registers.
    (directory / "request.json").write_text('{"workers": 0}')
    return directory


def head(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rsdat.session.head"],
        cwd=directory,
        env={**os.environ, "PWD": str(directory), "HOME": str(directory.parents[1])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        ended = process.poll() is not None
        assert path.exists() or not ended, process.communicate()[0]
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


@pytest.mark.parametrize("sign", ["node", "token", "dask/rsdat.yaml", "ready.json"])
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGTERM, "stopped"), (signal.SIGUSR1, "walltime")]
)
def test_a_signal_ends_it_in_order_at_every_moment_also_twice(
    directory: Path, sign: str, number: signal.Signals, reason: str
) -> None:
    process = head(directory)
    wait_for(directory / sign, process)
    process.send_signal(number)
    wait_for(directory / "end.json", process)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert json.loads((directory / "end.json").read_text())["reason"] == reason
    assert "Traceback" not in said


FINALISER = """
import os, signal, sys, time
from pathlib import PurePosixPath
from rsdat.cluster.layout import Layout
from rsdat.session import head

class Fleeting:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)

head._AGAIN = 1
head.end_on_signals(Layout(PurePosixPath(sys.argv[1])))
try:
    Fleeting()
    while True:
        time.sleep(1000)
finally:
    head.ignore_signals()
"""


def test_a_signal_in_a_finaliser_where_an_exit_is_lost_ends_it_all_the_same(
    directory: Path,
) -> None:
    argv = [sys.executable, "-c", FINALISER, directory]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((directory / "end.json").read_text())["reason"] == "stopped"


def test_a_session_that_was_stopped_while_it_waited_does_not_begin(directory: Path) -> None:
    (directory / "end.json").write_text("{}")
    process = head(directory)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "ended before its job began" in said
    assert not (directory / "node").exists()


def test_a_job_that_the_queue_puts_back_in_line_keeps_its_token(directory: Path) -> None:
    layout, site = Layout(PurePosixPath(directory)), load_site("local").site
    prepare(layout, site)
    token = (directory / "token").read_text()
    prepare(layout, site)
    assert (directory / "token").read_text() == token


SQUEUE = """#!/bin/sh
echo >>"$PLACE/asked"
if [ "$(wc -l <"$PLACE/asked")" -lt 2 ]; then
    echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
    exit 1
fi
echo "7|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg"
echo "8|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg-w1"
echo "9|COMPLETED|None|c1|2|0|0|1:00|rsdat-lab-bcdfg-w2"
echo "10|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg-hjkmn"
"""


def test_workers_are_cancelled_once_the_queue_answers_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = directory / "bin"
    programs.mkdir()
    for name, text in {
        "squeue": SQUEUE,
        "scancel": '#!/bin/sh\necho "$*" >"$PLACE/cancelled"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PLACE", str(directory))
    (directory / "workers").mkdir()
    site = Site(name="x", queue="slurm")
    cancel_workers(Layout(PurePosixPath(directory)), site)
    assert not (directory / "asked").exists()  # there never was a worker
    (directory / "workers" / "w1.sh").touch()
    cancel_workers(Layout(PurePosixPath(directory)), site)
    assert (directory / "cancelled").read_text() == "--quiet 8\n"
