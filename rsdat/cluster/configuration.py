"""The session's Dask configuration: one YAML file that every process of the session reads.

``DASK_CONFIG`` points to its directory, in the Jupyter server, kernels, terminals and workers. It
holds paths and addresses, never a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsdat.cluster.layout import SESSION_VARIABLE, Layout
from rsdat.cluster.workers import worker_memory
from rsdat.config.models import Site

_FILE = "rsdat.yaml"

#: For workers, unless a job's environment says otherwise. Dask has glibc hand every freed array
#: back to the system, and each new one then costs a fault a page: composites took 1.35 times as
#: long. These keep arrays of up to 32 MiB (glibc's most) in the heap, and 64 MiB of it free.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}


def write_dask_config(
    layout: Layout,
    site: Site,
    *,
    workers: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Write the session's Dask configuration.

    Parameters
    ----------
    workers
        Workers to start with; None means none on a cluster, and one for each core on this machine.
    environ
        Where a ``DASK_CONFIG`` of the user's own is looked up.

    Returns
    -------
    dict
        Variables that the head process has to export before Dask is imported.
    """
    directory = Path(layout.dask)
    directory.mkdir(mode=0o700, exist_ok=True)
    _keep_users_own(directory, environ.get("DASK_CONFIG"))
    if workers is None and site.queue == "local":
        workers = local_workers(site)
    _write(directory, session_config(layout, site, workers=workers))
    return {"DASK_CONFIG": str(layout.dask), SESSION_VARIABLE: str(layout.directory)}


def session_config(layout: Layout, site: Site, *, workers: int | None) -> dict[str, Any]:
    """The content of the session's Dask configuration, without the scheduler's address."""
    pair = {"cert": str(layout.cert), "key": str(layout.key)}
    return {
        "distributed": {
            "comm": {
                "require-encryption": True,
                "tls": {
                    "ca-file": str(layout.ca),
                    "scheduler": pair,
                    "worker": dict(pair),
                    "client": dict(pair),
                },
            },
            "dashboard": {"link": f"{base_url(site)}proxy/{{port}}/status"},
            "nanny": {"pre-spawn-environ": dict(_ALLOCATOR)},
        },
        "labextension": {
            "factory": {
                "module": "rsdat.cluster",
                "class": "LocalCluster" if site.queue == "local" else "SlurmCluster",
                "args": [],
                "kwargs": {"session-directory": str(layout.directory)},
            },
            "default": {"workers": None, "adapt": None},
            "initial": [{"name": layout.id, "workers": workers}],
        },
    }


def base_url(site: Site) -> str:
    """JupyterLab's path prefix, from the site's own arguments; starts and ends with a slash."""
    prefix = ""
    for argument in site.jupyter.arguments:
        key, _, value = argument.partition("=")
        if key == "--ServerApp.base_url":
            prefix = value.strip("/")
    return f"/{prefix}/" if prefix else "/"


def local_workers(site: Site) -> int:
    """Workers that a local session starts with: one for each core, as memory allows.

    A local session costs no queue time and no core-hours, and a newcomer's first computation must
    find workers: so it starts with what the machine can carry.
    """
    pool = next(iter(site.pools.values()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = max(1, (cores or 1) // max(1, pool.cores // pool.processes))
    memory = worker_memory(pool)
    if memory:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        workers = max(1, min(workers, total // memory))
    return workers if site.limits.workers is None else min(workers, site.limits.workers)


def record_scheduler(layout: Layout, address: str) -> None:
    """Add the scheduler's address, so that a plain ``Client()`` in a new kernel connects."""
    config = read_config(layout)
    config["scheduler-address"] = address
    _write(Path(layout.dask), config)


def recorded_scheduler(layout: Layout) -> str | None:
    """The scheduler's address as it is now, not as it was when this process started."""
    address = read_config(layout).get("scheduler-address")
    return str(address) if address else None


def read_config(layout: Layout) -> dict[str, Any]:
    """The session's Dask configuration; empty when it has not been written."""
    import yaml

    try:
        text = (Path(layout.dask) / _FILE).read_text()
    except FileNotFoundError:
        return {}
    loaded = yaml.safe_load(text)
    return loaded if isinstance(loaded, dict) else {}


def _write(directory: Path, config: Mapping[str, Any]) -> None:
    import yaml

    # Dask reads every *.yaml of the directory: the temporary name must not be one.
    temporary = directory / f".{_FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(dict(config), file, sort_keys=False)
    os.replace(temporary, directory / _FILE)


def _keep_users_own(directory: Path, own: str | None) -> None:
    """Link the files of the user's own ``DASK_CONFIG``; they sort before ours, which win."""
    if not own or Path(own) == directory:
        return
    source = Path(own).expanduser()
    files = sorted(source.glob("*.y*ml")) if source.is_dir() else [source]
    for number, file in enumerate(files):
        link = directory / f"0-user-{number:02d}.yaml"
        link.unlink(missing_ok=True)
        if file.is_file():
            link.symlink_to(file.resolve())
