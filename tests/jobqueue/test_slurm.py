"""What Slurm's commands print, recorded from releases 22.05 and 24.11, and what we make of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rsdat.errors import QueueError
from rsdat.host.base import Completed
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.base import JobState
from rsdat.jobqueue.status import interpret_status

QUEUE = queue_named("slurm")
RECORDED = Path(__file__).parent / "recorded"

UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified\n"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def refusals(release: str) -> dict[str, str]:
    text = recorded(f"slurm-{release}-sbatch-refused.txt")
    blocks = text.split("--- ")[1:]
    return dict(block.split("\n", 1) for block in blocks)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def ran(stdout: str = "", stderr: str = "", returncode: int = 0) -> Completed:
    return Completed(("squeue",), returncode, stdout, stderr)


def test_the_listing_gives_every_job_its_state() -> None:
    jobs = QUEUE.parse_status(recorded("slurm-22.05-squeue.txt"))
    assert {job: status.state for job, status in jobs.items()} == {
        "12": JobState.PENDING,
        "3": JobState.COMPLETED,
        "4": JobState.FAILED,
        "5": JobState.FAILED,
        "7": JobState.PENDING,
        "8": JobState.PENDING,
        "10": JobState.PENDING,
        "11": JobState.PENDING,
        "9": JobState.PENDING,
        "1": JobState.RUNNING,
        "2": JobState.RUNNING,
        "6": JobState.RUNNING,
        "13": JobState.PENDING,
        "10001": JobState.COMPLETED,
        "10006": JobState.CANCELLED,
    }


def test_a_running_job_has_its_node_cores_and_times() -> None:
    job = QUEUE.parse_status(recorded("slurm-22.05-squeue.txt"))["2"]
    assert job.name == "rsdat-run"
    assert job.nodes == "c1"
    assert job.cores == 2
    assert job.start == at(1795199684)
    assert job.end == job.start + timedelta(minutes=30)
    assert job.elapsed == timedelta(seconds=23)
    assert job.reason == ""


def test_a_pending_job_has_its_reason_and_the_expected_start_where_there_is_one() -> None:
    jobs = QUEUE.parse_status(recorded("slurm-22.05-squeue.txt"))
    assert jobs["7"].reason == "Resources"
    assert jobs["7"].start == at(1795201484)
    assert jobs["12"].reason == "PartitionDown"
    assert jobs["12"].start is None
    assert jobs["12"].nodes == ""


def test_a_name_may_hold_the_separator() -> None:
    jobs = QUEUE.parse_status(recorded("slurm-22.05-squeue.txt"))
    assert jobs["10006"].name == "rsdat-jq a|b"


def test_the_listing_of_a_newer_release_reads_the_same() -> None:
    jobs = QUEUE.parse_status(recorded("slurm-24.11-squeue.txt"))
    assert jobs["1"].state is JobState.CANCELLED
    assert jobs["10"].state is JobState.FAILED
    assert jobs["6"].reason == "PartitionDown"
    assert jobs["4"].reason == ""


@pytest.mark.parametrize("noise", ["", "Welcome to the cluster!\n", "a|b\n", "x|RUNNING|||||||y\n"])
def test_lines_of_others_are_passed_over(noise: str) -> None:
    jobs = QUEUE.parse_status(noise + "7|RUNNING|None|c1|1|N/A|N/A|INVALID|n\n")
    assert list(jobs) == ["7"]
    assert jobs["7"].elapsed is None


@pytest.mark.parametrize(
    ("word", "state", "reason"),
    [
        ("CONFIGURING", JobState.PENDING, "CONFIGURING"),
        ("COMPLETING", JobState.ENDING, "COMPLETING"),
        ("SUSPENDED", JobState.RUNNING, "SUSPENDED"),
        ("OUT_OF_MEMORY", JobState.FAILED, "OUT_OF_MEMORY"),
        ("NODE_FAIL", JobState.FAILED, "NODE_FAIL"),
        ("PREEMPTED", JobState.CANCELLED, "PREEMPTED"),
        ("TIMEOUT", JobState.TIMEOUT, ""),
        ("A_STATE_OF_THE_FUTURE", JobState.UNKNOWN, "A_STATE_OF_THE_FUTURE"),
    ],
)
def test_states_that_say_more_than_ours_become_the_reason(
    word: str, state: JobState, reason: str
) -> None:
    job = QUEUE.parse_status(f"7|{word}|None|c1|1|N/A|N/A|1-02:03:04|n\n")["7"]
    assert (job.state, job.reason) == (state, reason)
    assert job.elapsed == timedelta(days=1, hours=2, minutes=3, seconds=4)


def test_the_accounting_gives_how_jobs_ended() -> None:
    jobs = QUEUE.parse_history(recorded("slurm-22.05-sacct.txt"))
    assert jobs["1"].state is JobState.TIMEOUT
    assert jobs["1"].elapsed == timedelta(seconds=87)
    assert jobs["2"].cores == 2
    assert jobs["2"].end == at(1795200284)
    assert jobs["4"].state is JobState.FAILED
    assert jobs["4"].exit_code == 3
    assert jobs["5"].exit_code == 137
    assert jobs["7"].end is None
    assert jobs["9"].start is None
    assert jobs["9"].nodes == ""
    assert jobs["10006"].state is JobState.CANCELLED


def test_times_are_asked_for_as_seconds_and_hiding_variables_overruled() -> None:
    argv = QUEUE.status(["7", "8"])
    assert argv[:3] == ["env", "SLURM_TIME_FORMAT=%s", "squeue"]
    assert "--jobs=7,8" in argv
    assert "--states=all" in argv


def test_one_id_is_asked_for_twice_because_squeue_fails_on_one_unknown_job() -> None:
    assert "--jobs=7,7" in QUEUE.status(["7"])


def test_an_absent_job_is_forgotten_when_the_queue_answered() -> None:
    answer = ran("7|RUNNING|None|c1|1|N/A|N/A|0:01|n\n")
    assert list(interpret_status(QUEUE, ["7", "8"], answer)) == ["7"]
    assert interpret_status(QUEUE, ["8"], ran(stderr=FORGOTTEN, returncode=1)) == {}


def test_a_controller_that_does_not_answer_leaves_every_job_unknown_not_gone() -> None:
    for answer in (ran(stderr=UNREACHABLE, returncode=1), None):
        found = interpret_status(QUEUE, ["7", "8"], answer)
        assert {job: status.state for job, status in found.items()} == {
            "7": JobState.UNKNOWN,
            "8": JobState.UNKNOWN,
        }
        assert not any(status.state.over for status in found.values())


@pytest.mark.parametrize(
    ("stdout", "job"),
    [("17\n", "17"), ("17;spider\n", "17"), ("Lmod has warned you\n\n17;spider\n", "17")],
)
def test_the_id_is_in_the_last_line(stdout: str, job: str) -> None:
    assert QUEUE.parse_submit(stdout) == job


@pytest.mark.parametrize("stdout", ["", "\n", "Submitted batch job 17\n", "sorry\n"])
def test_no_id_is_an_error(stdout: str) -> None:
    with pytest.raises(QueueError, match="no job id"):
        QUEUE.parse_submit(stdout)


def test_the_announced_start_is_read() -> None:
    said = "sbatch: Job 2 to start at 1795201069 using 1 processors on nodes node1 in partition m\n"
    assert QUEUE.parse_try(f"sbatch: welcome\n{said}") == at(1795201069)
    assert QUEUE.parse_try("allocation failure: Invalid qos specification\n") is None


@pytest.mark.parametrize("release", ["22.05", "24.11"])
def test_every_recorded_refusal_has_plain_words(release: str) -> None:
    for command, stderr in refusals(release).items():
        words = QUEUE.refusal(stderr)
        assert words, command
        assert "{" not in words


@pytest.mark.parametrize(
    ("release", "option", "words"),
    [
        ("22.05", "--account=nobody", "--account"),
        ("22.05", "--partition=nowhere", "no partition nowhere"),
        ("22.05", "--mem=9999G", "--memory"),
        ("22.05", "--nosuchoption", "--nosuchoption"),
        ("22.05", "--time=foo", "--time"),
        ("22.05", "(no controller)", "does not answer"),
        ("22.05", "(not a Slurm host)", "does not answer"),
        ("24.11", "--partition=closed", "inactive or drained"),
        ("24.11", "--partition=group", "may not use this partition"),
        ("24.11", "--cpus-per-task=9999", "--cores"),
        ("24.11", "--time=999-00:00:00", "--walltime"),
        ("24.11", "--dependency=afterok:99999", "depends"),
    ],
)
def test_refusals_name_the_cause_and_the_way_out(release: str, option: str, words: str) -> None:
    found = [text for command, text in refusals(release).items() if option in command]
    assert found
    for stderr in found:
        assert words in (QUEUE.refusal(stderr) or "")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        # Texts of slurm_errno.c that the recorded clusters do not produce.
        ("Batch job submission failed: Invalid qos specification", "QOS"),
        ("Socket timed out on send/recv operation", "does not answer"),
        ("Rate limit exceeded, please retry momentarily", "busy"),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission "
            "failed: Job violates accounting/QOS policy (job submit limit, user's size and/or "
            "time limits)",
            "as many jobs",
        ),
        (
            "sbatch: error: AssocMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission "
            "failed: Job violates accounting/QOS policy (job submit limit, user's size and/or "
            "time limits)",
            "--walltime",
        ),
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
            "user's size and/or time limits)",
            "over what your account",
        ),
        ("No partition specified or system default partition", "no default partition"),
        ("sh: 1: sbatch: not found", "no sbatch"),
    ],
)
def test_refusals_of_other_sites(stderr: str, words: str) -> None:
    assert words in (QUEUE.refusal(stderr) or "")


def test_an_unknown_refusal_is_left_to_the_caller() -> None:
    assert QUEUE.refusal("the dog ate it") is None


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Resources", "cores, memory or a node"),
        ("(Priority)", "higher priority"),
        ("PartitionDown", "--partition"),
        ("PartitionTimeLimit", "--walltime"),
        ("PartitionConfig", "will not start"),
        ("ReqNodeNotAvail, UnavailableNodes:c1", "maintenance"),
        ("ReqNodeNotAvail, Reserved for maintenance", "maintenance is planned"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions",
            "down, drained",
        ),
        ("Dependency", "another job to end"),
        ("DependencyNeverSatisfied", "never start"),
        ("BeginTime", "given time"),
        ("JobHeldUser", "scontrol release"),
        ("JobHeldAdmin", "administrator"),
        ("launch failed requeued held", "rsdat stop"),
        ("QOSMaxCpuPerUserLimit", "you already use as much"),
        ("QOSMaxJobsPerUserLimit", "as many jobs"),
        ("QOSMaxWallDurationPerJobLimit", "--walltime"),
        ("QOSGrpCpuLimit", "your project already uses"),
        ("AssocGrpCpuLimit", "your project already uses"),
        ("AssocGrpCPUMinutesLimit", "budget"),
        ("AssocGrpBillingMinutes", "budget"),
        ("AssocMaxJobsLimit", "as many jobs"),
        ("AssocMaxCpuPerJobLimit", "--cores"),
        ("MaxMemPerLimit", "--memory"),
        ("OUT_OF_MEMORY", "more memory"),
        ("JobLaunchFailure", "launch again"),
        ("NonZeroExitCode", "log"),
        ("InvalidAccount", "--account"),
        ("SomethingNew", "Slurm says: SomethingNew"),
    ],
)
def test_reasons_in_plain_words(reason: str, words: str) -> None:
    assert words in QUEUE.explain(reason)
