"""What a worker job is: its request to the queue and its Dask program.

Pure, so that ``rsdat site render`` and the golden files show exactly what a session submits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from rsdat.cluster.addresses import is_prefix
from rsdat.cluster.layout import SESSION_VARIABLE, Layout
from rsdat.config.models import Pool, Site
from rsdat.config.units import format_memory
from rsdat.environment import interpreter
from rsdat.errors import ConfigError
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JOB_ID, JobRequest, Resources
from rsdat.jobqueue.quoting import Expand

# A worker that finds no scheduler for this long gives its cores back.
_DEATH_TIMEOUT = 60
# From the job's start to the worker's: modules, a cold shared file system, Python's imports.
_START_UP = timedelta(seconds=60)
# Moving a worker's results to others before it leaves.
_DRAIN = timedelta(seconds=120)
_MOST_STAGGER = timedelta(minutes=10)


@dataclass(frozen=True)
class Lifetime:
    """When a worker leaves by itself, before its job's walltime does it the hard way."""

    seconds: int
    stagger: int
    """Random spread to both sides, so that the workers of one scaling do not leave together."""


def lifetime(walltime: timedelta) -> Lifetime:
    """The lifetime of workers in a job of this walltime.

    The margin before the walltime's end holds the stagger, the job's start-up (the lifetime counts
    from the worker's start) and the time to hand results over; short jobs get half of their
    walltime at most as margin.
    """
    stagger = min(walltime * 0.05, _MOST_STAGGER)
    margin = min(stagger + _START_UP + _DRAIN, walltime / 2)
    return Lifetime(int((walltime - margin).total_seconds()), int(stagger.total_seconds()))


def jobs_prefix(session: str) -> str:
    """What the names of a session's worker jobs begin with; see :func:`is_worker_job`."""
    return f"rsdat-{session}-w"


def is_worker_job(session: str, name: str) -> bool:
    """Whether a job of this name is one of the session's worker jobs.

    The prefix alone does not tell: somebody may have named another session after this one's id.
    """
    return re.fullmatch(rf"{re.escape(jobs_prefix(session))}\d+", name) is not None


def job_name(session: str, worker: str) -> str:
    """The queue's name for the job of a worker."""
    return f"{jobs_prefix(session)}{worker.removeprefix('w')}"


def pool_named(site: Site, pool: str | None) -> str:
    """The name of a pool of the site; None means the first.

    Raises
    ------
    rsdat.errors.ConfigError
        When the site has no such pool.
    """
    if pool is None:
        return next(iter(site.pools))
    if pool not in site.pools:
        raise ConfigError(
            f"site {site.name} has no worker pool {pool!r}",
            hint=f"Use one of: {', '.join(site.pools)}.",
        )
    return pool


def worker_request(
    site: Site, pool: str, *, name: str, scheduler: str, session_directory: str
) -> JobRequest:
    """The request for one worker job of a pool."""
    layout = Layout(PurePosixPath(session_directory))
    wanted = site.pools[pool]
    return JobRequest(
        name=job_name(layout.id, name),
        resources=Resources(
            cores=wanted.cores,
            memory=wanted.memory,
            walltime=wanted.walltime,
            partition=wanted.partition,
            account=wanted.account,
            qos=wanted.qos,
            gres=wanted.gres,
            constraint=wanted.constraint,
            directives=wanted.directives,
        ),
        command=(*interpreter(site), *_program(site, wanted, name, scheduler)),
        # The id in the name finds the job in the accounting when the queue has forgotten it.
        log=str(layout.workers / f"{name}-{JOB_ID}.log"),
        prologue=site.environment.prologue,
        # TLS files are found through Dask's configuration: no path of a key in an argv.
        environment={"DASK_CONFIG": str(layout.dask), SESSION_VARIABLE: str(layout.directory)},
    )


def worker_script(
    site: Site,
    pool: str | None = None,
    *,
    name: str = "w1",
    scheduler: str = "tls://SCHEDULER:PORT",
    session_directory: str | None = None,
) -> str:
    """The job script of one worker job, exactly as it is submitted.

    Parameters
    ----------
    pool
        Name of the pool; None means the first.
    name
        The Dask worker's name.
    scheduler
        The scheduler's address; a placeholder unless given.
    session_directory
        The session's directory, absolute; a placeholder unless given.
    """
    request = worker_request(
        site,
        pool_named(site, pool),
        name=name,
        scheduler=scheduler,
        session_directory=session_directory or f"{site.directory}/sessions/SESSION",
    )
    return queue_named(site.queue).script(request)


def _program(site: Site, pool: Pool, name: str, scheduler: str) -> list[str]:
    words = ["-m", "distributed.cli.dask_worker", scheduler, "--name", name]
    if pool.processes > 1:
        words += ["--nworkers", str(pool.processes)]
    words += ["--nthreads", str(pool.cores // pool.processes)]
    memory = worker_memory(pool)
    if memory:
        words += ["--memory-limit", format_memory(memory)]
    if pool.local_directory:
        words += ["--local-directory", Expand(pool.local_directory)]
    # A worker's own web page would listen without authentication, and costs half a second.
    words += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    words += ["--protocol", "tls://", "--death-timeout", str(_DEATH_TIMEOUT)]
    interface = site.connection.interface
    if interface and not is_prefix(interface):
        # Of a prefix nothing needs to be said: the route to the scheduler leads over that network.
        words += ["--interface", interface]
    if pool.walltime:
        life = lifetime(pool.walltime)
        words += ["--lifetime", f"{life.seconds}s", "--lifetime-stagger", f"{life.stagger}s"]
    return words


def worker_memory(pool: Pool) -> int | None:
    """Bytes for one Dask worker; None leaves it to what the node allows."""
    return pool.worker_memory or (pool.memory // pool.processes if pool.memory else None)
