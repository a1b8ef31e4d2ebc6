"""The cluster of a session on this machine: Dask's LocalCluster behind the same factory."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from pathlib import PurePosixPath
from typing import Any

import distributed
from distributed.deploy.adaptive import Adaptive
from distributed.security import Security

from rsdat.cluster import dashboard
from rsdat.cluster.configuration import record_scheduler
from rsdat.cluster.layout import Layout
from rsdat.cluster.limits import check_limit, read_site, session_directory_or_current, stop_adapting
from rsdat.cluster.workers import pool_named, worker_memory
from rsdat.config.units import format_memory
from rsdat.errors import ConfigError


class _Adaptive(Adaptive):  # type: ignore[misc]
    async def scale_up(self, n: int) -> None:
        # The cluster's own scale() is for people, and ends adaptive scaling.
        distributed.LocalCluster.scale(self.cluster, n)


class LocalCluster(distributed.LocalCluster):  # type: ignore[misc]
    """The Dask cluster of a session on this machine, its workers in processes of their own.

    It starts empty: how many workers it begins with is said in the session's Dask configuration
    (:func:`rsdat.cluster.configuration.local_workers`), and they start while JupyterLab does.

    Parameters
    ----------
    session_directory
        The session's directory; absent, the session that this process runs in.
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
        pool = self.site.pools[self.first_pool]
        self._dashboard: asyncio.Task[None] | None = None
        memory = worker_memory(pool)
        directory = pool.local_directory
        super().__init__(
            name=self.layout.id,
            asynchronous=asynchronous,
            loop=loop,
            n_workers=0,
            threads_per_worker=pool.cores // pool.processes,
            memory_limit=format_memory(memory) if memory else "auto",
            local_directory=os.path.expandvars(directory) if directory else None,
            host="127.0.0.1",
            protocol="tls://",
            scheduler_kwargs=dict(dashboard.SCHEDULER_OPTIONS),
            worker_dashboard_address=None,
            security=Security(),
            silence_logs=logging.WARNING,
        )
        # The head closes its cluster in order; at interpreter exit it would be too late.
        self.shutdown_on_close = False

    @property
    def first_pool(self) -> str:
        """The pool that scaling means."""
        return next(iter(self.site.pools))

    @property
    def wanted(self) -> dict[str, int]:
        """Jobs wanted of each pool, as of :class:`~rsdat.cluster.slurm.SlurmCluster`."""
        return {self.first_pool: math.ceil(len(self.worker_spec) / self._job_size)}

    @property
    def _job_size(self) -> int:
        return self.site.pools[self.first_pool].processes

    def scale(
        self,
        n: int = 0,
        memory: str | None = None,
        cores: int | None = None,
        *,
        pool: str | None = None,
    ) -> Any:
        """Have ``n`` workers.

        Raises
        ------
        rsdat.errors.ConfigError
            When there is no such pool, or the site allows fewer workers.
        """
        if pool_named(self.site, pool) != self.first_pool:
            raise ConfigError(
                f"on this machine only the first worker pool ({self.first_pool}) can be scaled",
                hint="Use the session of a site with a job queue for other pools.",
            )
        check_limit(self.site, {self.first_pool: math.ceil(n / self._job_size)})
        stop_adapting(self)
        return super().scale(n, memory=memory, cores=cores)

    def adapt(self, *, minimum: int = 0, maximum: float = math.inf, **options: Any) -> Any:
        """Let the number of workers follow the work, between two numbers.

        Raises
        ------
        rsdat.errors.ConfigError
            When the site allows fewer workers.
        """
        most = maximum if math.isfinite(maximum) else minimum
        check_limit(self.site, {self.first_pool: math.ceil(most / self._job_size)})
        return super().adapt(Adaptive=_Adaptive, minimum=minimum, maximum=maximum, **options)

    async def _start(self) -> None:
        await super()._start()
        if self._dashboard is None:
            record_scheduler(self.layout, self.scheduler.address)
            self._dashboard = asyncio.create_task(dashboard.attach(self.scheduler))

    async def _close(self) -> None:
        if self._dashboard is not None:
            self._dashboard.cancel()
        await super()._close()
