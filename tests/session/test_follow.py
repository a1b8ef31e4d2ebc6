"""What is said while a session is on its way, and why it died."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rsdat.config.models import Site
from rsdat.errors import SessionError
from rsdat.host.local import LocalHost
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobState, JobStatus
from rsdat.session.connect import ask_for_tcp
from rsdat.session.follow import likely_cause, progress_line
from rsdat.session.model import Session

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SLURM = queue_named("slurm")


def test_a_pending_job_is_explained_with_its_expected_start() -> None:
    status = JobStatus("7", JobState.PENDING, reason="Resources", start=NOW + timedelta(minutes=20))
    line = progress_line(status, SLURM, NOW)
    assert line.startswith("job 7 is waiting: ")
    assert SLURM.explain("Resources") in line
    assert line.endswith("expected to start in about 20 min")


def test_an_expected_start_in_the_past_is_not_told() -> None:
    status = JobStatus("7", JobState.PENDING, reason="Priority", start=NOW - timedelta(minutes=1))
    assert "expected" not in progress_line(status, SLURM, NOW)


def test_a_running_job_names_its_node() -> None:
    line = progress_line(JobStatus("7", JobState.RUNNING, nodes="c1"), SLURM, NOW)
    assert "runs on c1" in line


@pytest.mark.parametrize(
    ("log", "word"),
    [
        (
            "/bin/python: Error while finding module 'x': No module named rsdat",
            "env install spider",
        ),
        ("job.sh: line 9: /home/me/.rsdat/bin/python: No such file or directory", "env install"),
        ("OSError: [Errno 122] Disk quota exceeded", "free some space"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch", "--memory"),
        ("*** JOB 7 ON c1 CANCELLED AT 2026 DUE TO TIME LIMIT ***", "--walltime"),
        ("bash: module: command not found", "prologue"),
    ],
)
def test_the_likely_cause_of_a_dead_job_is_a_next_step(log: str, word: str) -> None:
    cause = likely_cause(log, "spider")
    assert cause is not None
    assert word in cause


def test_an_unknown_log_gives_no_guess() -> None:
    assert likely_cause("Traceback: KeyError: 3", "spider") is None


def test_a_head_that_opens_no_tcp_address_is_not_waited_for_without_end(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"node": "c1", "tcp": null}')
    session = Session(Site(name="x"), "lab-2", str(tmp_path), "7")
    with pytest.raises(SessionError, match="not opened a TCP address"):
        ask_for_tcp(session, LocalHost(), patience=0.3)
