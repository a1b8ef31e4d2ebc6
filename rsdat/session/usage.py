"""What a session has used so far: core-hours of its head and worker jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rsdat.errors import HostError
from rsdat.host.base import Host
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobStatus
from rsdat.session.model import Overview


@dataclass(frozen=True)
class Usage:
    """Core-hours (allocated cores × elapsed time)."""

    head: float
    workers: float
    complete: bool
    """Whether jobs that have ended are counted: it takes an accounting that answers."""


def core_hours(jobs: Iterable[JobStatus]) -> float:
    """Sum of cores × elapsed hours over jobs; jobs that have not started count nothing."""
    return sum(
        (job.cores or 1) * job.elapsed.total_seconds() / 3600
        for job in jobs
        if job.elapsed is not None
    )


def worker_jobs(log_names: Iterable[str]) -> list[str]:
    """Ids of all worker jobs that ever ran, from the names of their logs (``w3-JOBID.log``)."""
    found = (re.fullmatch(r"w\d+-(\d+)\.log", name) for name in log_names)
    return [match[1] for match in found if match]


def usage(overview: Overview, host: Host) -> Usage:
    """Ask the accounting for what the queue has forgotten, and add up."""
    queue = queue_named(overview.session.site.queue)
    known = {job.id: job for job in overview.workers}
    if overview.head is not None:
        known[overview.head.id] = overview.head
    ever = [overview.session.job, *worker_jobs(overview.record.worker_logs)]
    ended = [job for job in ever if job and job not in known]
    complete = not ended
    argv = queue.history(ended) if ended else None
    if argv is not None:
        try:
            answer = host.run(argv, timeout=10, check=False)
        except (HostError, TimeoutError):
            answer = None
        if answer is not None and answer.returncode == 0:
            known.update(queue.parse_history(answer.stdout))
            complete = True
    head = known.pop(overview.session.job, None)
    return Usage(
        head=core_hours([head] if head else []),
        workers=core_hours(known.values()),
        complete=complete,
    )
