"""The queue's commands of a cluster, run against programs named like the real ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rsdat.cluster.jobs import Refused, WorkerJobs
from rsdat.errors import QueueError
from rsdat.jobqueue import queue_named


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program of the queue into PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, body: str) -> None:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    return make


def jobs() -> WorkerJobs:
    return WorkerJobs(queue_named("slurm"), "s-1")


def test_a_queue_that_does_not_answer_says_nothing_of_jobs(program) -> None:
    program(
        "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    assert asyncio.run(jobs().status()) is None


def test_a_queue_that_is_not_there_says_nothing_of_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asyncio.run(jobs().status()) is None
    assert asyncio.run(jobs().cancel(["1"])) is False


def test_jobs_of_other_sessions_are_not_ours(program) -> None:
    program(
        "squeue",
        "echo '7|RUNNING|None|c1|1|0|0|1:00|rsdat-s-1-w3'\n"
        "echo '8|RUNNING|None|c1|1|0|0|1:00|rsdat-s-10-w3'\n"
        "echo '9|RUNNING|None|c1|1|0|0|1:00|rsdat-s-1'",
    )
    answer = asyncio.run(jobs().status())
    assert answer is not None
    assert [(name, job.id) for name, job in answer.items()] == [("rsdat-s-1-w3", "7")]


def test_a_refusal_is_told_from_a_controller_that_does_not_answer(program, tmp_path: Path) -> None:
    said = "Batch job submission failed: Invalid account or account/partition combination specified"
    program("sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    with pytest.raises(Refused):
        asyncio.run(jobs().submit(tmp_path / "w1.sh"))
    program("sbatch", "echo 'sbatch: error: Something new' >&2; exit 1")
    with pytest.raises(QueueError, match="Something new") as caught:
        asyncio.run(jobs().submit(tmp_path / "w1.sh"))
    assert not isinstance(caught.value, Refused)


def test_the_queues_options_of_the_head_are_not_inherited(
    program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    program("sbatch", f"env > {tmp_path}/environment; echo 12")
    assert asyncio.run(jobs().submit(tmp_path / "w1.sh")) == "12"
    seen = (tmp_path / "environment").read_text()
    assert "SLURM_CONF=/etc/other.conf" in seen
    assert "SLURM_JOB_ID" not in seen


def test_cancelling_all_waits_until_the_queue_lists_none(program, tmp_path: Path) -> None:
    program("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    program(
        "squeue",
        f"""
        n=$(cat {tmp_path}/asked 2>/dev/null || echo 0)
        echo $((n + 1)) > {tmp_path}/asked
        [ "$n" -ge 2 ] || echo '8|RUNNING|None|c1|1|0|0|1:00|rsdat-s-1-w9'
        """,
    )
    asyncio.run(jobs().cancel_all(["7"], patience=30))
    # Number 8 was not known to the cluster: found by its name.
    assert (tmp_path / "cancelled").read_text().split() == ["--quiet", "7", *["--quiet", "8"] * 2]
