"""Adaptive scaling that counts whole jobs and leaves the choice of jobs to the cluster.

Dask's own Adaptive names single workers to close. With several workers in a job that kills the
neighbours of an idle worker, or asks for one worker, gets two, closes one, and so on: a storm of
jobs. Here it only says how many.
"""

from __future__ import annotations

import math
from typing import Any

from distributed.deploy.adaptive import Adaptive


class JobAdaptive(Adaptive):  # type: ignore[misc]
    """Adaptive scaling of a cluster's first pool, in steps of one job.

    The cluster gives ``job_size`` (workers in one job), ``other_workers`` (connected workers of
    other pools) and ``adapt_to(n)``.
    """

    _smaller_for = 0

    async def target(self) -> int:
        """Workers that the present work would keep busy, other pools' workers deducted."""
        total: int = await super().target()
        return max(0, total - int(self.cluster.other_workers))

    async def safe_target(self) -> int:
        """The target within its limits, in whole jobs."""
        wanted: int = await super().safe_target()
        return whole_jobs(wanted, self.cluster.job_size, self.maximum)

    async def recommendations(self, target: int) -> dict[str, Any]:
        """More at once; fewer when that was the answer ``wait_count`` times in a row."""
        planned = len(self.plan)
        if target > planned:
            self._smaller_for = 0
            return {"status": "up", "n": target}
        self._smaller_for = self._smaller_for + 1 if target < planned else 0
        if self._smaller_for >= self.wait_count:
            self._smaller_for = 0
            return {"status": "down", "workers": target}
        return {"status": "same"}

    async def scale_up(self, n: int) -> None:
        """Ask for ``n`` workers."""
        self.cluster.adapt_to(n)

    async def scale_down(self, workers: int) -> None:
        """Ask for ``workers`` workers; the cluster chooses waiting jobs first, then idle ones."""
        self.cluster.adapt_to(workers)


def whole_jobs(workers: int, job_size: int, maximum: float) -> int:
    """Workers rounded up to whole jobs, but down again where that is over the maximum.

    One job is allowed under any maximum above 0: otherwise nothing would ever run.
    """
    rounded = math.ceil(workers / job_size) * job_size
    while rounded > maximum and rounded > job_size:
        rounded -= job_size
    return rounded if maximum > 0 else 0
