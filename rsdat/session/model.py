"""Sessions as values: where one lies, and what its directory and the queue say of it together."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rsdat.cluster.workers import is_worker_job
from rsdat.config.models import Site
from rsdat.host.base import Completed
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobQueue, JobState, JobStatus
from rsdat.session.identity import job_name, session_of_job, session_of_worker
from rsdat.session.remote import Listing, Record


@dataclass(frozen=True)
class Session:
    """A session: its site, its id, its directory on the site, and its head job."""

    site: Site
    id: str
    directory: str
    job: str


#: Seconds that a submission may take; until then a session has no job yet.
SUBMISSION = 120


class State(StrEnum):
    """What a person wants to know of a session in one word."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """The queue does not answer; nothing can be said of the job."""

    @property
    def live(self) -> bool:
        """Whether the session may still be of use."""
        return self is not State.ENDED


@dataclass(frozen=True)
class Overview:
    """A session with its state, its files and its head and worker jobs."""

    session: Session
    state: State
    record: Record
    head: JobStatus | None
    workers: tuple[JobStatus, ...]
    age: float
    """Seconds since the launch."""

    @property
    def why(self) -> str:
        """Why it is not ready, in a few words; empty when it is."""
        left = sum(not worker.state.over for worker in self.workers)
        if self.state is State.ENDING and left and (self.head is None or self.head.state.over):
            return f"its head job is over; {left} worker job{'s are' if left > 1 else ' is'} left"
        if self.record.end and self.state in (State.ENDED, State.ENDING):
            return str(self.record.end.get("message", ""))
        if self.state is State.ENDED:
            if self.head is not None:
                return f"the head job {self.session.job} is {self.head.state}"
            return f"the queue no longer knows the head job {self.session.job}"
        if self.state is State.WAITING and self.head is None:
            return "it is being submitted"
        if self.head is not None and self.head.state is JobState.PENDING and self.head.reason:
            return queue_named(self.session.site.queue).explain(self.head.reason)
        return ""


def state_of(
    record: Record,
    head: JobStatus | None,
    *,
    queue_answers: bool,
    age: float = math.inf,
    workers_left: bool = False,
) -> State:
    """Decide a session's state from its files and its jobs.

    A job that is absent from a queue that answers has ended; one whose queue does not answer is
    unknown, whatever the files say, but for a file that says it has ended. A session without a
    head ends for as long as the queue has worker jobs of it.

    Parameters
    ----------
    age
        Seconds since the launch: a young session without a job is being submitted.
    """
    if workers_left and (head is None or head.state.over):
        return State.ENDING
    if head is None or head.state is JobState.UNKNOWN:
        if record.end:
            return State.ENDED
        if head is None and not record.job and age < SUBMISSION:
            return State.WAITING
        return State.ENDED if queue_answers and head is None else State.UNKNOWN
    if head.state.over:
        return State.ENDED
    if head.state is JobState.PENDING:
        return State.WAITING
    if record.end or head.state is JobState.ENDING:
        return State.ENDING
    return State.READY if record.ready else State.STARTING


def overviews(listing: Listing, site: Site, queue: JobQueue) -> list[Overview]:
    """Put a listing of session directories and the queue's answer together, newest first."""
    said = Completed((), listing.queue_status, listing.queue_text, listing.queue_text)
    answers = queue.answered(said)
    jobs = queue.parse_status(listing.queue_text) if answers else {}
    own = [record for record in listing.records if _belongs(record, listing, site)]
    records = [*own, *_orphans(listing, jobs)]
    found = [_overview(record, site, queue, jobs, answers) for record in records]
    return sorted(found, key=lambda one: one.age)


def _belongs(record: Record, listing: Listing, site: Site) -> bool:
    """Whether this site's queue can say anything of a session.

    One home may hold sessions of several: of the cluster, of its login hosts, of workstations.
    Asked about a job of another one, a queue would say that it has ended.
    """
    if record.request.get("queue", site.queue) != site.queue:
        return False
    elsewhere = record.node and listing.host and record.node != listing.host
    return not (site.queue == "local" and elsewhere)


def _orphans(listing: Listing, jobs: Mapping[str, JobStatus]) -> list[Record]:
    """Sessions of which the queue still knows jobs but whose directory was deleted."""
    heads: dict[str, str] = {}
    for job in jobs.values():
        head, worker = session_of_job(job.name), session_of_worker(job.name)
        if head and not job.state.over:
            heads[head] = job.id
        elif worker and not job.state.over:
            heads.setdefault(worker, "")
    known = {record.id for record in listing.records}
    return [
        Record(one, f"{listing.root}/sessions/{one}", job, {"name": one.rpartition("-")[0]})
        for one, job in heads.items()
        if one not in known
    ]


def _overview(
    record: Record, site: Site, queue: JobQueue, jobs: Mapping[str, JobStatus], answers: bool
) -> Overview:
    name = job_name(record.id)
    job = queue.parse_submit(record.job) if record.job else ""
    # The job file is missing when the connection or the disk failed right after the submission:
    # the name finds the job all the same.
    head = jobs.get(job) or next((one for one in jobs.values() if one.name == name), None)
    workers = tuple(one for one in jobs.values() if is_worker_job(record.id, one.name))
    age = max(0.0, time.time() - float(record.request.get("created", 0)))
    left = any(not worker.state.over for worker in workers)
    return Overview(
        session=Session(site, record.id, record.directory, head.id if head else job),
        state=state_of(record, head, queue_answers=answers, age=age, workers_left=left),
        record=record,
        head=head,
        workers=workers,
        age=age,
    )
