"""Worker jobs: their scripts, their lifetimes, what they do not inherit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsdat.cluster.addresses import choose_address
from rsdat.cluster.jobs import WorkerJob, observe, submission_environment
from rsdat.cluster.workers import is_worker_job, job_name, lifetime, worker_script
from rsdat.config.models import Connection, Pool, Site
from rsdat.errors import ConfigError, SessionError
from rsdat.jobqueue.base import JobState, JobStatus

SITE = Site(
    name="there",
    connection=Connection(interface="ib0"),
    pools={
        "default": Pool(cores=4, memory="32GiB", walltime="10h", local_directory="$TMPDIR"),
        "big": Pool(
            cores=16,
            processes=4,
            memory="64GiB",
            worker_memory="12GiB",
            partition="fat",
            account="project",
            qos="long",
            gres="gpu:1",
            constraint="intel",
            directives=("--exclusive",),
            local_directory="/scratch/$USER",
        ),
    },
)


def program(script: str) -> str:
    return next(line for line in script.splitlines() if "distributed.cli.dask_worker" in line)


def test_a_worker_leaves_before_its_job_is_killed() -> None:
    assert "--lifetime 35220s --lifetime-stagger 600s" in program(worker_script(SITE))


@given(st.integers(60, 30 * 86400))
def test_margin_exceeds_stagger_and_leaves_time_to_hand_over(seconds: int) -> None:
    life = lifetime(timedelta(seconds=seconds))
    latest = life.seconds + life.stagger
    assert life.seconds - life.stagger > 0
    # Half of a minute's job, three minutes of a longer one.
    assert seconds - latest >= min(180, seconds * 0.44)


def test_one_process_has_all_cores_and_the_whole_memory() -> None:
    line = program(worker_script(SITE))
    assert "--nthreads 4 --memory-limit 32GiB" in line
    assert "--nworkers" not in line


def test_several_processes_share_the_job() -> None:
    line = program(worker_script(SITE, "big"))
    assert "--nworkers 4 --nthreads 4 --memory-limit 12GiB" in line


def test_the_nodes_own_directory_is_expanded_on_the_node() -> None:
    assert '--local-directory "${TMPDIR:-/tmp}"' in program(worker_script(SITE))
    assert "/scratch/" in program(worker_script(SITE, "big"))
    assert "$USER" not in program(worker_script(SITE, "big")).replace("${USER", "")


def test_the_pools_wishes_reach_the_queue() -> None:
    script = worker_script(SITE, "big")
    for line in ("partition=fat", "account=project", "qos=long", "gres=gpu:1", "constraint=intel"):
        assert f"#SBATCH --{line}" in script
    assert "#SBATCH --exclusive" in script
    assert "#SBATCH --cpus-per-task=16" in script
    assert "--lifetime" not in script  # no walltime is known


def test_a_worker_finds_its_keys_by_configuration_not_by_arguments() -> None:
    script = worker_script(SITE, session_directory="/home/me/.rsdat/sessions/s-1")
    assert "export DASK_CONFIG=/home/me/.rsdat/sessions/s-1/dask" in script
    assert ".pem" not in script


def test_workers_use_the_sites_network() -> None:
    assert "--interface ib0" in program(worker_script(SITE))
    by_prefix = SITE.model_copy(update={"connection": Connection(interface="10.0.")})
    assert "--interface" not in program(worker_script(by_prefix))


def test_an_unknown_pool_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no worker pool 'huge'") as caught:
        worker_script(SITE, "huge")
    assert caught.value.hint == "Use one of: default, big."


def test_job_names_are_of_one_session_only() -> None:
    assert job_name("s-1", "w12") == "rsdat-s-1-w12"
    assert is_worker_job("s-1", job_name("s-1", "w12"))
    assert not is_worker_job("s-1", job_name("s-10", "w1"))
    # The head of a session that somebody has called "s-1-work", and a worker of it.
    assert not is_worker_job("s-1", "rsdat-s-1-work-bcdfg")
    assert not is_worker_job("s-1", "rsdat-s-1-work-bcdfg-w1")


def test_the_log_of_a_worker_job_names_the_job() -> None:
    script = worker_script(SITE, session_directory="/home/me/.rsdat/sessions/s-1")
    assert "#SBATCH --output=/home/me/.rsdat/sessions/s-1/workers/w1-%j.log\n" in script


def test_the_heads_own_slurm_variables_do_not_leak() -> None:
    head = {"SLURM_MEM_PER_CPU": "1", "SBATCH_PARTITION": "x", "SLURM_CONF": "/c", "PATH": "/bin"}
    assert submission_environment(head) == {"SLURM_CONF": "/c", "PATH": "/bin"}


def status(job: str, name: str, state: JobState = JobState.RUNNING) -> JobStatus:
    return JobStatus(id=job, state=state, name=name, reason="", nodes="c1")


def test_an_answer_of_the_queue_is_entered_by_job_id() -> None:
    job = WorkerJob("w1", "default", 1, id="7")
    observe([job], {"rsdat-s-1-w1": status("7", "rsdat-s-1-w1")})
    assert (job.state, job.node) == (JobState.RUNNING, "c1")


def test_a_job_whose_submission_was_cut_short_is_found_by_its_name() -> None:
    job = WorkerJob("w1", "default", 1)
    answer = {f"rsdat-s-1-w{n}": status(f"7{n}", f"rsdat-s-1-w{n}") for n in (11, 1)}
    observe([job], answer)
    assert job.id == "71"


def test_a_job_is_gone_only_when_it_was_absent_twice_in_a_row() -> None:
    job = WorkerJob("w1", "default", 1, id="7")
    observe([job], {})
    assert job.state is JobState.PENDING
    observe([job], {"rsdat-s-1-w1": status("7", "rsdat-s-1-w1")})
    observe([job], {})
    assert job.state is JobState.RUNNING
    observe([job], {})
    assert job.state.over


FOUND = {"lo": ["127.0.0.1"], "eth0": ["192.168.1.5"], "ib0": ["10.0.3.4"]}


@pytest.mark.parametrize(
    ("interface", "named", "address"),
    [
        ("ib0", "192.168.1.5", "10.0.3.4"),
        ("10.0.", "192.168.1.5", "10.0.3.4"),
        (None, "192.168.1.5", "192.168.1.5"),
        (None, "127.0.1.1", "192.168.1.5"),
        (None, "", "192.168.1.5"),
    ],
)
def test_one_address_inside_the_cluster_is_chosen(
    interface: str | None, named: str, address: str
) -> None:
    assert choose_address(interface, FOUND, named=named, host="c1") == address


def test_a_missing_interface_is_named_with_those_there_are() -> None:
    with pytest.raises(SessionError, match="c1 has no network interface 'ib1'; it has lo 127"):
        choose_address("ib1", FOUND, named="", host="c1")


def test_a_node_with_loopback_only_is_an_error() -> None:
    with pytest.raises(SessionError, match="no network address but loopback"):
        choose_address(None, {"lo": ["127.0.0.1"]}, named="127.0.1.1", host="c1")
