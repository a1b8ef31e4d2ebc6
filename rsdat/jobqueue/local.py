"""No job queue: jobs are processes in the background of one machine, under the same protocol.

Everything is done by one POSIX shell script (``scripts/local.sh``), so that it works wherever a
host runs commands. A job starts at once, has no limit of memory or time, and cannot be refused;
its log and the record of its end survive whoever started it. Prepared for macOS (no ``/proc``, no
``setsid``), run on Linux only so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

from rsdat.errors import QueueError
from rsdat.host.base import Completed
from rsdat.jobqueue.base import JOB_ID, JobRequest, JobState, JobStatus
from rsdat.jobqueue.quoting import shell_word
from rsdat.jobqueue.rendering import render

#: Seconds between TERM and KILL for a job that is cancelled.
GRACE = 10

_REASONS = {
    "Lost": "it was killed from outside, or the machine was restarted",
    "NonZeroExitCode": "its program ended with an error; see its log",
}


class LocalQueue:
    """The adapter for a machine without a job queue."""

    name = "local"

    def script(self, request: JobRequest) -> str:
        """The job script. Walltime, memory and the queue's directives have no meaning here."""
        return render(
            "local.sh.j2",
            request,
            log=_log(request.log),
            cores=request.resources.cores,
        )

    def submit(self, script: str) -> list[str]:
        """Argv that starts the script, detached from the caller, and prints the job's id."""
        return [*_program(), "submit", script]

    def parse_submit(self, stdout: str) -> str:
        """The job's id."""
        lines = stdout.strip().splitlines()
        job = lines[-1].strip() if lines else ""
        if not job.replace(".", "", 1).isdecimal():
            raise QueueError(
                f"the job was not started: {stdout.strip()[-200:]!r}",
                hint="See whether your home directory can be written to.",
            )
        return job

    def try_submit(self, script: str) -> None:
        """None: there is nobody to ask."""

    def parse_try(self, stderr: str) -> None:
        """None: a job starts at once."""

    def status(self, ids: Sequence[str]) -> list[str]:
        """Argv that lists these jobs, all in one call."""
        # A further id that no job can have: without any, the script lists all jobs.
        return [*_program(), "status", "0", *ids]

    def status_by_name(self, prefix: str) -> list[str]:
        """Argv that lists all jobs on record (the caller keeps those named ``prefix…``)."""
        return [*_program(), "status"]

    def parse_status(self, stdout: str) -> dict[str, JobStatus]:
        """Job id to status. A job that is absent was never started on this machine."""
        jobs = (_status(line) for line in stdout.splitlines())
        return {job.id: job for job in jobs if job}

    def answered(self, completed: Completed) -> bool:
        """Whether the call succeeded."""
        return completed.returncode == 0

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Argv that ends these jobs: TERM to the program, KILL to what is left after a while."""
        return [*_program(), "cancel", str(GRACE), *ids]

    def history(self, ids: Sequence[str]) -> None:
        """None: :meth:`status` knows the jobs of the last month already."""

    def parse_history(self, stdout: str) -> dict[str, JobStatus]:
        """Nothing."""
        return {}

    def explain(self, reason: str) -> str:
        """The reason of a job's end in plain words."""
        return _REASONS.get(reason, reason)

    def refusal(self, stderr: str) -> str | None:
        """The cause in plain words of a job that could not be started."""
        if "No space left" in stderr or "quota exceeded" in stderr:
            return "a disk is full; make room in your home directory"
        if "cannot read the job script" in stderr:
            return "the job script could not be read"
        return None


def _log(path: str) -> str:
    """The log for the shell, which knows the job's id by the name of its record."""
    before, job, after = path.partition(JOB_ID)
    if not job:
        return shell_word(path)
    return shell_word(before) + '"${RSDAT_JOB_RECORD##*/}"' + shell_word(after)


@cache
def _text() -> str:
    return files("rsdat.jobqueue").joinpath("scripts", "local.sh").read_text(encoding="utf-8")


def _program() -> list[str]:
    return ["sh", "-c", _text(), "rsdat-jobs"]


def _status(line: str) -> JobStatus | None:
    fields = line.split("|", 6)
    if len(fields) < 7:
        return None
    job, word, submitted, ended, code, cores, name = fields
    exit_code = int(code) if code.isdecimal() else None
    state, reason = _state(word, exit_code)
    started = int(submitted) if submitted.isdecimal() else None
    return JobStatus(
        id=job,
        state=state,
        name=name,
        reason=reason,
        nodes="localhost",
        start=datetime.fromtimestamp(started, UTC) if started else None,
        cores=int(cores) if cores.isdecimal() else None,
        elapsed=timedelta(seconds=max(0, int(ended) - started)) if started else None,
        exit_code=exit_code,
    )


def _state(word: str, exit_code: int | None) -> tuple[JobState, str]:
    if word == "EXITED":
        if exit_code == 0:
            return JobState.COMPLETED, ""
        return JobState.FAILED, "NonZeroExitCode"
    if word == "LOST":
        return JobState.FAILED, "Lost"
    known = {
        "RUNNING": JobState.RUNNING,
        "ENDING": JobState.ENDING,
        "CANCELLED": JobState.CANCELLED,
    }
    return known.get(word, JobState.UNKNOWN), ""
