"""What a session's cluster looks like now, as one JSON document."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any


def describe(cluster: Any) -> dict[str, Any]:
    """The state of a :class:`SlurmCluster` or :class:`LocalCluster`, as plain values."""
    jobs = getattr(cluster, "jobs", [])
    pool_of = {job.name: job.pool for job in jobs}
    workers = [
        _worker(ws, pool_of, cluster.first_pool) for ws in cluster.scheduler.workers.values()
    ]
    return {
        "scheduler": cluster.scheduler_address,
        "dashboard_link": cluster.dashboard_link,
        "adapt": _adapt(cluster),
        "pools": _pools(cluster, Counter(worker["pool"] for worker in workers)),
        "workers": workers,
        "jobs": [_job(job) for job in jobs],
        "tasks": _tasks(cluster.scheduler),
    }


def _worker(ws: Any, pool_of: dict[str, str], first_pool: str) -> dict[str, Any]:
    return {
        "name": str(ws.name),
        "address": ws.address,
        "pool": pool_of.get(str(ws.name).partition("-")[0], first_pool),
        "threads": ws.nthreads,
        "memory_limit": ws.memory_limit,
        "memory": ws.metrics.get("memory", 0),
        "processing": len(ws.processing),
        "state": ws.status.name,
    }


def _pools(cluster: Any, running: Counter[str]) -> dict[str, dict[str, Any]]:
    troubles = getattr(cluster, "troubles", {})
    pools = {}
    for name, jobs in cluster.wanted.items():
        wanted = jobs * cluster.site.pools[name].processes
        if not hasattr(cluster, "jobs"):
            wanted = len(cluster.worker_spec)
        pools[name] = {
            "wanted": wanted,
            "running": running[name],
            "pending": max(0, wanted - running[name]),
            "problem": troubles[name].message if name in troubles else None,
        }
    return pools


def _job(job: Any) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": "ending" if job.retiring else str(job.state),
        "reason": job.reason,
        "name": job.name,
        "pool": job.pool,
        "node": job.node,
    }


def _tasks(scheduler: Any) -> dict[str, int]:
    processing = sum(len(ws.processing) for ws in scheduler.workers.values())
    waiting = len(scheduler.queued) + len(scheduler.unrunnable)
    return {"processing": processing, "waiting": waiting, "known": len(scheduler.tasks)}


def _adapt(cluster: Any) -> dict[str, int | None] | None:
    adaptive = getattr(cluster, "_adaptive", None)
    if adaptive is None or adaptive.state == "stopped":
        return None
    # JSON has no infinity.
    most = int(adaptive.maximum) if math.isfinite(adaptive.maximum) else None
    return {"minimum": adaptive.minimum, "maximum": most}
