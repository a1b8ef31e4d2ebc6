"""The Dask cluster of a session: workers that hold, its security, its panel, its clients.

Names are resolved on first use: importing this package costs nothing, so that the command line
and the factory's lookup by the lab extension stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "LocalCluster": "rsdat.cluster.local",
    "SlurmCluster": "rsdat.cluster.slurm",
    "client": "rsdat.cluster.clients",
    "cluster_accepts_client": "rsdat.cluster.clients",
    "get_cluster": "rsdat.cluster.handle",
    "worker_script": "rsdat.cluster.workers",
}

__all__ = [
    "LocalCluster",
    "SlurmCluster",
    "client",
    "cluster_accepts_client",
    "get_cluster",
    "worker_script",
]

if TYPE_CHECKING:
    from rsdat.cluster.clients import client, cluster_accepts_client
    from rsdat.cluster.handle import get_cluster
    from rsdat.cluster.local import LocalCluster
    from rsdat.cluster.slurm import SlurmCluster
    from rsdat.cluster.workers import worker_script


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rsdat.cluster' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
