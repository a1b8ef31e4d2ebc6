"""Core-hours of a session: of the jobs that run, and of those that only the accounting knows."""

from collections.abc import Sequence
from datetime import timedelta

from rsdat.config.models import Site
from rsdat.host.base import Completed
from rsdat.host.local import LocalHost
from rsdat.jobqueue.base import JobState, JobStatus
from rsdat.session.model import Overview, Session, State
from rsdat.session.remote import Record
from rsdat.session.usage import usage, worker_jobs


def job(number: str, cores: int, hours: float) -> JobStatus:
    return JobStatus(number, JobState.RUNNING, cores=cores, elapsed=timedelta(hours=hours))


def overview(head: JobStatus | None, *logs: str) -> Overview:
    session = Session(Site(name="x", queue="slurm"), "lab-2", "/d", "7")
    record = Record("lab-2", "/d", job="7", worker_logs=logs)
    workers = (job("9", 4, 1),)
    return Overview(session, State.READY, record, head, workers, age=0)


class Accounting(LocalHost):
    """This machine with a sacct of its own that prints a recorded text."""

    def __init__(self, text: str, status: int = 0) -> None:
        self.text, self.status, self.asked = text, status, [""]

    def run(self, argv: Sequence[str], **options: object) -> Completed:  # type: ignore[override]
        self.asked = list(argv)
        return super().run(["sh", "-c", 'echo "$1"; exit "$2"', "-", self.text, str(self.status)],
                           check=False)  # fmt: skip


def test_the_ids_are_in_the_logs_names_and_nothing_else_is_taken_for_one() -> None:
    assert worker_jobs(["w1-41.log", "w1.sh", "w1.log", "w12-1044.log", "note"]) == ["41", "1044"]


def test_workers_that_the_queue_has_forgotten_are_counted() -> None:
    host = Accounting("41|COMPLETED|0:0|c1|8|0|0|3600|rsdat-lab-2-w1")
    used = usage(overview(job("7", 2, 2), "w1-41.log", "w2-9.log"), host)
    assert "--jobs=41" in host.asked
    assert (used.head, used.workers, used.complete) == (4, 4 + 8, True)


def test_an_ended_sessions_head_is_counted() -> None:
    host = Accounting("7|TIMEOUT|0:0|c1|2|0|0|7200|rsdat-lab-2")
    used = usage(overview(None), host)
    assert (used.head, used.workers, used.complete) == (4, 4, True)


def test_without_an_accounting_it_is_said_to_be_incomplete() -> None:
    used = usage(overview(job("7", 2, 2), "w1-41.log"), Accounting("disabled", 1))
    assert (used.head, used.workers, used.complete) == (4, 4, False)
