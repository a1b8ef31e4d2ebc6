"""Job queues as pure adapters: Slurm, and none at all."""

from __future__ import annotations

from typing import Literal

from rsdat.jobqueue.base import JobQueue


def queue_named(name: Literal["slurm", "local"]) -> JobQueue:
    """The adapter of a queue by the name that sites use.

    Raises
    ------
    rsdat.errors.ConfigError
        When there is no such queue.
    """
    if name == "slurm":
        from rsdat.jobqueue.slurm import SlurmQueue

        return SlurmQueue()
    if name == "local":
        from rsdat.jobqueue.local import LocalQueue

        return LocalQueue()
    from rsdat.errors import ConfigError

    raise ConfigError(f"queue: there is no job queue named {name!r}", hint="Use slurm or local.")
