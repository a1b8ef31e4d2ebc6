"""The same composite on two SLURM workers of one core and in two local threads.

Runs on a login node of a cluster whose nodes see DIR at the same path; on the virtual cluster::

    deploy/virtual-cluster/vc run login --user researcher -- \\
        PYTHON benchmarks/raster/slurm.py --scenes DIR [--repeat 5]

The workers are up before the clock starts. Throughput counts the numbers read, before masking.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2


def main() -> None:
    sys.path.insert(0, str(ROOT))  # it is started as a file, with another environment's Python
    from benchmarks.raster import scenes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR")
    parser.add_argument("--scale", choices=("small", "full"), default="full")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--interface", default="eth0")
    options = parser.parse_args()
    items = scenes.make(scenes.collection("stack", options.scale), options.scenes)
    grid = scenes.geobox(items[0])
    megabytes = len(items) * grid.width * grid.height * 2 * 2 / 1e6

    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="composite-") as place:
        home = Path(place)
        work = _composite(items, grid, home / "composite.tif")
        local = _measured(work, options.repeat)
        with _workers(home, options.interface) as client:
            # A current client: the chain computes on it.
            remote = _measured(work, options.repeat)
            del client
    print("| where | wall s, median (least, most) | MB/s |\n|---|---|---|")
    for name, walls in (("two local threads", local), ("two SLURM workers", remote)):
        middle = statistics.median(walls)
        print(
            f"| {name} | {middle:.2f} ({min(walls):.2f}, {max(walls):.2f}) "
            f"| {megabytes / middle:.0f} |"
        )
    ratio = statistics.median(local) / statistics.median(remote)
    print(f"\nthroughput of the workers: {ratio:.2f} of the threads'")


def _composite(items: Any, grid: Any, output: Path) -> Callable[[], None]:
    from rsdat import chain

    masked = chain(items, ["red", "nir"], geobox=grid).mask_clouds("scl").composite("median")

    def work() -> None:
        output.unlink(missing_ok=True)
        masked.to_cog(output, dtype="uint16")

    return work


def _measured(work: Callable[[], None], repeat: int) -> list[float]:
    work()  # the files are in the page cache, and the workers have imported what they need
    walls = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        walls.append(time.perf_counter() - began)
    return walls


@contextmanager
def _workers(home: Path, interface: str) -> Iterator[Any]:
    """A client of a session's cluster with its workers connected."""
    import dask
    from distributed import Client

    from rsdat.cluster import SlurmCluster
    from rsdat.cluster.configuration import write_dask_config
    from rsdat.cluster.layout import Layout
    from rsdat.cluster.security import make_credentials
    from rsdat.config.models import Site

    directory = home / "session"
    directory.mkdir(mode=0o700)
    layout = Layout(PurePosixPath(directory))
    site = Site(
        name="virtual",
        connection={"interface": interface},
        environment={"python": sys.executable},
        pools={"default": {"cores": 1, "memory": "1GiB", "walltime": "30m"}},
    )
    Path(layout.site).write_text(site.model_dump_json())
    make_credentials(layout)
    os.environ.update(write_dask_config(layout, site))
    # The local run has imported Dask already, and with that its list of places is made.
    dask.config.refresh(paths=[*dask.config.paths, os.environ["DASK_CONFIG"]])
    with SlurmCluster(directory) as cluster, Client(cluster) as client:
        cluster.scale(WORKERS)
        client.wait_for_workers(WORKERS, timeout=120)
        yield client


if __name__ == "__main__":
    main()
