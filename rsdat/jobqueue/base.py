"""What a job queue is: a pure adapter from requests to argv and from text to states.

An adapter never runs anything; a :class:`~rsdat.host.base.Host` does. The same adapter therefore
serves the laptop (over ssh), the login node and the inside of a job, and each parser is tested on
recorded text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rsdat.host.base import Completed

#: Stands for the job's id in the log of a :class:`JobRequest`.
JOB_ID = "{job}"


class JobState(StrEnum):
    """Where a job is in its life, the same words for every queue."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"
    """The queue did not answer. Not the same as gone."""

    @property
    def over(self) -> bool:
        """Whether the job will never run again."""
        return self in (
            JobState.COMPLETED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.TIMEOUT,
        )


@dataclass(frozen=True)
class Resources:
    """What one job asks for. ``memory`` in bytes; None leaves it to the queue."""

    cores: int = 1
    memory: int | None = None
    walltime: timedelta | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    constraint: str | None = None
    directives: tuple[str, ...] = ()
    """Further lines for the queue, as ``--exclusive`` or ``--mail-type=END``."""


@dataclass(frozen=True)
class JobRequest:
    """A job to be rendered: its name, its resources, and the program it runs.

    A leading ``~/`` in a word of ``command`` or a value of ``environment`` stands for the user's
    home where the job runs; the script expands it, because the laptop does not know that home.
    """

    name: str
    resources: Resources
    command: tuple[str, ...]
    """The program, as an argv; rendered with shell quoting."""
    log: str
    """File that takes stdout and stderr; relative to the directory of submission, or absolute.

    :data:`JOB_ID` in it stands for the job's id.
    """
    prologue: tuple[str, ...] = ()
    """Shell lines of the site's admin that prepare the environment (``module load …``)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables to export; never a secret."""
    warn_before: timedelta | None = None
    """Deliver USR1 to the program this long before the walltime ends."""


@dataclass(frozen=True)
class JobStatus:
    """What the queue says of one job."""

    id: str
    state: JobState
    name: str = ""
    reason: str = ""
    """The queue's own word (``Resources``, ``Priority``, …); see :meth:`JobQueue.explain`."""
    nodes: str = ""
    start: datetime | None = None
    """When it started, or is expected to start."""
    end: datetime | None = None
    """When its walltime ends."""
    cores: int | None = None
    elapsed: timedelta | None = None
    exit_code: int | None = None
    """Exit status of the job, where the queue tells it (128 + signal, as a shell has it)."""


class JobQueue(Protocol):
    """An adapter for one kind of job queue. All methods are pure."""

    name: str

    def script(self, request: JobRequest) -> str:
        """The job script, exactly as it is submitted."""

    def submit(self, script: str) -> list[str]:
        """Argv that submits the script at this path and prints the job's id."""

    def parse_submit(self, stdout: str) -> str:
        """The job's id. Raises :class:`~rsdat.errors.QueueError`."""

    def try_submit(self, script: str) -> list[str] | None:
        """Argv that asks whether the script would be accepted, and when it would start."""

    def parse_try(self, stderr: str) -> datetime | None:
        """When an accepted script would start, from what :meth:`try_submit` prints to stderr."""

    def status(self, ids: Sequence[str]) -> list[str]:
        """Argv that lists these jobs, all in one call."""

    def status_by_name(self, prefix: str) -> list[str]:
        """Argv that lists the user's own jobs (the caller keeps those named ``prefix…``)."""

    def parse_status(self, stdout: str) -> dict[str, JobStatus]:
        """Job id to status. A job that is absent is not listed: the queue has forgotten it."""

    def answered(self, completed: Completed) -> bool:
        """Whether the queue answered a :meth:`status` or :meth:`history` call at all."""

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Argv that cancels these jobs; jobs that are gone already are no error."""

    def history(self, ids: Sequence[str]) -> list[str] | None:
        """Argv that asks the accounting for jobs the queue has forgotten; None without one."""

    def parse_history(self, stdout: str) -> dict[str, JobStatus]:
        """As :meth:`parse_status`, from the accounting."""

    def explain(self, reason: str) -> str:
        """The queue's reason in plain words, with what the user can do about it if anything."""

    def refusal(self, stderr: str) -> str | None:
        """The cause of a refused submission in plain words; None when it is not known."""
