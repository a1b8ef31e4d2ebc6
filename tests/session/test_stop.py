"""Stopping when the queue is away for a moment, and what is left on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rsdat.config.models import Site
from rsdat.errors import QueueError
from rsdat.host.local import LocalHost
from rsdat.session.browser import forget_page
from rsdat.session.follow import Progress
from rsdat.session.model import Overview, Session, State
from rsdat.session.remote import Record
from rsdat.session.stop import stop

# Answers by turns: the file "away" holds the numbers of the questions that get none.
SQUEUE = """#!/bin/sh
echo >>"$PLACE/asked"
if grep -qx "$(wc -l <"$PLACE/asked")" "$PLACE/away"; then
    echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
    exit 1
fi
[ -e "$PLACE/cancelled" ] && exit 0
echo "7|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg"
echo "8|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg-w1"
echo "9|RUNNING|None|c1|2|0|0|1:00|rsdat-lab-bcdfg-hjkmn"
"""
SCANCEL = """#!/bin/sh
[ -e "$PLACE/refused" ] || { touch "$PLACE/refused"; echo "no controller" >&2; exit 1; }
echo "$*" >>"$PLACE/cancelled"
"""


@pytest.fixture
def place(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"squeue": SQUEUE, "scancel": SCANCEL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PLACE", str(tmp_path))
    return tmp_path


def overview(place: Path) -> Overview:
    directory = place / "session"
    directory.mkdir()
    session = Session(Site(name="x", queue="slurm"), "lab-bcdfg", str(directory), "7")
    record = Record(session.id, session.directory, job="7")
    return Overview(session, State.READY, record, None, (), age=0)


def test_a_controller_that_is_away_for_a_moment_does_not_leave_the_work_half_done(
    place: Path,
) -> None:
    (place / "away").write_text("2\n3\n")
    said: list[Progress] = []
    assert stop(overview(place), LocalHost(), said.append) == ["7", "8"]
    assert (place / "cancelled").read_text() == "--quiet 7 8\n"
    assert any("does not answer" in one.text for one in said)
    assert (place / "session" / "end.json").exists()


def test_a_controller_that_stays_away_is_told_with_the_next_step(place: Path) -> None:
    (place / "refused").touch()
    (place / "away").write_text("".join(f"{n}\n" for n in range(2, 100)))
    with pytest.raises(QueueError, match="does not answer") as error:
        stop(overview(place), LocalHost(), lambda progress: None, patience=0.5)
    assert "rsdat stop lab-bcdfg" in str(error.value.hint)
    assert not (place / "session" / "end.json").exists()


def test_the_page_that_holds_the_token_goes_with_the_session(own_places: Path) -> None:
    page = own_places / "state" / "rsdat" / "open" / "lab-bcdfg.html"
    forget_page("lab-bcdfg")
    page.parent.mkdir(mode=0o700)
    page.touch()
    forget_page("lab-bcdfg")
    assert not page.exists()


def test_an_interrupt_while_jobs_end_says_how_to_go_on(
    place: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "away").touch()
    (place / "refused").touch()
    # Cancelled, and still there: a job that takes its time.
    (place / "squeue").write_text(SQUEUE.replace('[ -e "$PLACE/cancelled" ] && exit 0', ""))
    sites = own_places / "config" / "rsdat" / "sites"
    sites.mkdir(parents=True)
    (sites / "here.yaml").write_text(f"queue: slurm\ndirectory: {place}/root\n")
    directory = place / "root" / "sessions" / "lab-bcdfg"
    directory.mkdir(parents=True)
    (directory / "request.json").write_text('{"name": "lab"}')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_places / "config"))
    process = subprocess.Popen(
        [Path(sys.executable).with_name("rsdat"), "stop", "here/lab"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "waiting for 2 jobs" in first
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rsdat stop lab-bcdfg" in said
    assert (place / "cancelled").read_text() == "--quiet 7 8\n"
