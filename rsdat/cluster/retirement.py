"""How workers leave without losing work: no new tasks, running ones finish, results move on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

_LOOK = 0.25


async def hand_over(scheduler: Any, addresses: Collection[str], *, patience: float) -> None:
    """Retire workers and close them.

    Parameters
    ----------
    scheduler
        The :class:`distributed.Scheduler` in this process.
    addresses
        The workers of one job.
    patience
        Seconds that their running tasks may still take; what is not done by then is computed
        again elsewhere.
    """
    addresses = list(addresses)
    others = [ws for ws in scheduler.running if ws.address not in addresses]
    if others:
        # Dask's own retiring moves results away but does not wait for what is running.
        asked = time.time()
        await scheduler.retire_workers(workers=addresses, close_workers=False, remove=False)
        deadline = asked + patience
        while time.time() < deadline and _running(scheduler, addresses, since=asked):
            await asyncio.sleep(_LOOK)
    await scheduler.retire_workers(workers=addresses, close_workers=True, remove=True)


def _running(scheduler: Any, addresses: Collection[str], *, since: float) -> bool:
    """Whether tasks run on the workers, by heartbeats later than ``since``."""
    workers = [scheduler.workers[a] for a in addresses if a in scheduler.workers]
    return any(ws.processing and (ws.last_seen <= since or ws.executing) for ws in workers)
