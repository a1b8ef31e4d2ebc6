"""What a session's files and the queue's answer mean together."""

import time
from datetime import timedelta

import pytest

from rsdat.config.models import Site
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobState, JobStatus
from rsdat.session.model import State, overviews, state_of
from rsdat.session.remote import Listing, Record

RECORD = Record("lab-2", "/d")
READY = Record("lab-2", "/d", ready={"node": "c1"})
ENDED = Record("lab-2", "/d", ready={"node": "c1"}, end={"reason": "stopped"})


def job(state: JobState) -> JobStatus:
    return JobStatus("7", state)


@pytest.mark.parametrize(
    ("record", "head", "answers", "state"),
    [
        (RECORD, job(JobState.PENDING), True, State.WAITING),
        (RECORD, job(JobState.RUNNING), True, State.STARTING),
        (READY, job(JobState.RUNNING), True, State.READY),
        (ENDED, job(JobState.RUNNING), True, State.ENDING),
        (READY, job(JobState.ENDING), True, State.ENDING),
        (READY, job(JobState.CANCELLED), True, State.ENDED),
        (READY, None, True, State.ENDED),
        # "unknown" is not "gone".
        (READY, None, False, State.UNKNOWN),
        (READY, job(JobState.UNKNOWN), True, State.UNKNOWN),
        (ENDED, None, False, State.ENDED),
    ],
)
def test_state(record: Record, head: JobStatus | None, answers: bool, state: State) -> None:
    assert state_of(record, head, queue_answers=answers) is state


def slurm_line(job: str, state: str, name: str) -> str:
    return f"{job}|{state}|None|c1|2|1700000000|1700036000|1:00:00|{name}"


def listing(text: str, status: int = 0, **record: object) -> Listing:
    return Listing("/d", (Record("lab-2", "/d/sessions/lab-2", **record),), status, text)  # type: ignore[arg-type]


def test_worker_jobs_are_found_by_name_and_strangers_are_not() -> None:
    text = "\n".join(
        [
            slurm_line("7", "RUNNING", "rsdat-lab-2"),
            slurm_line("8", "PENDING", "rsdat-lab-2-w1"),
            slurm_line("9", "RUNNING", "rsdat-lab-23"),
            slurm_line("10", "RUNNING", "other"),
            # Another session, which somebody has named after this one.
            slurm_line("11", "RUNNING", "rsdat-lab-2-bcdfg"),
            slurm_line("12", "RUNNING", "rsdat-lab-2-bcdfg-w1"),
        ]
    )
    found = overviews(listing(text, job="7"), Site(name="x"), queue_named("slurm"))
    (one,) = [one for one in found if one.session.id == "lab-2"]
    assert one.state is State.STARTING
    assert [worker.id for worker in one.workers] == ["8"]
    assert one.head is not None
    assert one.head.elapsed == timedelta(hours=1)


def test_a_session_whose_job_file_is_missing_is_found_by_its_jobs_name() -> None:
    """The disk was full, or the laptop died, right after the submission."""
    text = slurm_line("7", "PENDING", "rsdat-lab-2")
    (one,) = overviews(listing(text), Site(name="x"), queue_named("slurm"))
    assert one.session.job == "7"
    assert one.state is State.WAITING


def test_a_queue_that_does_not_answer_leaves_the_state_unknown() -> None:
    text = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    (one,) = overviews(listing(text, 1, job="7"), Site(name="x"), queue_named("slurm"))
    assert one.state is State.UNKNOWN
    assert one.state.live


def test_a_session_whose_directory_was_deleted_is_still_there_to_be_stopped() -> None:
    text = "\n".join(
        [
            slurm_line("7", "RUNNING", "rsdat-geo-bcdfg"),
            slurm_line("8", "RUNNING", "rsdat-geo-bcdfg-w1"),
        ]
    )
    found = overviews(Listing("/d", (), 0, text), Site(name="x"), queue_named("slurm"))
    assert [one.session.id for one in found] == ["geo-bcdfg"]
    assert found[0].session.job == "7"
    assert [worker.id for worker in found[0].workers] == ["8"]


def test_workers_that_outlive_their_head_are_shown_to_be_stopped() -> None:
    """The head was killed, and nobody was left to cancel its workers."""
    text = "\n".join(
        [
            slurm_line("7", "FAILED", "rsdat-lab-bcdfg"),
            slurm_line("8", "PENDING", "rsdat-lab-bcdfg-w1"),
            slurm_line("9", "RUNNING", "rsdat-geo-bcdfg-w1"),
        ]
    )
    record = Record("lab-bcdfg", "/d/sessions/lab-bcdfg", "7", end={"message": "failed"})
    found = overviews(Listing("/d", (record,), 0, text), Site(name="x"), queue_named("slurm"))
    assert {one.session.id: one.state for one in found} == {
        "lab-bcdfg": State.ENDING,
        "geo-bcdfg": State.ENDING,  # its directory is gone, too
    }
    assert "1 worker job is left" in found[0].why


def test_a_session_that_is_being_submitted_has_not_ended() -> None:
    young = Record("lab-2", "/d", request={"created": time.time()})
    (one,) = overviews(Listing("/d", (young,), 0, ""), Site(name="x"), queue_named("slurm"))
    assert one.state is State.WAITING
    assert one.why == "it is being submitted"
    old = Record("lab-2", "/d", request={"created": time.time() - 600})
    (one,) = overviews(Listing("/d", (old,), 0, ""), Site(name="x"), queue_named("slurm"))
    assert one.state is State.ENDED


@pytest.mark.parametrize(
    ("site", "record"),
    [
        # A login host without and with its cluster's queue, and two workstations with one home.
        (Site(name="local", queue="local"), Record("lab-2", "/d", "7", {"queue": "slurm"})),
        (Site(name="x", queue="slurm"), Record("lab-2", "/d", "7.1", {"queue": "local"})),
        (Site(name="local", queue="local"), Record("lab-2", "/d", "7.1", node="other")),
    ],
)
def test_a_session_of_another_queue_in_the_same_home_is_not_said_to_have_ended(
    site: Site, record: Record
) -> None:
    listing = Listing("/d", (record,), 0, "", host="this")
    assert overviews(listing, site, queue_named(site.queue)) == []


def test_why_a_session_waits_is_in_plain_words() -> None:
    text = "7|PENDING|Priority||1|0|0|0:00|rsdat-lab-2"
    (one,) = overviews(listing(text, job="7"), Site(name="x"), queue_named("slurm"))
    assert one.why == queue_named("slurm").explain("Priority")
