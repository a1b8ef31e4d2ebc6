"""Launching: plan a session, and submit its head job in one round trip."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from rsdat import __version__
from rsdat.config.models import Head, Site
from rsdat.environment import interpreter
from rsdat.errors import EnvironmentMissing, HostError, QueueError, SessionError
from rsdat.host.base import Completed, Host
from rsdat.host.diagnose import FateUnknown, HostTimeout
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobRequest, Resources
from rsdat.session import remote
from rsdat.session.identity import job_name, new_id
from rsdat.session.model import SUBMISSION, Session


@dataclass(frozen=True)
class Plan:
    """A session that is about to be launched; nothing has happened yet."""

    site: Site
    id: str
    files: dict[str, str]
    """Name to content, for the session directory."""
    interpreter: str
    """A file that must exist on the host; empty where that cannot be told beforehand."""
    submit: tuple[str, ...]


def resources(head: Head) -> Resources:
    """What the head job asks the queue for."""
    return Resources(
        cores=head.cores,
        memory=head.memory,
        walltime=head.walltime,
        partition=head.partition,
        account=head.account,
        qos=head.qos,
        gres=head.gres,
        constraint=head.constraint,
        directives=head.directives,
    )


def head_script(site: Site, session_id: str = "NAME-xxxxx") -> str:
    """The head job's script for a site, exactly as it is submitted."""
    request = JobRequest(
        name=job_name(session_id),
        resources=resources(site.head),
        command=(*interpreter(site), "-m", "rsdat.session.head"),
        log="job.log",
        prologue=site.environment.prologue,
        warn_before=site.head.warn_before,
    )
    return queue_named(site.queue).script(request)


def plan(site: Site, name: str = "lab", *, workers: int | None = None, tcp: bool = False) -> Plan:
    """Decide everything about a launch; pure but for the random part of the id and the clock.

    Parameters
    ----------
    workers
        Scale to this many workers once the session is ready; None leaves it to the site.
    tcp
        Have the head open its TCP address at once: this site's nodes are known to refuse ssh.
    """
    limit = site.limits.workers
    if workers is not None and limit is not None and workers > limit:
        raise SessionError(
            f"{workers} workers are over the limit of site {site.name} ({limit})",
            hint=f"Ask for at most {limit} with --workers.",
        )
    session_id = new_id(name)
    request = {
        "name": name,
        "created": time.time(),
        "version": __version__,
        "queue": site.queue,
        "workers": workers,
    }
    contents = {
        "site.json": site.model_dump_json(indent=2),
        "request.json": json.dumps(request, indent=2),
        "job.sh": head_script(site, session_id),
    }
    if tcp:
        contents["tcp-wanted"] = ""
    return Plan(
        site=site,
        id=session_id,
        files=contents,
        interpreter=_checkable(site),
        submit=tuple(queue_named(site.queue).submit("job.sh")),
    )


def _checkable(site: Site) -> str:
    """The interpreter's path where the login host can tell whether it exists."""
    # A container's Python lies in the image, a bare name is found by the prologue's modules.
    path = interpreter(site)[0]
    return path if site.environment.container is None and "/" in path else ""


def submit(wanted: Plan, host: Host) -> Session:
    """Make the session directory, write its files and submit the job: one round trip.

    Raises
    ------
    QueueError
        The job was refused; the directory is gone again.
    EnvironmentMissing
        The site's interpreter is not there; nothing was submitted.
    HostError
        The host cannot be reached, or its disk is full, or the answer has not come: then it is not
        known whether the job was submitted.
    """
    argv = remote.call(
        "launch", wanted.site.directory, wanted.id, wanted.interpreter, *wanted.submit
    )
    try:
        answer = host.run(argv, input=remote.bundle(wanted.files), timeout=SUBMISSION, check=False)
        if answer.returncode:
            raise _refusal(wanted, host, answer)
        report = remote.parse_submitted(answer.stdout)
        job = queue_named(wanted.site.queue).parse_submit(report.answer)
    except (FateUnknown, HostTimeout, ValueError) as error:
        raise HostError(
            f"whether session {wanted.id} was submitted to {wanted.site.name} is not known: "
            f"{error}",
            hint=f"`rsdat ls {wanted.site.name}` tells; `rsdat stop {wanted.id}` ends it.",
        ) from error
    return Session(wanted.site, wanted.id, report.directory, job)


def _refusal(wanted: Plan, host: Host, answer: Completed) -> Exception:
    site, said = wanted.site, answer.stderr.strip()
    if answer.returncode == remote.NO_ENVIRONMENT:
        return EnvironmentMissing(
            f"site {site.name} has no Python environment: {said} is not there",
            hint=f"rsdat env install {site.name}",
        )
    if answer.returncode == remote.NO_SPACE:
        return HostError(
            f"cannot make the session directory in {site.directory} on {host.name}: {said}",
            hint="Free some space there, or set `directory` of the site to another file system.",
        )
    cause = queue_named(site.queue).refusal(said)
    return QueueError(
        f"{site.name} refused the head job: {cause or said or f'exit status {answer.returncode}'}",
        hint=f"`rsdat site render {site.name}` shows the job; `rsdat doctor {site.name}` checks "
        "partition and account.",
    )
