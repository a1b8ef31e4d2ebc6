"""Slurm as a job queue: scripts, argv, and the parsing of what its commands print.

Only forms that every Slurm since 20.02 prints are read: the JSON output differs by version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

from rsdat.config.units import format_walltime
from rsdat.errors import QueueError
from rsdat.host.base import Completed
from rsdat.jobqueue import slurm_words
from rsdat.jobqueue.base import JOB_ID, JobRequest, JobState, JobStatus, Resources
from rsdat.jobqueue.quoting import directive_line, directive_value
from rsdat.jobqueue.rendering import render

_MIB = 2**20
# Times as seconds since 1970: squeue and sacct print the cluster's local time without its zone.
_EPOCH = ("env", "SLURM_TIME_FORMAT=%s")
# The name comes last because it is free text and may hold the separator.
_STATUS_FIELDS = "%i|%T|%r|%N|%C|%S|%e|%M|%j"
_HISTORY_FIELDS = "JobID,State,ExitCode,NodeList,AllocCPUS,Start,End,ElapsedRaw,JobName"


class SlurmQueue:
    """The adapter for Slurm."""

    name = "slurm"

    def script(self, request: JobRequest) -> str:
        """The job script, exactly as it is submitted."""
        return render(
            "slurm.sh.j2",
            request,
            directives=_directives(request),
            warned=request.warn_before is not None,
        )

    def submit(self, script: str) -> list[str]:
        """Argv that submits the script at this path and prints the job's id."""
        return ["sbatch", "--parsable", script]

    def parse_submit(self, stdout: str) -> str:
        """The job's id: the last line is ``id`` or ``id;cluster``."""
        lines = stdout.strip().splitlines()
        job = lines[-1].split(";")[0].strip() if lines else ""
        if not job.isdecimal():
            raise QueueError(
                f"sbatch printed no job id but {stdout.strip()[-200:]!r}",
                hint="Run `rsdat doctor` to see what the site's sbatch says.",
            )
        return job

    def try_submit(self, script: str) -> list[str]:
        """Argv that asks whether the script would be accepted, and when it would start."""
        return [*_EPOCH, "sbatch", "--test-only", script]

    def parse_try(self, stderr: str) -> datetime | None:
        """When an accepted script would start, from what :meth:`try_submit` prints to stderr."""
        return slurm_words.expected_start(stderr)

    def status(self, ids: Sequence[str]) -> list[str]:
        """Argv that lists these jobs, all in one call.

        Finished jobs are listed for some minutes (MinJobAge), with the state they ended in.
        """
        wanted = list(ids)
        if len(wanted) == 1:
            # One unknown id is an error to squeue; of several, it leaves out the unknown ones.
            wanted *= 2
        return [*_squeue(), f"--jobs={','.join(wanted)}"]

    def status_by_name(self, prefix: str) -> list[str]:
        """Argv that lists the user's own jobs (the caller keeps those named ``prefix…``)."""
        return _squeue()

    def parse_status(self, stdout: str) -> dict[str, JobStatus]:
        """Job id to status. A job that is absent is not listed: the queue has forgotten it."""
        jobs = (_status(line) for line in stdout.splitlines())
        return {job.id: job for job in jobs if job}

    def answered(self, completed: Completed) -> bool:
        """Whether the queue answered at all, be it that it knows none of the jobs."""
        return completed.returncode == 0 or slurm_words.unknown_job(completed.stderr)

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Argv that cancels these jobs; jobs that are gone already are no error."""
        return ["scancel", "--quiet", *ids]

    def history(self, ids: Sequence[str]) -> list[str]:
        """Argv that asks the accounting for jobs the queue has forgotten."""
        return [
            *_EPOCH,
            "sacct",
            "--allocations",
            "--noheader",
            "--parsable2",
            f"--jobs={','.join(ids)}",
            f"--format={_HISTORY_FIELDS}",
        ]

    def parse_history(self, stdout: str) -> dict[str, JobStatus]:
        """As :meth:`parse_status`, from the accounting."""
        jobs = (_past(line) for line in stdout.splitlines())
        return {job.id: job for job in jobs if job}

    def explain(self, reason: str) -> str:
        """The queue's reason in plain words, with what the user can do about it if anything."""
        return slurm_words.explain(reason)

    def refusal(self, stderr: str) -> str | None:
        """The cause of a refused submission in plain words; None when it is not known."""
        return slurm_words.refusal(stderr)


def _directives(request: JobRequest) -> list[str]:
    wanted = request.resources
    options: list[tuple[str, str | None]] = [
        ("job-name", request.name),
        # %j and the like are patterns to Slurm; a path of ours is meant as it is.
        ("output", request.log.replace("%", "%%").replace(JOB_ID, "%j")),
        ("ntasks", "1"),
        ("cpus-per-task", str(wanted.cores)),
        ("mem", f"{ceil(wanted.memory / _MIB)}M" if wanted.memory else None),
        ("time", format_walltime(_whole(wanted)) if wanted.walltime else None),
        ("partition", wanted.partition),
        ("account", wanted.account),
        ("qos", wanted.qos),
        ("gres", wanted.gres),
        ("constraint", wanted.constraint),
    ]
    if request.warn_before is not None:
        seconds = ceil(request.warn_before.total_seconds())
        options.append(("signal", f"B:USR1@{seconds}"))
    lines = [
        f"--{key}={directive_value(key, value)}" for key, value in options if value is not None
    ]
    return [*lines, *(directive_line(line) for line in wanted.directives)]


def _whole(wanted: Resources) -> timedelta:
    assert wanted.walltime is not None
    return timedelta(seconds=ceil(wanted.walltime.total_seconds()))


def _squeue() -> list[str]:
    # Explicit options throughout: a user's SQUEUE_* variables may hide states or jobs.
    return [*_EPOCH, "squeue", "--noheader", "--me", "--states=all", f"--format={_STATUS_FIELDS}"]


def _status(line: str) -> JobStatus | None:
    fields = line.split("|", 8)
    if len(fields) < 9 or not fields[0].strip()[:1].isdigit():
        return None
    job, word, reason, nodes, cores, start, end, elapsed, name = (part.strip() for part in fields)
    state = slurm_words.state(word)
    return JobStatus(
        id=job,
        state=state,
        name=name,
        reason=_reason(state, word, reason),
        nodes=nodes,
        start=_time(start),
        end=_time(end),
        cores=_number(cores),
        elapsed=slurm_words.duration(elapsed),
    )


def _past(line: str) -> JobStatus | None:
    fields = line.split("|", 8)
    if len(fields) < 9 or not fields[0].strip()[:1].isdigit():
        return None
    job, words, code, nodes, cores, start, end, elapsed, name = (part.strip() for part in fields)
    word = words.split()[0] if words else ""  # as in "CANCELLED by 1000"
    state = slurm_words.state(word)
    seconds = _number(elapsed)
    return JobStatus(
        id=job,
        state=state,
        name=name,
        reason=_reason(state, word, ""),
        nodes="" if nodes == "None assigned" else nodes,
        start=_time(start),
        end=_time(end),
        cores=_number(cores),
        elapsed=None if seconds is None else timedelta(seconds=seconds),
        exit_code=slurm_words.exit_code(code),
    )


def _reason(state: JobState, word: str, reason: str) -> str:
    """The queue's reason; where it gives none, a state of its own that says more than ours."""
    if reason and reason != "None":
        return reason
    return "" if word.lower() == state.value else word


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _time(text: str) -> datetime | None:
    seconds = _number(text)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
