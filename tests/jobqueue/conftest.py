"""Job requests that the tests of both queues render."""

from datetime import timedelta

import pytest

from rsdat.jobqueue.base import JobRequest, Resources
from rsdat.jobqueue.quoting import Expand

MINIMAL = JobRequest(
    name="rsdat-lab-1a2b3",
    resources=Resources(),
    command=("python3", "-m", "rsdat.session.head"),
    log="job.log",
)

HEAD = JobRequest(
    name="rsdat-lab-1a2b3",
    resources=Resources(
        cores=2,
        memory=8 * 2**30,
        walltime=timedelta(hours=10),
        partition="normal",
        account="remote-sensing",
    ),
    command=("~/.rsdat/environment/bin/python", "-m", "rsdat.session.head"),
    log="job.log",
    prologue=("module load 2024", "module load Python/3.12"),
    environment={"RSDAT_SESSION": "~/.rsdat/sessions/lab-1a2b3"},
    warn_before=timedelta(minutes=2),
)

WORKER = JobRequest(
    name="rsdat-lab-1a2b3-w3",
    resources=Resources(
        cores=16,
        memory=32 * 10**9,
        walltime=timedelta(days=1, hours=12),
        partition="gpu",
        account="remote-sensing",
        qos="long",
        gres="gpu:a100:1",
        constraint="scratch-node&[rack1|rack2]",
        directives=("--exclusive", "--mail-type=END"),
    ),
    command=(
        "/opt/our python/bin/python",
        "-m",
        "distributed.cli.dask_worker",
        "tls://10.0.0.1:8786",
        "--local-directory",
        Expand("$TMPDIR"),
        "--name",
        "it's",
    ),
    log="/home/researcher/.rsdat/sessions/lab-1a2b3/workers/w3-{job}.log",
    environment={"DASK_CONFIG": "/home/researcher/.rsdat/sessions/lab-1a2b3/dask"},
)


@pytest.fixture
def job_requests() -> dict[str, JobRequest]:
    return {"minimal": MINIMAL, "head": HEAD, "worker": WORKER}
