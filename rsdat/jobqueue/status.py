"""What an answer of the queue, or the lack of one, says of the jobs that were asked about."""

from __future__ import annotations

from collections.abc import Iterable

from rsdat.host.base import Completed
from rsdat.jobqueue.base import JobQueue, JobState, JobStatus


def interpret_status(
    queue: JobQueue, ids: Iterable[str], completed: Completed | None
) -> dict[str, JobStatus]:
    """The status of these jobs, from a run of :meth:`JobQueue.status` (with ``check=False``).

    Parameters
    ----------
    completed
        What the command gave; None when it gave nothing in time.

    Returns
    -------
    dict
        Every id with state UNKNOWN when the queue did not answer. When it did, an id that is
        absent is one that the queue has forgotten: it has ended, or was never there.
    """
    wanted = list(ids)
    if completed is None or not queue.answered(completed):
        return {job: JobStatus(job, JobState.UNKNOWN) for job in wanted}
    known = queue.parse_status(completed.stdout)
    return {job: known[job] for job in wanted if job in known}
