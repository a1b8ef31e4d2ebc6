"""Stopping: cancel a session's head and worker jobs, and see that they are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from rsdat.cluster.workers import is_worker_job
from rsdat.errors import QueueError
from rsdat.host.base import Host
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobState
from rsdat.session.browser import forget_page
from rsdat.session.follow import Progress
from rsdat.session.identity import job_name
from rsdat.session.model import Overview, Session
from rsdat.session.tunnel import stop_tunnel


def jobs_of(session: Session, host: Host) -> list[str]:
    """Ids of the session's jobs that the queue still knows as not over: head and workers.

    Raises
    ------
    QueueError
        The queue does not answer.
    """
    queue = queue_named(session.site.queue)
    name = job_name(session.id)
    answer = host.run(queue.status_by_name(name), check=False)
    if not queue.answered(answer):
        raise QueueError(
            f"the job queue of {session.site.name} does not answer: {answer.stderr.strip()}",
            hint=f"Nothing is lost; run `rsdat stop {session.id}` again in a while.",
        )
    return [
        job.id
        for job in queue.parse_status(answer.stdout).values()
        if not job.state.over
        and job.state is not JobState.UNKNOWN
        and (job.name == name or is_worker_job(session.id, job.name) or job.id == session.job)
    ]


def stop(
    overview: Overview, host: Host, report: Callable[[Progress], None], *, patience: float = 120
) -> list[str]:
    """Cancel all jobs of a session and wait until the queue no longer runs any of them.

    Returns
    -------
    list of str
        The ids of the jobs that were cancelled.

    Raises
    ------
    QueueError
        Jobs are still there after ``patience`` seconds, or the queue does not answer.
    """
    session = overview.session
    cancelled: list[str] = []
    deadline = time.monotonic() + patience
    pause = 0.2
    left = jobs_of(session, host)
    while left:
        try:
            _cancel([job for job in left if job not in cancelled], session, host)
            cancelled += [job for job in left if job not in cancelled]
            report(
                Progress(
                    f"waiting for {len(left)} job{'s' * (len(left) > 1)} of {session.id} to end"
                )
            )
            time.sleep(pause)
            left = jobs_of(session, host)
        except QueueError as error:
            # A controller that was away for a moment is no reason to leave the work half done.
            if time.monotonic() > deadline:
                raise
            report(Progress(f"{error.message}; trying again"))
            time.sleep(pause)
        else:
            if left and time.monotonic() > deadline:
                raise QueueError(
                    f"jobs {', '.join(left)} of session {session.id} are still there after "
                    f"{patience:.0f} s",
                    hint=f"rsdat stop {session.id}",
                )
        pause = min(5.0, pause * 1.5)
    stop_tunnel(session.id)
    forget_page(session.id)
    _note_end(overview, host)
    return cancelled


def _cancel(jobs: list[str], session: Session, host: Host) -> None:
    """Cancel jobs that were not cancelled before: the head may submit workers to the last."""
    if not jobs:
        return
    answer = host.run(queue_named(session.site.queue).cancel(jobs), check=False)
    if answer.returncode:
        raise QueueError(
            f"the job queue of {session.site.name} did not cancel jobs {', '.join(jobs)} of "
            f"session {session.id}: {answer.stderr.strip() or f'status {answer.returncode}'}",
            hint=f"rsdat stop {session.id}",
        )


def _note_end(overview: Overview, host: Host) -> None:
    """Leave word in the session directory where the head could not (it was never running)."""
    path = f"{overview.session.directory}/end.json"
    test = ["test", "-e", path, "-o", "!", "-d", overview.session.directory]
    if host.run(test, check=False).returncode == 0:
        return
    body = {"reason": "stopped", "message": "stopped on request", "time": time.time()}
    host.put(json.dumps(body).encode(), path)
