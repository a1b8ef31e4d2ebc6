"""Jobs without a job queue: real processes in the background."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rsdat.errors import QueueError
from rsdat.jobqueue import local, queue_named
from rsdat.jobqueue.base import JobRequest, JobState, JobStatus, Resources

QUEUE = queue_named("local")


class Machine:
    """Runs the adapter's argv with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self.jobs: list[str] = []

    def run(self, argv: list[str]) -> str:
        done = subprocess.run(
            argv,
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return done.stdout

    def submit(self, *command: str, name: str = "rsdat-test") -> str:
        request = JobRequest(name, Resources(cores=2), command, f"{name}.log")
        (self.home / "job.sh").write_text(QUEUE.script(request))
        job = QUEUE.parse_submit(self.run(QUEUE.submit("job.sh")))
        self.jobs.append(job)
        return job

    def status(self, *jobs: str) -> dict[str, JobStatus]:
        return QUEUE.parse_status(self.run(QUEUE.status(jobs)))

    def followed(self, job: str, until: Callable[[JobStatus], bool]) -> JobStatus:
        while True:
            status = self.status(job)[job]
            if until(status):
                return status

    def record(self, job: str) -> Path:
        (path,) = self.home.glob(f".local/state/rsdat/jobs/*/{job}")
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(local, "GRACE", 1)
    it = Machine(tmp_path)
    yield it
    it.run(QUEUE.cancel(it.jobs))


def over(status: JobStatus) -> bool:
    return status.state.over


def test_a_job_runs_and_completes(machine: Machine) -> None:
    os.mkfifo(machine.home / "gate")
    job = machine.submit("sh", "-c", "read word <gate; echo done: $word")
    running = machine.status(job)[job]
    assert running.state is JobState.RUNNING
    assert running.name == "rsdat-test"
    assert running.cores == 2
    assert running.start is not None
    assert abs((datetime.now(UTC) - running.start).total_seconds()) < 60
    (machine.home / "gate").write_text("hello\n")
    ended = machine.followed(job, over)
    assert ended.state is JobState.COMPLETED
    assert ended.exit_code == 0
    log = machine.home / "rsdat-test.log"
    assert log.read_text() == "done: hello\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_job_that_fails_says_with_what_status(machine: Machine) -> None:
    status = machine.followed(machine.submit("sh", "-c", "exit 3"), over)
    assert status.state is JobState.FAILED
    assert status.exit_code == 3
    assert "log" in QUEUE.explain(status.reason)


def test_a_program_that_is_not_there_fails(machine: Machine) -> None:
    status = machine.followed(machine.submit("/no/such/python"), over)
    assert status.exit_code == 127
    assert "/no/such/python" in (machine.home / "rsdat-test.log").read_text()


def test_a_cancelled_job_is_told_so_and_is_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It ends all that it has started: nothing is left that only a KILL would end.
    program = "sleep 1000 & trap 'echo told; kill $!; exit 0' TERM; echo >gate; wait"
    os.mkfifo(machine.home / "gate")
    job = machine.submit("sh", "-c", program)
    (machine.home / "gate").read_text()
    monkeypatch.setattr(local, "GRACE", 60)
    machine.run(QUEUE.cancel([job]))
    assert machine.status(job)[job].state is JobState.CANCELLED
    assert (machine.home / "rsdat-test.log").read_text() == "told\n"


def test_a_deaf_job_is_killed_with_its_children(machine: Machine) -> None:
    os.mkfifo(machine.home / "gate")
    job = machine.submit("sh", "-c", "trap '' TERM; sleep 1000 & echo $! >gate; wait; sleep 1000")
    child = int((machine.home / "gate").read_text())
    machine.run(QUEUE.cancel([job]))
    assert machine.status(job)[job].state is JobState.CANCELLED
    assert not running(child)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_cancelling_what_is_gone_is_no_error(machine: Machine) -> None:
    job = machine.submit("true")
    machine.followed(job, over)
    machine.run(QUEUE.cancel([job, "1.1", "no such job"]))
    assert machine.status(job)[job].state is JobState.COMPLETED


def test_a_job_that_has_said_how_it_ended_was_not_cancelled(machine: Machine) -> None:
    job = machine.submit("true")
    machine.followed(job, over)
    record = machine.record(job)
    _, *rest = record.read_text().splitlines()
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as shell:  # about to go
        birth = Path(f"/proc/{shell.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        record.write_text("\n".join([f"{shell.pid} {birth}", *rest, ""]))
        machine.run(QUEUE.cancel([job]))
        assert shell.wait(60) == -signal.SIGTERM
    assert machine.status(job)[job].state is JobState.COMPLETED


def test_a_job_that_was_killed_from_outside_has_failed(machine: Machine) -> None:
    job = machine.submit("sleep", "1000")
    group = int(machine.record(job).read_text().split()[0])
    machine.followed(job, lambda status: os.getpgid(group) == group)
    os.killpg(group, signal.SIGKILL)
    status = machine.followed(job, over)
    assert status.state is JobState.FAILED
    assert "restarted" in QUEUE.explain(status.reason)


def test_a_program_whose_shell_was_killed_is_still_the_job(machine: Machine) -> None:
    os.mkfifo(machine.home / "gate")
    job = machine.submit("sh", "-c", "echo $$ >gate; exec sleep 1000")
    program = int((machine.home / "gate").read_text())
    os.kill(int(machine.record(job).read_text().split()[0]), signal.SIGKILL)
    assert machine.status(job)[job].state is JobState.RUNNING
    machine.run(QUEUE.cancel([job]))
    assert not running(program)
    assert machine.status(job)[job].state is JobState.CANCELLED


def test_a_later_process_with_the_same_number_is_not_the_job(machine: Machine) -> None:
    job = machine.submit("sleep", "1000")
    record = machine.record(job)
    process, rest = record.read_text().split("\n", 1)
    pid, birth = process.split()
    record.write_text(f"{pid} {int(birth) - 1}\n{rest}")
    assert machine.status(job)[job].state is JobState.FAILED
    machine.run(QUEUE.cancel([job]))
    assert running(int(pid))
    record.write_text(f"{process}\n{rest}")


def test_jobs_are_found_by_name(machine: Machine) -> None:
    first = machine.submit("true", name="rsdat-a b|c")
    second = machine.submit("true", name="rsdat-two")
    listed = QUEUE.parse_status(machine.run(QUEUE.status_by_name("rsdat")))
    assert {job: status.name for job, status in listed.items()} == {
        first: "rsdat-a b|c",
        second: "rsdat-two",
    }


def test_no_jobs_no_answer(machine: Machine) -> None:
    assert machine.status() == {}
    assert machine.status("1.1") == {}
    assert QUEUE.parse_status(machine.run(QUEUE.status_by_name("rsdat"))) == {}


def test_a_job_outlives_the_shell_and_the_terminal_it_came_from(machine: Machine) -> None:
    job = machine.submit("sleep", "1000")
    pid = int(machine.record(job).read_text().split()[0])
    machine.followed(job, lambda status: os.getsid(pid) == pid)
    assert os.getsid(pid) != os.getsid(0)


def test_old_records_are_cleared_away(machine: Machine) -> None:
    old = machine.submit("true")
    machine.followed(old, over)
    ended = Path(f"{machine.record(old)}.exit")
    os.utime(ended, (0, 0))
    machine.submit("true")
    assert machine.status(old) == {}
    assert not ended.exists()


def test_a_script_that_is_not_there_is_no_job(machine: Machine) -> None:
    done = subprocess.run(
        QUEUE.submit("absent.sh"),
        env=machine.environment,
        cwd=machine.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert QUEUE.refusal(done.stderr) == "the job script could not be read"
    with pytest.raises(QueueError):
        QUEUE.parse_submit(done.stdout)


def test_the_script_for_all_this_is_plain_posix_shell() -> None:
    text = QUEUE.submit("x")[2]
    subprocess.run(["dash", "-n"], input=text, text=True, check=True)
    subprocess.run(["bash", "--posix", "-n"], input=text, text=True, check=True)
