"""Worker jobs at the queue: the commands that a cluster runs, and what it remembers of each job."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsdat.cluster.workers import is_worker_job, jobs_prefix
from rsdat.errors import QueueError
from rsdat.host.base import Completed
from rsdat.jobqueue.base import JobQueue, JobState, JobStatus

logger = logging.getLogger(__name__)

_TIMEOUT = 60.0


@dataclass
class WorkerJob:
    """One worker job of a running cluster."""

    name: str
    """The Dask worker's name; with several processes in a job, their names' first part."""
    pool: str
    processes: int
    id: str | None = None
    """None while the queue has not told it."""
    state: JobState = JobState.PENDING
    reason: str = ""
    node: str = ""
    absent: int = 0
    """The queue's answers in a row that did not list it."""
    connected_once: bool = False
    lost_at: float | None = None
    retiring: bool = False


class Refused(QueueError):
    """The queue will not take this job, today or tomorrow."""


def submission_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The head's environment without what belongs to the head's own job.

    Slurm reads ``SLURM_*`` and ``SBATCH_*`` as options: the head's memory and tasks would become
    the workers'. ``SLURM_CONF`` says which cluster this is, and stays.
    """
    return {
        name: value
        for name, value in environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SBATCH_"))
    }


class WorkerJobs:
    """The queue's commands for the worker jobs of one session.

    Parameters
    ----------
    queue
        The site's adapter.
    session
        The session's id.
    """

    def __init__(self, queue: JobQueue, session: str) -> None:
        self.queue = queue
        self.session = session
        # A thousand at once would be a burden to the controller, one after the other to the user.
        self._slots = asyncio.Semaphore(4)

    async def submit(self, script: Path) -> str:
        """Submit a script; returns the job's id.

        Raises
        ------
        Refused
            When the queue says no.
        rsdat.errors.QueueError
            When it does not answer.
        TimeoutError
            When nobody knows whether it took the job.
        """
        async with self._slots:
            done = await self._run(self.queue.submit(str(script)))
        if done.returncode == 0:
            return self.queue.parse_submit(done.stdout)
        cause = self.queue.refusal(done.stderr)
        if cause:
            raise Refused(f"the queue refused a worker job: {cause}")
        said = done.stderr.strip()[-300:]
        raise QueueError(f"a worker job could not be submitted: {said}")

    async def status(self) -> dict[str, JobStatus] | None:
        """The session's worker jobs by name, in one call; None when the queue does not answer.

        Asked by name and not by id: a job whose submission was cut short is found as well.
        """
        try:
            done = await self._run(self.queue.status_by_name(jobs_prefix(self.session)))
        except (TimeoutError, OSError):
            return None
        if not self.queue.answered(done):
            return None
        jobs = self.queue.parse_status(done.stdout).values()
        return {job.name: job for job in jobs if is_worker_job(self.session, job.name)}

    async def cancel(self, ids: Iterable[str]) -> bool:
        """Cancel jobs; whether the queue took it."""
        wanted = list(ids)
        if not wanted:
            return True
        try:
            done = await self._run(self.queue.cancel(wanted))
        except (TimeoutError, OSError) as error:
            logger.warning("worker jobs %s could not be cancelled: %r", " ".join(wanted), error)
            return False
        if done.returncode:
            logger.warning("worker jobs could not be cancelled: %s", done.stderr.strip())
        return done.returncode == 0

    async def cancel_all(self, known: Iterable[str], *, patience: float) -> None:
        """Cancel all jobs of the session and see them end, waiting no longer than ``patience``."""
        await self.cancel(known)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        pause = 0.1
        while True:
            jobs = await self.status()
            if jobs is not None:
                left = [job for job in jobs.values() if not job.state.over]
                if not left:
                    return
                await self.cancel(j.id for j in left if j.state is not JobState.ENDING)
            if loop.time() + pause > deadline:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def _run(self, argv: list[str]) -> Completed:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=submission_environment(),
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _TIMEOUT)
        except BaseException:
            if process.returncode is None:
                process.kill()
            raise
        return Completed(
            argv=tuple(argv),
            returncode=process.returncode or 0,
            stdout=out.decode(errors="replace"),
            stderr=err.decode(errors="replace"),
        )


def observe(jobs: Iterable[WorkerJob], answer: Mapping[str, JobStatus]) -> None:
    """Enter the queue's answer (job name to status) into what is remembered of the jobs.

    A job that the queue does not list is over only when it is absent twice in a row: a loaded
    controller may not list yet what it has just taken.
    """
    by_id = {status.id: status for status in answer.values()}
    for job in jobs:
        status = by_id.get(job.id) if job.id else _of_worker(job.name, answer)
        if status is None:
            job.absent += 1
            if job.absent >= 2:
                job.state, job.reason = JobState.COMPLETED, "the queue has forgotten it"
            continue
        job.absent = 0
        job.id, job.state, job.reason, job.node = (
            status.id,
            status.state,
            status.reason,
            status.nodes,
        )


def _of_worker(worker: str, answer: Mapping[str, JobStatus]) -> JobStatus | None:
    number = worker.removeprefix("w")
    return next((s for name, s in answer.items() if name.rpartition("-w")[2] == number), None)


def job_of(worker: str) -> str:
    """The job of a Dask worker: ``w3`` and ``w3-1`` are of job ``w3``."""
    return worker.partition("-")[0]


def load_of(workers: Iterable[Any]) -> float:
    """How much a job's workers have to do and hold."""
    # Tasks first, then the bytes that would have to move.
    return float(sum(len(ws.processing) + min(ws.nbytes / 2**50, 0.5) for ws in workers))
