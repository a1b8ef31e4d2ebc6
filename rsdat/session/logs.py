"""Logs: of the head job or the worker jobs, the end of them or as they grow."""

from __future__ import annotations

from collections.abc import Iterator

from rsdat.errors import SessionError
from rsdat.host.base import Host
from rsdat.session.model import Overview

# The files are named by the script's own glob: worker jobs come and go while we look.
_TAIL_WORKERS = """\
cd "$1" 2>/dev/null && set -- "$2" *.log && [ -f "$2" ] || exit 0
n=$1
shift
tail -n "$n" "$@"
"""


def log_lines(
    overview: Overview, host: Host, *, follow: bool, workers: bool, last: int
) -> Iterator[str]:
    """The last lines of the logs, then, with ``follow``, whatever is added.

    Raises
    ------
    SessionError
        There is no log yet (the job waits) or any more (the directory was deleted).
    """
    session = overview.session
    if workers:
        argv = ["sh", "-c", _TAIL_WORKERS, "rsdat-logs", f"{session.directory}/workers", str(last)]
        if follow:
            argv[2] = _TAIL_WORKERS.replace("tail -n", "exec tail -F -n")
    else:
        log = f"{session.directory}/job.log"
        if host.run(["test", "-f", log], check=False).returncode:
            raise SessionError(
                f"session {session.id} has no log: its job has not started, or its directory was "
                "deleted",
                hint=f"rsdat status {session.id}",
            )
        argv = ["tail", "-n", str(last), *(["-F"] if follow else []), log]
    yield from host.stream(argv)
