"""Jobs of the adapter on a real Slurm, submitted as a laptop does: over ssh."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rsdat.host import open_host
from rsdat.host.base import Host
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobRequest, JobState, JobStatus, Resources
from rsdat.jobqueue.status import interpret_status
from tests.cluster.conftest import VirtualCluster, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]

QUEUE = queue_named("slurm")
SMALL = Resources(cores=1, memory=64 * 2**20, walltime=timedelta(minutes=5), partition="main")


class Account:
    """A user of the cluster with a directory for one test's jobs."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.directory = f".test-jobqueue-{secrets.token_hex(4)}"
        self.jobs: list[str] = []
        host.run(["mkdir", "-m", "700", self.directory])

    def submit(self, *command: str, resources: Resources = SMALL, **further: object) -> str:
        name = f"rsdat-test-{self.directory[-8:]}"
        request = JobRequest(name, resources, command, "job.log", **further)  # type: ignore[arg-type]
        self.host.put(QUEUE.script(request).encode(), f"~/{self.directory}/job.sh", mode=0o600)
        # As a launch does it: from inside the directory, by relative names.
        argv = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "in", self.directory]
        job = QUEUE.parse_submit(self.host.run([*argv, *QUEUE.submit("job.sh")]).stdout)
        self.jobs.append(job)
        return job

    def status(self, *jobs: str) -> dict[str, JobStatus]:
        return interpret_status(QUEUE, jobs, self.host.run(QUEUE.status(jobs), check=False))

    def follow(self, job: str, *states: JobState) -> JobStatus:
        def there() -> JobStatus | None:
            status = self.status(job)[job]
            return status if status.state in states else None

        found: JobStatus = eventually(f"job {job} {' or '.join(states)}", there)
        return found

    def log(self) -> str:
        return self.host.get(f"~/{self.directory}/job.log").decode()


@pytest.fixture
def account(virtual_cluster: VirtualCluster) -> Iterator[Account]:
    host = open_host(
        type(
            "Connection",
            (),
            {
                "host": virtual_cluster.facts["aliases"]["researcher"],
                "user": None,
                "ssh_config": str(virtual_cluster.ssh_config),
            },
        )(),
        name="virtual",
    )
    host.connect(interactive=False)
    it = Account(host)
    yield it
    if it.jobs:
        host.run(QUEUE.cancel(it.jobs))
    host.run(["rm", "-rf", it.directory])


def test_a_job_pends_runs_and_completes(account: Account) -> None:
    job = account.submit("bash", "-c", "while ! [ -e go ]; do sleep 0.1; done; echo been here")
    running = account.follow(job, JobState.RUNNING)
    assert running.name.startswith("rsdat-test-")
    assert running.nodes.startswith("c")
    assert running.cores == 1
    assert running.start is not None
    assert running.end is not None
    assert running.end - running.start == timedelta(minutes=5)
    assert abs(datetime.now(UTC) - running.start) < timedelta(minutes=2)
    account.host.run(["touch", f"{account.directory}/go"])
    ended = account.follow(job, JobState.COMPLETED)
    assert ended.state.over
    assert account.log() == "been here\n"


def test_a_job_that_fails(account: Account) -> None:
    job = account.submit("bash", "-c", "echo sorry; exit 3")
    ended = account.follow(job, JobState.FAILED)
    assert "log" in QUEUE.explain(ended.reason)
    assert account.log() == "sorry\n"


def test_a_cancelled_job_is_told_and_gone(account: Account) -> None:
    job = account.submit(
        "bash",
        "-c",
        "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.1; done",
        warn_before=timedelta(minutes=1),
    )
    eventually("the program", lambda: account.status(job)[job].state is JobState.RUNNING)
    eventually("its trap", lambda: "ready" in _log_or_nothing(account))
    account.host.run(QUEUE.cancel([job]))
    account.follow(job, JobState.CANCELLED)
    eventually("its last word", lambda: "told" in account.log())


def _log_or_nothing(account: Account) -> str:
    try:
        return account.log()
    except FileNotFoundError:
        return ""


def test_cancelling_twice_and_cancelling_nothing_are_no_errors(account: Account) -> None:
    job = account.submit("sleep", "1000")
    account.host.run(QUEUE.cancel([job]))
    account.host.run(QUEUE.cancel([job, "99999999"]))
    account.follow(job, JobState.CANCELLED)


def test_the_warning_reaches_the_program(account: Account, virtual_cluster: VirtualCluster) -> None:
    job = account.submit(
        "bash",
        "-c",
        "trap 'echo warned; exit 5' USR1; echo ready; while :; do sleep 0.1; done",
        warn_before=timedelta(minutes=1),
    )
    eventually("its trap", lambda: "ready" in _log_or_nothing(account))
    # What Slurm does by itself up to a minute before the time that --signal names.
    virtual_cluster.run("login", "scancel", "--batch", "--signal=USR1", job, user="researcher")
    account.follow(job, JobState.FAILED)
    assert "warned" in account.log()


def test_a_job_that_cannot_start_says_why(account: Account) -> None:
    job = account.submit("true", resources=Resources(partition="down"))

    def explained() -> bool:
        waiting = account.status(job)[job]
        assert waiting.state is JobState.PENDING
        return "--partition" in QUEUE.explain(waiting.reason)

    # Slurm may say "Priority" until its scheduler has looked at the partition.
    eventually("the reason", explained)


def test_several_jobs_in_one_call_of_which_one_is_unknown(account: Account) -> None:
    first, second = account.submit("sleep", "1000"), account.submit("sleep", "1000")
    assert set(account.status(first, second, "99999999")) == {first, second}
    assert account.status("99999999") == {}


def test_jobs_are_found_by_name(account: Account) -> None:
    job = account.submit("sleep", "1000")
    listed = QUEUE.parse_status(account.host.run(QUEUE.status_by_name("rsdat-test-")).stdout)
    assert listed[job].name == f"rsdat-test-{account.directory[-8:]}"


def test_the_accounting_remembers_how_a_job_ended(account: Account) -> None:
    job = account.submit("bash", "-c", "exit 3")
    account.follow(job, JobState.FAILED)
    argv = QUEUE.history([job])
    assert argv is not None

    def recorded() -> JobStatus | None:
        status = QUEUE.parse_history(account.host.run(argv).stdout).get(job)
        return status if status and status.state.over else None

    past: JobStatus = eventually("the record in the accounting", recorded)
    assert past.state is JobState.FAILED
    assert past.exit_code == 3
    assert past.cores == 1
    assert past.end is not None


def test_trying_a_job_gives_its_start_and_submits_nothing(account: Account) -> None:
    script = QUEUE.script(JobRequest("rsdat-tried", SMALL, ("true",), "job.log"))
    argv = QUEUE.try_submit("/dev/stdin")
    assert argv is not None
    tried = account.host.run(argv, input=script.encode())
    start = QUEUE.parse_try(tried.stderr)
    assert start is not None
    assert start > datetime.now(UTC) - timedelta(minutes=2)
    listed = QUEUE.parse_status(account.host.run(QUEUE.status_by_name("rsdat-tried")).stdout)
    assert not any(job.name == "rsdat-tried" for job in listed.values())


def test_a_refused_job_is_explained(account: Account) -> None:
    resources = Resources(account="closed", partition="main")
    script = QUEUE.script(JobRequest("rsdat-refused", resources, ("true",), "job.log"))
    refused = account.host.run(QUEUE.submit("/dev/stdin"), input=script.encode(), check=False)
    assert refused.returncode != 0
    assert "--account" in (QUEUE.refusal(refused.stderr) or "")


@pytest.mark.parametrize("text", ['it\'s "quoted" \\ #not a comment', "a  b", "$HOME `id` ;x&"])
def test_slurm_reads_a_quoted_directive_as_it_was_meant(
    account: Account, virtual_cluster: VirtualCluster, text: str
) -> None:
    script = QUEUE.script(JobRequest(text, SMALL, ("sleep", "1000"), "50%j é.log"))
    done = account.host.run(QUEUE.submit("/dev/stdin"), input=script.encode())
    job = QUEUE.parse_submit(done.stdout)
    account.jobs.append(job)
    assert account.status(job)[job].name == text


def test_a_log_with_a_space_and_a_percent_sign(account: Account) -> None:
    log = f"{account.directory}/50%j of it.log"
    script = QUEUE.script(JobRequest("rsdat-log", SMALL, ("echo", "it's here"), log))
    done = account.host.run(QUEUE.submit("/dev/stdin"), input=script.encode())
    job = QUEUE.parse_submit(done.stdout)
    account.jobs.append(job)
    account.follow(job, JobState.COMPLETED)
    assert account.host.get(f"~/{log}") == b"it's here\n"


def test_without_the_controller_jobs_are_unknown_not_gone(
    account: Account, virtual_cluster: VirtualCluster
) -> None:
    job = account.submit("sleep", "1000")
    account.follow(job, JobState.RUNNING)
    with virtual_cluster.controller_stopped():
        assert account.status(job)[job].state is JobState.UNKNOWN
        cancelled = account.host.run(QUEUE.cancel([job]), check=False)
        assert cancelled.returncode != 0
    account.follow(job, JobState.RUNNING)
