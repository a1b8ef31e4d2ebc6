"""Time from 0 to 8 connected workers: the session's cluster beside plain dask-jobqueue.

Both run on the virtual cluster's login host, turn by turn, with workers of one core and 512 MiB.
Needs the virtual cluster (``make cluster``) and its environment
(``rsdat env install virtual --offline``)::

    .venv/bin/python benchmarks/scale.py [--repeats 5] [--workers 8]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VC = ROOT / "deploy" / "virtual-cluster" / "vc"
PYTHON = "/home/researcher/.rsdat/environments/default/bin/python"

PROGRAM = """
import asyncio, json, os, shutil, sys, tempfile, time
from pathlib import Path, PurePosixPath
from rsdat.cluster.configuration import write_dask_config
from rsdat.cluster.layout import Layout
from rsdat.cluster.security import make_credentials
from rsdat.config.models import Site

name, wanted = sys.argv[1], int(sys.argv[2])
home = Path(tempfile.mkdtemp(prefix="scale-", dir=Path.home()))


def rsdat():
    directory = home / ("s" + home.name)
    directory.mkdir(mode=0o700)
    layout = Layout(PurePosixPath(directory))
    site = Site(
        name="virtual",
        connection={"interface": "eth0"},
        environment={"python": sys.executable},
        pools={"default": {"cores": 1, "memory": "512MiB", "walltime": "30m"}},
    )
    Path(layout.site).write_text(site.model_dump_json())
    make_credentials(layout)
    os.environ.update(write_dask_config(layout, site))
    from rsdat.cluster import SlurmCluster

    return lambda: SlurmCluster(directory, asynchronous=True)


def plain():
    from dask_jobqueue import SLURMCluster

    return lambda: SLURMCluster(
        cores=1, processes=1, memory="512MiB", walltime="00:30:00", interface="eth0",
        log_directory=str(home / "logs"), job_name=home.name, asynchronous=True,
        scheduler_options={"dashboard_address": ":0"},
    )


async def jobs():
    process = await asyncio.create_subprocess_exec(
        "squeue", "--me", "-h", "-o", "%j", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return [job for job in out.decode().split() if home.name in job]


async def main():
    make = rsdat() if name == "rsdat" else plain()
    begin = time.perf_counter()
    async with make() as cluster:
        started = time.perf_counter()
        cluster.scale(wanted)
        times = []
        while len(times) < wanted:
            connected = len(cluster.scheduler.workers)
            times += [time.perf_counter() - started] * (connected - len(times))
            await asyncio.sleep(0.005)
    while await jobs():
        await asyncio.sleep(0.1)
    row = {"cluster": name, "start": started - begin, "first": times[0], "all": times[-1]}
    print(json.dumps(row))


try:
    asyncio.run(main())
finally:
    shutil.rmtree(home, ignore_errors=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--python", default=PYTHON, help="the environment's interpreter")
    options = parser.parse_args()
    rows = []
    for _ in range(options.repeats):
        for name in ("rsdat", "dask-jobqueue"):
            argv = [VC, "run", "login", "--user", "researcher", "--", options.python, "-c", PROGRAM]
            done = subprocess.run(
                [*argv, name, str(options.workers)], stdout=subprocess.PIPE, text=True, check=True
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    report(rows, options.workers)


def report(rows: list[dict], workers: int) -> None:
    """Print medians (and the range) of what was measured."""
    print(f"0 to {workers} workers, seconds: median (least to most)\n")
    print(f"{'':16}{'cluster start':>22}{'first worker':>22}{'all workers':>22}")
    for name in dict.fromkeys(row["cluster"] for row in rows):
        cells = ""
        for key in ("start", "first", "all"):
            values = [row[key] for row in rows if row["cluster"] == name]
            middle = statistics.median(values)
            cells += f"{middle:.2f} ({min(values):.2f} to {max(values):.2f})".rjust(22)
        print(f"{name:16}{cells}")


if __name__ == "__main__":
    main()
