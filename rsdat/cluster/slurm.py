"""The cluster of a session on Slurm: dask-jobqueue's, with jobs that hold.

dask-jobqueue submits a job once and forgets it: when its walltime ends, the worker is gone for
good. Here the number of jobs is a wish, and :mod:`rsdat.cluster.decisions` is asked again and
again what has to be done to fulfil it. From dask-jobqueue come the scheduler, its connection, the
panel's and the notebook's views.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from pathlib import Path, PurePosixPath
from typing import Any

from dask_jobqueue.slurm import SLURMCluster
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.security import Security
from distributed.utils import NoOpAwaitable

from rsdat.cluster import dashboard, decisions
from rsdat.cluster.adaptive import JobAdaptive, whole_jobs
from rsdat.cluster.addresses import internal_address
from rsdat.cluster.configuration import record_scheduler
from rsdat.cluster.jobs import Refused, WorkerJob, WorkerJobs, job_of, load_of, observe
from rsdat.cluster.layout import Layout
from rsdat.cluster.limits import check_limit, read_site, session_directory_or_current, stop_adapting
from rsdat.cluster.retirement import hand_over
from rsdat.cluster.workers import pool_named, worker_script
from rsdat.errors import QueueError
from rsdat.jobqueue import queue_named

logger = logging.getLogger(__name__)

# The queue is asked soon after something has changed, then less and less often.
_FIRST_LOOK = 1.0
_LAST_LOOK = 30.0
_DRAIN = 60.0
_CLOSE_PATIENCE = 8.0


class SlurmCluster(SLURMCluster):  # type: ignore[misc]
    """The Dask cluster of a session, its workers in Slurm jobs.

    Parameters
    ----------
    session_directory
        The session's directory, with ``site.json``, ``tls/`` and ``dask/``; absent, the session
        that this process runs in.
    """

    def __init__(
        self,
        session_directory: str | os.PathLike[str] | None = None,
        *,
        asynchronous: bool = False,
        loop: Any = None,
    ) -> None:
        self.layout = Layout(PurePosixPath(session_directory_or_current(session_directory)))
        self.site = read_site(self.layout)
        self.wanted: dict[str, int] = dict.fromkeys(self.site.pools, 0)
        self.troubles: dict[str, decisions.Trouble] = {}
        self._jobs: dict[str, WorkerJob] = {}
        self._queue = WorkerJobs(queue_named(self.site.queue), self.layout.id)
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._dashboard: asyncio.Task[None] | None = None
        self._retirements: set[asyncio.Task[None]] = set()
        self._number = 0
        super().__init__(
            name=self.layout.id,
            asynchronous=asynchronous,
            loop=loop,
            security=Security(),
            protocol="tls://",
            silence_logs=logging.WARNING,
            scheduler_options={
                "host": internal_address(self.site.connection.interface),
                "port": 0,
                **dashboard.SCHEDULER_OPTIONS,
            },
        )
        self._name = type(self).__name__
        # The head closes its cluster in order; at interpreter exit it would be too late.
        self.shutdown_on_close = False

    # ------------------------------------------------------------------ what is wanted

    @property
    def first_pool(self) -> str:
        """The pool that scaling means unless another is named."""
        return next(iter(self.site.pools))

    def scale(
        self,
        n: int | None = None,
        jobs: int = 0,
        memory: str | None = None,
        cores: int | None = None,
        *,
        pool: str | None = None,
    ) -> Any:
        """Keep ``n`` workers of a pool, whatever becomes of single jobs.

        Parameters
        ----------
        n
            Dask workers; rounded up to whole jobs.
        jobs, memory, cores
            Other ways to say how many, as in dask-jobqueue; the largest counts.
        pool
            Name of the pool; None means the first.

        Raises
        ------
        rsdat.errors.ConfigError
            When there is no such pool, or the site allows fewer workers.
        """
        pool = pool_named(self.site, pool)
        kind = self.site.pools[pool]
        if n is not None:
            jobs = max(jobs, math.ceil(n / kind.processes))
        if cores is not None:
            jobs = max(jobs, math.ceil(cores / kind.cores))
        if memory is not None:
            jobs = max(jobs, self._jobs_with(memory, pool))
        check_limit(self.site, {**self.wanted, pool: jobs})
        if pool == self.first_pool:
            stop_adapting(self)
        self._want(pool, jobs)
        return NoOpAwaitable() if self.asynchronous else None

    def adapt(self, *, minimum: int = 0, maximum: float = math.inf, **options: Any) -> Any:
        """Let the first pool follow the work, between two numbers of workers.

        Raises
        ------
        rsdat.errors.ConfigError
            When the site allows fewer workers than ``minimum`` or ``maximum``.
        """
        size = self.job_size
        others = {name: jobs for name, jobs in self.wanted.items() if name != self.first_pool}
        most = maximum if math.isfinite(maximum) else minimum
        check_limit(
            self.site, {**others, self.first_pool: whole_jobs(int(most), size, most) // size}
        )
        if not math.isfinite(maximum) and self.site.limits.workers is not None:
            maximum = self.site.limits.workers
        # What the panel held before is no wish any more: the work decides.
        self.troubles.pop(self.first_pool, None)
        return super().adapt(Adaptive=JobAdaptive, minimum=minimum, maximum=maximum, **options)

    def adapt_to(self, workers: int) -> None:
        """What :class:`~rsdat.cluster.adaptive.JobAdaptive` asks for."""
        self._want(self.first_pool, math.ceil(workers / self.job_size), keep_trouble=True)

    def _want(self, pool: str, jobs: int, *, keep_trouble: bool = False) -> None:
        self.wanted[pool] = jobs
        if not keep_trouble:
            self.troubles.pop(pool, None)
        self.loop.add_callback(self._changed.set)

    def _jobs_with(self, memory: str, pool: str) -> int:
        from rsdat.config.units import parse_memory

        each = self.site.pools[pool].memory
        return math.ceil(parse_memory(memory) / each) if each else 0

    # ------------------------------------------------------------------ what dask asks about

    @property
    def job_size(self) -> int:
        """Workers in one job of the first pool."""
        return self.site.pools[self.first_pool].processes

    @property
    def other_workers(self) -> int:
        """Connected workers of other pools than the first."""
        names = {job.name for job in self._jobs.values() if job.pool != self.first_pool}
        return sum(job_of(name) in names for name in self._connected_names())

    @property
    def worker_spec(self) -> dict[str, Any]:
        """One entry for each job wanted: what Dask's views count."""
        return {
            f"{pool}-{i}": {"group": [f"-{p}" for p in range(self.site.pools[pool].processes)]}
            for pool, jobs in self.wanted.items()
            for i in range(jobs)
        }

    @worker_spec.setter
    def worker_spec(self, value: Any) -> None:
        # SpecCluster's constructor sets an empty one; ours follows from what is wanted.
        pass

    @property
    def plan(self) -> set[str]:
        """Workers wanted of the first pool."""
        workers = self.wanted[self.first_pool] * self.job_size
        return {f"planned-{i}" for i in range(workers)}

    requested = plan

    @property
    def jobs(self) -> list[WorkerJob]:
        """The worker jobs known, oldest first."""
        return list(self._jobs.values())

    def job_script(self, pool: str | None = None) -> str:
        """The script of the next worker job."""
        return self._script(pool_named(self.site, pool), f"w{self._number + 1}")

    @property
    def _dummy_job(self) -> None:
        # dask-jobqueue renders a job of its own to check its many keywords; we have none of them.
        return None

    def _script(self, pool: str, name: str) -> str:
        return worker_script(
            self.site,
            pool,
            name=name,
            scheduler=self.scheduler.address,
            session_directory=str(self.layout.directory),
        )

    # ------------------------------------------------------------------ keeping the wish

    async def _start(self) -> None:
        await super()._start()
        if self._keeper is None:
            record_scheduler(self.layout, self.scheduler.address)
            self._keeper = asyncio.create_task(self._keep())
            self._dashboard = asyncio.create_task(dashboard.attach(self.scheduler))

    async def _keep(self) -> None:
        """Compare and correct: at once when something changed here, else by asking the queue."""
        pause = _FIRST_LOOK
        while True:
            changed = await self._change_within(pause)
            try:
                if changed:
                    pause = _FIRST_LOOK
                else:
                    pause = min(2 * pause, _LAST_LOOK)
                    await self._ask_queue()
                await self._correct_state()
            except Exception:
                logger.exception("the worker jobs could not be looked after; trying again")

    async def _change_within(self, pause: float) -> bool:
        idle = not self._jobs and not any(self.wanted.values())
        try:
            await asyncio.wait_for(self._changed.wait(), None if idle else pause)
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _ask_queue(self) -> None:
        asked = list(self._jobs.values())
        if asked:
            answer = await self._queue.status()
            if answer is not None:
                observe(asked, answer)

    async def _correct_state_internal(self) -> None:
        async with self._lock:
            self._correct_state_waiting = None
            if self.status != Status.running:
                return
            now = time.monotonic()
            self._see_workers(now)
            # Before anything is submitted: a job that failed holds its pool back.
            for job in [job for job in self._jobs.values() if job.state.over]:
                self._forget(self._jobs.pop(job.name))
            held = {p for p, t in self.troubles.items() if decisions.pause_left(t, now) > 0}
            plan = decisions.decide(self.wanted, self._views(now), held=held)
            await self._cancel([self._jobs[name] for name in plan.cancel])
            for name in plan.retire:
                self._begin_retirement(self._jobs[name])
            await asyncio.gather(
                *(self._submit(pool) for pool, n in plan.submit.items() for _ in range(n))
            )

    async def _submit(self, pool: str) -> None:
        self._number += 1
        name = f"w{self._number}"
        script = Path(self.layout.workers) / f"{name}.sh"
        script.parent.mkdir(mode=0o700, exist_ok=True)
        script.write_text(self._script(pool, name))
        job = self._jobs[name] = WorkerJob(name, pool, self.site.pools[pool].processes)
        try:
            job.id = await self._queue.submit(script)
        except TimeoutError:
            # Perhaps it was taken: the queue's next answers tell, by the job's name.
            logger.warning("the queue has not said whether it took worker job %s", name)
        except (QueueError, OSError) as error:
            del self._jobs[name]
            self._note_trouble(pool, str(error), refused=isinstance(error, Refused))

    async def _cancel(self, jobs: list[WorkerJob]) -> None:
        # A job whose id is not known yet is cancelled when the queue has told it.
        known = [job for job in jobs if job.id]
        if known and await self._queue.cancel(job.id for job in known if job.id):
            for job in known:
                self._jobs.pop(job.name, None)

    def _begin_retirement(self, job: WorkerJob) -> None:
        job.retiring = True
        task = asyncio.create_task(self._retire(job))
        self._retirements.add(task)
        task.add_done_callback(self._retirements.discard)

    async def _retire(self, job: WorkerJob) -> None:
        try:
            await hand_over(self.scheduler, self._addresses_of(job), patience=_DRAIN)
        except Exception:
            logger.exception("workers of job %s could not hand over their work", job.id)
        await self._cancel([job])
        # Where the queue did not take it, the job counts as surplus again at the next look.
        job.retiring = False

    # ------------------------------------------------------------------ what is known

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Past SpecCluster's version, which closes the job when one of its workers leaves.
        Cluster._update_worker_status(self, op, msg)
        self._see_workers(time.monotonic())
        if op == "remove":
            self._changed.set()

    def _see_workers(self, now: float) -> None:
        present = {job_of(name) for name in self._connected_names()}
        for job in self._jobs.values():
            if job.name in present:
                job.connected_once, job.lost_at = True, None
                self.troubles.pop(job.pool, None)
            elif job.connected_once and job.lost_at is None:
                job.lost_at = now

    def _connected_names(self) -> list[str]:
        return [str(ws.name) for ws in self.scheduler.workers.values()]

    def _addresses_of(self, job: WorkerJob) -> list[str]:
        workers = self.scheduler.workers.values()
        return [ws.address for ws in workers if job_of(str(ws.name)) == job.name]

    def _views(self, now: float) -> list[decisions.JobView]:
        views = []
        for job in self._jobs.values():
            workers = [self.scheduler.workers[a] for a in self._addresses_of(job)]
            views.append(
                decisions.JobView(
                    name=job.name,
                    pool=job.pool,
                    state=job.state,
                    connected=len(workers),
                    lost_for=None if job.lost_at is None else now - job.lost_at,
                    retiring=job.retiring,
                    load=load_of(workers),
                )
            )
        return views

    def _forget(self, job: WorkerJob) -> None:
        if not job.connected_once and not job.retiring:
            log = self.layout.workers / f"{job.name}-{job.id}.log"
            self._note_trouble(
                job.pool,
                f"worker job {job.id} ended ({job.state}) before its workers connected; see {log}",
            )

    def _note_trouble(self, pool: str, message: str, *, refused: bool = False) -> None:
        failures = self.troubles.get(pool, decisions.Trouble()).failures + 1
        self.troubles[pool] = decisions.Trouble(failures, time.monotonic(), message, refused)
        logger.warning("pool %s: %s", pool, message)

    # ------------------------------------------------------------------ the end

    async def _close(self) -> None:
        if self.status not in (Status.closing, Status.closed):
            stop_adapting(self)
            self.wanted = dict.fromkeys(self.wanted, 0)
            tasks = [task for task in (self._keeper, self._dashboard, *self._retirements) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._number:
                ids = [job.id for job in self._jobs.values() if job.id]
                await self._queue.cancel_all(ids, patience=_CLOSE_PATIENCE)
            self._jobs.clear()
        await super()._close()
