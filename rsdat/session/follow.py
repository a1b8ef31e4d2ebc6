"""Following a session to readiness, however long the queue takes, and saying why it waits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rsdat.errors import EnvironmentMissing, HostError, RsdatError, SessionError
from rsdat.host.base import Completed, Host
from rsdat.host.diagnose import LoginRefused
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobQueue, JobState, JobStatus
from rsdat.jobqueue.status import interpret_status
from rsdat.session import remote
from rsdat.session.model import Session

#: How often in a row an answering queue must not know a job before it counts as gone.
_ABSENCES = 2


@dataclass(frozen=True)
class Progress:
    """Where a session is on its way: one line for a person."""

    text: str


@dataclass(frozen=True)
class Ready:
    """A session that has announced itself: the contents of its ready.json."""

    node: str
    socket: str | None
    tcp: tuple[str, int] | None
    base_url: str
    data: dict[str, Any]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Ready:
        """Read ready.json."""
        tcp = data.get("tcp")
        return cls(
            node=data["node"],
            socket=data.get("socket"),
            tcp=(tcp["host"], int(tcp["port"])) if tcp else None,
            base_url=data.get("base_url", "/"),
            data=data,
        )


def progress_line(status: JobStatus, queue: JobQueue, now: datetime) -> str:
    """What to tell a person who waits for this job."""
    if status.state is JobState.PENDING:
        words = queue.explain(status.reason) if status.reason else ""
        line = f"job {status.id} is waiting" + (f": {words}" if words else "")
        if status.start and status.start > now:
            line += f"; expected to start {_when(status.start, now)}"
        return line
    if status.state is JobState.RUNNING:
        return f"job {status.id} runs on {status.nodes or 'a node'}; JupyterLab is starting"
    return f"job {status.id} is {status.state}"


def _when(moment: datetime, now: datetime) -> str:
    local = moment.astimezone()
    minutes = (moment - now).total_seconds() / 60
    if minutes < 60:
        return f"in about {max(1, round(minutes))} min"
    return local.strftime("at %H:%M" if minutes < 12 * 60 else "on %a %d %b at %H:%M")


class _Watch:
    """The state of one wait: what was seen of the job so far."""

    def __init__(self, session: Session, report: Callable[[Progress], None]) -> None:
        self.session = session
        self.queue = queue_named(session.site.queue)
        self.report = report
        self.absent = 0
        self.node: str | None = None

    def queue_answer(self, event: remote.Event) -> JobStatus | None:
        """Report what the queue said; returns the job's status once it is over or forgotten."""
        answer = Completed((), event.status, event.text, event.text)
        known = interpret_status(self.queue, [self.session.job], answer)
        status = known.get(self.session.job)
        if status is not None and status.state is JobState.UNKNOWN:
            self.report(Progress("the job queue does not answer; still waiting"))
            return None
        if status is None:
            self.absent += 1
            gone = JobStatus(self.session.job, JobState.UNKNOWN)
            return gone if self.absent >= _ABSENCES else None
        self.absent = 0
        if status.state.over:
            return status
        self.report(Progress(progress_line(status, self.queue, datetime.now().astimezone())))
        return None


def follow(
    session: Session,
    host: Host,
    report: Callable[[Progress], None],
    on_node: Callable[[str], None] = lambda node: None,
    *,
    interactive: bool = True,
) -> Ready:
    """Wait until the session is ready; without a time limit, over broken connections too.

    Parameters
    ----------
    report
        Called with each thing worth telling.
    on_node
        Called with the node when the head job has started there, while JupyterLab starts.

    Raises
    ------
    SessionError
        The session ended or its job died before it was ready; says why, with the log's end.
    LoginRefused
        The connection broke, and a person has to log in again. The job goes on.
    """
    watch = _Watch(session, report)
    argv = remote.call("watch", session.directory, *watch.queue.status([session.job]))
    pause = 1.0
    while True:
        try:
            for event in remote.parse_events(host.stream(argv)):
                pause = 1.0
                outcome = _step(watch, host, event, on_node)
                if outcome is not None:
                    return outcome
            lost = "the connection ended"
        except HostError as error:
            lost = error.message
        report(Progress(f"{lost}; trying again in {pause:.0f} s (the job goes on)"))
        time.sleep(pause)
        pause = min(30.0, pause * 2)
        try:
            host.connect(interactive=interactive)
        except LoginRefused as error:
            # Never again and again: repeated refusals get an address blocked.
            raise LoginRefused(
                f"session {session.id} goes on, but cannot be watched: {error.message}",
                hint=f"rsdat connect {session.id}   comes back to it",
            ) from error
        except HostError as error:
            report(Progress(error.message))


def _step(
    watch: _Watch, host: Host, event: remote.Event, on_node: Callable[[str], None]
) -> Ready | None:
    if event.kind == "node":
        # A watch that was begun again tells it again.
        if watch.node != event.text:
            on_node(event.text)
            watch.node = event.text
    elif event.kind == "ready":
        return Ready.from_json(event.data)
    elif event.kind == "missing":
        raise SessionError(
            f"the directory of session {watch.session.id} was deleted: {watch.session.directory}",
            hint=f"`rsdat stop {watch.session.id}` cancels the job if it still runs.",
        )
    elif event.kind == "end":
        raise died(watch.session, host, str(event.data.get("message", "it ended")))
    elif event.kind == "queue":
        over = watch.queue_answer(event)
        if over is not None:
            words = (
                f"its job {over.id} is {over.state}"
                if over.state.over
                else f"the queue no longer knows its job {over.id}"
            )
            raise died(watch.session, host, words)
    return None


def died(session: Session, host: Host, words: str) -> RsdatError:
    """The error for a session that ended before it was ready, with its log's end and cause."""
    try:
        answer = host.run(["tail", "-n", "25", f"{session.directory}/job.log"], check=False)
        log = answer.stdout.rstrip()
    except (HostError, TimeoutError):
        log = ""
    cause = likely_cause(log, session.site.name)
    tail = f"\nThe end of its log:\n{_indent(log)}" if log else ""
    kind = EnvironmentMissing if cause and "env install" in cause else SessionError
    return kind(
        f"session {session.id} ended before it was ready: {words}{tail}",
        hint=cause or f"rsdat logs {session.id}",
    )


_CAUSES = (
    (
        r"No module named '?(rsdat|jupyterlab|distributed|dask)|(python\S*): (command )?not found"
        r"|(python\S*): No such file or directory",
        "The Python environment is missing or incomplete: rsdat env install {site}",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "The disk or the quota is full: free some space in your home on {site}.",
    ),
    (
        r"oom[-_ ]kill|Out Of Memory|MemoryError|Exceeded job memory limit",
        "The head job ran out of memory: launch with --memory 8GiB, say.",
    ),
    (r"DUE TO TIME LIMIT", "The walltime ended: launch with a longer --walltime."),
    (
        r"module: (command )?not found|Lmod has detected|Unable to locate a modulefile",
        "A line of the site's prologue fails: rsdat site show {site}",
    ),
    (
        r"(apptainer|singularity): (command )?not found|could not open image",
        "The container cannot be started: check `environment.container` of site {site}.",
    ),
)


def likely_cause(log: str, site: str) -> str | None:
    """The next step for a head job that died with this log; None when nothing known is in it."""
    for pattern, advice in _CAUSES:
        if re.search(pattern, log, re.IGNORECASE):
            return advice.format(site=site)
    return None


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
