"""Sessions in words: the lines of ``rsdat status``, and the same as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsdat.session.model import Overview
    from rsdat.session.usage import Usage


def duration(value: timedelta | None) -> str:
    """A duration to the minute, or to the second below an hour."""
    if value is None:
        return ""
    total = int(value.total_seconds())
    hours, minutes = divmod(total // 60, 60)
    if hours >= 24:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}h {minutes:02d}min" if hours else f"{minutes}min {total % 60:02d}s"


def remaining(overview: Overview) -> timedelta | None:
    """Walltime that is left to the head job; None where the queue sets no end."""
    from rsdat.jobqueue.base import JobState

    head = overview.head
    if head is None or head.end is None or head.state is not JobState.RUNNING:
        return None
    return max(timedelta(0), head.end - datetime.now().astimezone())


def worker_jobs(overview: Overview) -> str:
    """How many worker jobs wait or run; nothing where workers are no jobs of the queue."""
    if overview.session.site.queue == "local":
        return "-"
    return str(sum(not job.state.over for job in overview.workers))


def overview_lines(overview: Overview, used: Usage, inside: dict[str, Any] | None) -> list[str]:
    """The lines of ``rsdat status``."""
    session, head, why = overview.session, overview.head, overview.why
    rows = [
        ("session", f"{session.id} on {session.site.name}"),
        ("state", f"{overview.state}" + (f": {why}" if why else "")),
        ("job", session.job + (f" on {overview.record.node}" if overview.record.node else "")),
        ("elapsed", duration(head.elapsed if head else None)),
        ("remaining", duration(remaining(overview))),
        ("workers", _workers(overview, inside)),
        ("dashboard", _dashboard(inside)),
        ("core-hours", _usage(used)),
        ("directory", session.directory),
    ]
    return [f"{key:<11} {value}" for key, value in rows if value]


def _workers(overview: Overview, inside: dict[str, Any] | None) -> str:
    from rsdat.jobqueue.base import JobState

    states = [job.state for job in overview.workers]
    if not states and inside is not None:
        return f"{len(inside.get('workers', []))} connected"
    running, pending = states.count(JobState.RUNNING), states.count(JobState.PENDING)
    text = f"{running} jobs running, {pending} pending"
    if inside is not None:
        text += f"; {len(inside.get('workers', []))} workers connected"
    return text


def _dashboard(inside: dict[str, Any] | None) -> str:
    return str(inside.get("dashboard", "")) if inside else ""


def _usage(used: Usage) -> str:
    text = f"{used.head + used.workers:.2f} (head {used.head:.2f}, workers {used.workers:.2f})"
    return text if used.complete else f"{text}, without the jobs that have ended"


def overview_json(
    overview: Overview, used: Usage | None = None, inside: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A session for scripts."""
    head, left = overview.head, remaining(overview)
    body: dict[str, Any] = {
        "session": overview.session.id,
        "site": overview.session.site.name,
        "name": overview.record.request.get("name"),
        "state": str(overview.state),
        "why": overview.why,
        "job": overview.session.job,
        "node": overview.record.node,
        "directory": overview.session.directory,
        "elapsed": head.elapsed.total_seconds() if head and head.elapsed else None,
        "remaining": left.total_seconds() if left is not None else None,
        "worker_jobs": [
            {"job": job.id, "name": job.name, "state": str(job.state)} for job in overview.workers
        ],
    }
    if used is not None:
        body["core_hours"] = {
            "head": used.head,
            "workers": used.workers,
            "complete": used.complete,
        }
    if inside is not None:
        body["cluster"] = inside
    return body
