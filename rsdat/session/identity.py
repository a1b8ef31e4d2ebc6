"""Names of sessions: their ids, job names, and the port a session has on every laptop."""

from __future__ import annotations

import re
import secrets
import zlib

from rsdat.errors import SessionError

# Without vowels and look-alikes: an id is read aloud and never spells a word. Without w: a worker
# job's name ends in -w and a number.
_ALPHABET = "23456789bcdfghjkmnpqrstvxz"
_ID = rf"[A-Za-z0-9][A-Za-z0-9.-]*-[{_ALPHABET}]{{5}}"
JOB_PREFIX = "rsdat-"


def new_id(name: str) -> str:
    """A fresh session id, ``NAME-xxxx``, unique without asking anybody.

    Raises
    ------
    SessionError
        If the name has other characters than letters, digits, dots and dashes.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}", name):
        raise SessionError(
            f"{name!r} cannot name a session",
            hint="Use up to 40 letters, digits, dots and dashes, beginning with a letter or digit.",
        )
    return f"{name}-{''.join(secrets.choice(_ALPHABET) for _ in range(5))}"


def job_name(session_id: str) -> str:
    """The head job's name in the queue; worker jobs' names begin with it and a dash."""
    return f"{JOB_PREFIX}{session_id}"


def session_of_job(name: str) -> str | None:
    """The id of the session whose head job has this name; None for workers' and others' jobs."""
    match = re.fullmatch(rf"{JOB_PREFIX}({_ID})", name)
    return match[1] if match else None


def session_of_worker(name: str) -> str | None:
    """The id of the session of whose worker jobs this name is one; None for all others."""
    match = re.fullmatch(rf"{JOB_PREFIX}({_ID})-w\d+", name)
    return match[1] if match else None


def preferred_port(session_id: str) -> int:
    """The local port of a session's JupyterLab: the same on each laptop, so that URLs last.

    Below the ephemeral range of Linux (32768) and macOS (49152), which other programs draw from.
    """
    return 20000 + zlib.crc32(session_id.encode()) % 12000
