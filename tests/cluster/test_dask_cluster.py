"""The Dask cluster on real Slurm: it scales, and it holds.

Each test runs a program as ``researcher`` on the login host, with the installed environment: a
session's directory and its cluster, without the Jupyter server around it.
"""

from __future__ import annotations

import json
import textwrap
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.conftest import VirtualCluster, eventually

pytestmark = pytest.mark.cluster

PRELUDE = """
import asyncio, json, os, subprocess, sys, time
from pathlib import Path, PurePosixPath
from rsdat.cluster.configuration import write_dask_config
from rsdat.cluster.layout import Layout
from rsdat.cluster.security import make_credentials
from rsdat.config.models import Site

directory = Path(__file__).parent / ("s" + Path(__file__).parent.name)
directory.mkdir(mode=0o700)
layout = Layout(PurePosixPath(directory))
site = Site.model_validate(SITE)
Path(layout.site).write_text(site.model_dump_json())
make_credentials(layout)
os.environ.update(write_dask_config(layout, site))


async def until(what, ready, seconds=120):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            from rsdat.cluster.status import describe
            sys.exit(f"{what}: not within {seconds} s\\n{json.dumps(describe(cluster), indent=1)}")
        await asyncio.sleep(0.05)


async def shell(*argv):
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def queue():
    listing = await shell("squeue", "--me", "-h", "-o", "%i %T %j")
    rows = [line.split() for line in listing.splitlines()]
    return {job: state for job, state, name in rows if name.startswith(f"rsdat-{layout.id}-w")}


def workers():
    return len(cluster.scheduler.workers)


def ids():
    return {job.id for job in cluster.jobs}


here = Path(__file__).parent
runs, go = here / "runs", here / "go"


# A task that notes that it runs, and ends when the test says go.
def work(i, runs=str(runs), go=str(go)):
    with open(runs, "a") as file:
        file.write(f"{i}\\n")
    while not os.path.exists(go):
        time.sleep(0.05)
    return i


def begun():
    return len(runs.read_text().split()) if runs.exists() else 0


def say(**values):
    print(json.dumps(values), flush=True)


async def main():
    global cluster
    from distributed import Client
    from rsdat.cluster import SlurmCluster
    async with SlurmCluster(directory, asynchronous=True) as cluster:
        async with Client(cluster, asynchronous=True) as client:
BODY
    # What the cluster has cancelled may take a while to end; Slurm calls it COMPLETING at once.
    say(left={job: state for job, state in (await queue()).items() if state != "COMPLETING"})


asyncio.run(main())
"""

Programs = Callable[..., dict[str, Any]]


@pytest.fixture
def on_login(installed: VirtualCluster) -> Iterator[Programs]:
    """Run a program's body in a session on the login host; what it has said, as one dict."""
    home = "/home/researcher"
    name = f"dask-{uuid.uuid4().hex[:8]}"
    installed.run("login", "mkdir", "-m", "700", f"{home}/{name}", user="researcher")
    python = f"{home}/.rsdat/environments/default/bin/python"

    def run(body: str, timeout: float = 400, **site: Any) -> dict[str, Any]:
        default = {"cores": 1, "memory": "512MiB", "walltime": "1h"}
        whole = {
            "name": "virtual",
            "connection": {"interface": "eth0"},
            "environment": {"python": python},
            "pools": {"default": default},
        } | site
        indented = textwrap.indent(textwrap.dedent(body).strip(), " " * 12)
        program = PRELUDE.replace("SITE", repr(whole)).replace("BODY", indented)
        file = installed.home() / name / "program.py"
        file.write_text(program)
        file.chmod(0o644)
        argv = ("env", "SLURM_MEM_PER_CPU=64", "SLURM_NTASKS=3", "SBATCH_PARTITION=nowhere", python)
        done = installed.run(
            "login", *argv, f"{home}/{name}/program.py", user="researcher", timeout=timeout
        )
        said: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                said |= json.loads(line)
        return said

    def jobs() -> list[str]:
        listing = installed.run("login", "squeue", "-h", "-u", "researcher", "-o", "%i %j").stdout
        return [row.split()[0] for row in listing.splitlines() if f"rsdat-s{name}-w" in row]

    yield run
    # By name: other sessions may be running on the same cluster.
    left = jobs()
    if left:
        installed.run("login", "scancel", *left, check=False)
    eventually("the end of the test's jobs", lambda: not jobs())
    installed.run("login", "rm", "-rf", f"{home}/{name}", user="researcher")


def test_scaling_up_and_down_and_nothing_left(on_login: Programs) -> None:
    said = on_login("""
        for n in (2, 8, 1):
            cluster.scale(n)
            await until(f"{n} workers", lambda: workers() == n)
        say(sum=await client.submit(sum, [1, 2, 3]), link=cluster.dashboard_link)
        say(addresses=[a.rpartition(":")[0] for a in cluster.scheduler.workers])
        cluster.scale(0)
        await until("no workers", lambda: workers() == 0 and not cluster.jobs)
        cluster.scale(1)
        await until("a worker again", lambda: workers() == 1)
    """)
    assert said["sum"] == 6
    assert said["link"].startswith("/proxy/")
    assert not said["addresses"][0].startswith(("tls://127.", "tls://0."))
    assert said["left"] == {}


def test_the_heads_slurm_variables_do_not_reach_its_workers(on_login: Programs) -> None:
    # The program itself runs with SLURM_MEM_PER_CPU, SLURM_NTASKS and SBATCH_PARTITION set.
    said = on_login("""
        cluster.scale(1)
        await until("a worker", lambda: workers() == 1)
        say(seen=await client.submit(
            lambda: {k: v for k, v in os.environ.items() if k.startswith(("SLURM_", "SBATCH_"))}))
    """)
    assert said["seen"]["SLURM_JOB_PARTITION"] == "main"
    assert said["seen"]["SLURM_NTASKS"] == "1"
    assert not {"SLURM_MEM_PER_CPU", "SBATCH_PARTITION"} & set(said["seen"])


def test_a_cancelled_job_is_replaced_and_its_work_is_done(on_login: Programs) -> None:
    said = on_login("""
        cluster.scale(2)
        await until("two workers", lambda: workers() == 2)
        both = set(cluster.scheduler.workers)
        futures = client.map(work, range(40))
        await until("work on both", lambda: begun() >= 2)
        first = cluster.jobs[0].id
        await shell("scancel", first)
        go.touch()
        await until("the job is gone", lambda: first not in ids())
        await until("two workers again",
                    lambda: workers() == 2 and set(cluster.scheduler.workers) != both)
        say(total=sum(await client.gather(futures)))
    """)
    assert said["total"] == sum(range(40))


def test_workers_that_reach_their_lifetime_are_replaced(on_login: Programs) -> None:
    # A walltime of 10 s makes a lifetime of 5 s; Slurm rounds it up to a minute.
    said = on_login(
        """
        cluster.scale(2)
        # Not how many are connected at one moment: a lifetime is shorter than a slow start.
        connected = set()
        def replaced():
            connected.update(job.id for job in cluster.jobs if job.id and job.connected_once)
            return len(connected) >= 6
        await until("the third generation", replaced, seconds=300)
        first = sorted(connected, key=int)[:2]
        sacct = ("sacct", "-X", "-n", "-P", "-o", "State", "-j", ",".join(first))
        # The accounting hears of an end a moment later.
        while "RUNNING" in (states := (await shell(*sacct)).split()) or len(states) < 2:
            await asyncio.sleep(0.2)
        say(states=states)
        say(wanted=dict(cluster.wanted))
        """,
        pools={"default": {"cores": 1, "memory": "512MiB", "walltime": "10s"}},
    )
    assert said["wanted"] == {"default": 2}
    # They left by themselves; the queue did not have to end them.
    assert said["states"] == ["COMPLETED", "COMPLETED"]


PAIRS = {"default": {"cores": 2, "processes": 2, "memory": "9000MiB", "walltime": "1h"}}


def test_scaling_down_cancels_waiting_jobs_and_keeps_running_work(on_login: Programs) -> None:
    # 9000 MiB: one such job fits on a node of 16000, so most of these wait.
    said = on_login(
        """
        cluster.scale(10)
        whole = lambda: [j for j in cluster.jobs if len(cluster._addresses_of(j)) == 2]
        await until("a whole job", whole)
        await until("ids", lambda: all(job.id for job in cluster.jobs))
        worker = whole()[0]
        addresses = cluster._addresses_of(worker)
        futures = [client.submit(work, n, workers=[a]) for n, a in enumerate(addresses)]
        await until("running work", lambda: begun() == 2)
        before = len(cluster.jobs)
        cluster.scale(2)
        await until("one job", lambda: len(cluster.jobs) == 1)
        say(kept=cluster.jobs[0].name, worked=worker.name, before=before)
        say(queue=len([s for s in (await queue()).values() if s in ("RUNNING", "PENDING")]))
        go.touch()
        say(results=await client.gather(futures), runs=begun())
        """,
        pools=PAIRS,
    )
    assert said["before"] == 5
    assert said["kept"] == said["worked"]
    assert said["results"] == [0, 1]
    assert said["runs"] == 2, "a task was computed again"
    assert said["queue"] == 1


def test_a_job_that_retires_finishes_its_tasks_and_hands_over_its_results(
    on_login: Programs,
) -> None:
    said = on_login(
        """
        cluster.scale(4)
        await until("four workers", lambda: workers() == 4)
        done = client.map(lambda i: i, range(8))
        await client.gather(done)
        # One on each worker: where the scheduler puts tasks is not what this is about.
        all_four = list(cluster.scheduler.workers)
        busy = [client.submit(work, 100 + n, workers=[a]) for n, a in enumerate(all_four)]
        await until("running work", lambda: begun() == 4)
        cluster.scale(2)
        await until("a job that retires", lambda: any(job.retiring for job in cluster.jobs))
        say(working=workers())
        go.touch()
        await until("two workers", lambda: workers() == 2)
        say(results=await client.gather(done + busy), runs=begun())
        """,
        pools={"default": {"cores": 2, "processes": 2, "memory": "1GiB", "walltime": "1h"}},
    )
    assert said["working"] == 4, "a worker left while its task ran"
    assert said["results"] == [*range(8), *range(100, 104)]
    assert said["runs"] == 4, "a task was computed again"


def test_adapting_jobs_of_two_workers_submits_no_storm(on_login: Programs) -> None:
    said = on_login(
        """
        adaptive = cluster.adapt(minimum=1, maximum=4, interval="200ms")
        looks = []
        target = adaptive.target
        async def counted():
            looks.append(await target())
            return looks[-1]
        adaptive.target = counted
        await until("a job", lambda: workers() == 2)
        looks.clear()
        await until("looks", lambda: len(looks) > 20)
        say(idle=cluster._number)
        futures = client.map(work, range(100))
        await until("two jobs", lambda: workers() == 4)
        go.touch()
        await client.gather(futures)
        await until("one job", lambda: workers() == 2)
        say(jobs=cluster._number)
        """,
        pools={"default": {"cores": 2, "processes": 2, "memory": "1GiB", "walltime": "1h"}},
    )
    assert said["idle"] == 1
    assert said["jobs"] == 2


def test_pools_are_scaled_apart(on_login: Programs) -> None:
    said = on_login(
        """
        cluster.scale(1)
        cluster.scale(2, pool="big")
        await until("three workers", lambda: workers() == 3)
        from rsdat.cluster.status import describe
        now = describe(cluster)
        say(pools=now["pools"], of=sorted(worker["pool"] for worker in now["workers"]))
        cluster.scale(0)
        await until("the first pool is gone", lambda: {job.pool for job in cluster.jobs} == {"big"})
        await until("its worker, too", lambda: workers() < 3)
        say(kept=workers())
        """,
        pools={
            "default": {"cores": 1, "memory": "512MiB", "walltime": "1h"},
            "big": {"cores": 2, "processes": 2, "memory": "1GiB", "walltime": "1h"},
        },
    )
    assert said["of"] == ["big", "big", "default"]
    assert said["pools"]["big"] == {"wanted": 2, "running": 2, "pending": 0, "problem": None}
    assert said["kept"] == 2


def test_a_refused_job_is_said_once_and_not_tried_for_ever(on_login: Programs) -> None:
    said = on_login(
        """
        cluster.scale(1)
        await until("the refusal", lambda: "default" in cluster.troubles)
        trouble = cluster.troubles["default"]
        say(message=trouble.message, refused=trouble.refused, jobs=cluster._number)
        """,
        pools={"default": {"account": "closed", "walltime": "1h"}},
    )
    assert "refused" in said["message"]
    assert said["refused"] is True
    assert said["jobs"] == 1


def test_jobs_that_fail_at_once_are_not_submitted_in_a_storm(on_login: Programs) -> None:
    said = on_login(
        """
        cluster.scale(1)
        await until("two failures", lambda: "default" in cluster.troubles
                    and cluster.troubles["default"].failures >= 2)
        say(message=cluster.troubles["default"].message, jobs=cluster._number)
        """,
        environment={"python": "/bin/false"},
    )
    assert "ended (failed) before its workers connected; see /home/researcher/" in said["message"]
    assert said["jobs"] == 2
