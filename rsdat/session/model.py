"""Sessions as values: where one lies, and what its directory and the queue say of it together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rsdat.cluster.workers import is_worker_job
from rsdat.config.models import Site
from rsdat.host.base import Completed
from rsdat.jobqueue.base import JobQueue, JobState, JobStatus
from rsdat.session.identity import job_name, session_of_job
from rsdat.session.remote import Listing, Record


@dataclass(frozen=True)
class Session:
    """A session: its site, its id, its directory on the site, and its head job."""

    site: Site
    id: str
    directory: str
    job: str


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
        if self.record.end and self.state in (State.ENDED, State.ENDING):
            return str(self.record.end.get("message", ""))
        if self.state is State.ENDED:
            if self.head is not None:
                return f"the head job {self.session.job} is {self.head.state}"
            return f"the queue no longer knows the head job {self.session.job}"
        return self.head.reason if self.head and self.head.state is JobState.PENDING else ""


def state_of(record: Record, head: JobStatus | None, *, queue_answers: bool) -> State:
    """Decide a session's state from its files and its head job.

    A job that is absent from a queue that answers has ended; one whose queue does not answer is
    unknown, whatever the files say, but for a file that says it has ended.
    """
    if head is None or head.state is JobState.UNKNOWN:
        if record.end:
            return State.ENDED
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
    records = [*listing.records, *_orphans(listing, jobs)]
    found = [_overview(record, site, queue, jobs, answers) for record in records]
    return sorted(found, key=lambda one: one.age)


def _orphans(listing: Listing, jobs: Mapping[str, JobStatus]) -> list[Record]:
    """Sessions whose head job the queue still knows but whose directory was deleted."""
    known = {record.id for record in listing.records}
    identities = {session_of_job(job.name): job.id for job in jobs.values() if not job.state.over}
    return [
        Record(one, f"{listing.root}/sessions/{one}", job, {"name": one.rpartition("-")[0]})
        for one, job in identities.items()
        if one is not None and one not in known
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
    return Overview(
        session=Session(site, record.id, record.directory, head.id if head else job),
        state=state_of(record, head, queue_answers=answers),
        record=record,
        head=head,
        workers=workers,
        age=max(0.0, time.time() - float(record.request.get("created", 0))),
    )
