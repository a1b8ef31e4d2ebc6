"""What to do with a cluster's worker jobs: a pure decision on what is wanted and what is known.

A cluster that holds is one that compares, again and again, the jobs it wants with the jobs that
live; everything that can go wrong with a job (walltime, cancelled, node lost) is then one case.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from rsdat.jobqueue.base import JobState

#: Seconds after which a job that runs, but has lost its workers, is given up.
LOST_AFTER = 60.0


@dataclass(frozen=True)
class JobView:
    """A worker job as the head sees it at one moment."""

    name: str
    pool: str
    state: JobState
    """The queue's last answer; PENDING from submission until the first one."""
    connected: int = 0
    """Dask workers of this job at the scheduler."""
    lost_for: float | None = None
    """Seconds since the last of its workers left; None while there are some, or never were."""
    retiring: bool = False
    """On its way out on our own wish."""
    load: float = 0.0
    """How much its workers have to do and hold; the lightest leave first."""


@dataclass(frozen=True)
class Decision:
    """What to do now."""

    submit: Mapping[str, int]
    """New jobs for each pool."""
    cancel: tuple[str, ...]
    """Jobs without workers, cancelled without further ado."""
    retire: tuple[str, ...]
    """Jobs with workers, which hand their work over first."""


def decide(
    wanted: Mapping[str, int], jobs: Sequence[JobView], *, held: Container[str] = ()
) -> Decision:
    """Compare what is wanted with what lives.

    Parameters
    ----------
    wanted
        Jobs wanted of each pool; a pool that is not named is wanted no more.
    jobs
        All jobs known, oldest first.
    held
        Pools for which nothing is submitted now, because their jobs keep failing.
    """
    stuck = [job.name for job in jobs if _is_stuck(job)]
    submit: dict[str, int] = {}
    surplus: list[JobView] = []
    for pool in dict.fromkeys([*wanted, *(job.pool for job in jobs)]):
        alive = [job for job in jobs if job.pool == pool and _is_alive(job)]
        missing = wanted.get(pool, 0) - len(alive)
        if missing > 0 and pool not in held:
            submit[pool] = missing
        if missing < 0:
            newest_first = alive[::-1]
            surplus += sorted(newest_first, key=_cheapest_first)[:-missing]
    return Decision(
        submit=submit,
        cancel=(*stuck, *(job.name for job in surplus if not job.connected)),
        retire=tuple(job.name for job in surplus if job.connected),
    )


def _cheapest_first(job: JobView) -> tuple[bool, bool, float]:
    # Waiting jobs before starting ones before working ones: no work is thrown away while there
    # are jobs that have none. Among equals (the caller's order) the newest goes.
    return (job.connected > 0, job.state is not JobState.PENDING, job.load)


def _is_stuck(job: JobView) -> bool:
    gone_for = job.lost_for or 0.0
    return gone_for > LOST_AFTER and not job.retiring and not job.state.over


def _is_alive(job: JobView) -> bool:
    # The queue's "over" counts even while the scheduler still believes in the workers: of a node
    # that fell over it takes minutes to notice. UNKNOWN is alive: a controller that does not
    # answer has not ended our jobs.
    if job.retiring or job.state.over or _is_stuck(job):
        return False
    return job.connected > 0 or job.state is not JobState.ENDING


@dataclass(frozen=True)
class Trouble:
    """The recent failures of one pool."""

    failures: int = 0
    since: float = 0.0
    """Time of the last failure, on the caller's clock."""
    message: str = ""
    refused: bool = False
    """The queue will refuse the next one as well."""


#: Jobs in a row that may end before their workers connect; then the pool waits for a new scale.
MOST_FAILURES = 5
_LONGEST_PAUSE = 60.0


def pause_left(trouble: Trouble, now: float) -> float:
    """Seconds until the pool's next job may be submitted: 0 for now, infinity for not by itself.

    Without this a broken environment would have jobs submitted, and fail, as fast as the queue
    takes them.
    """
    if trouble.refused or trouble.failures >= MOST_FAILURES:
        return float("inf")
    if not trouble.failures:
        return 0.0
    return max(0.0, trouble.since + min(2.0**trouble.failures, _LONGEST_PAUSE) - now)
