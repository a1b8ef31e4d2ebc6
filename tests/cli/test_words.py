"""Sessions in words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rsdat.cli.words import worker_jobs
from rsdat.jobqueue.base import JobState


@pytest.mark.parametrize(("queue", "expected"), [("slurm", "2"), ("local", "-")])
def test_workers_that_are_no_jobs_are_not_counted_as_none(queue: str, expected: str) -> None:
    states = [JobState.RUNNING, JobState.PENDING, JobState.COMPLETED]
    overview = SimpleNamespace(
        session=SimpleNamespace(site=SimpleNamespace(queue=queue)),
        workers=[SimpleNamespace(state=state) for state in states],
    )
    assert worker_jobs(overview) == expected
