"""How both kinds of host word a command that failed, took too long, or a file that is not there."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence

from rsdat.errors import HostError
from rsdat.host.diagnose import HostTimeout

_LONGEST = 120


def command_text(argv: Sequence[str]) -> str:
    """The command for a message: one line, not too long."""
    text = " ".join(shlex.quote(a) for a in argv).replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def failed(host: str, argv: Sequence[str], returncode: int, stderr: str) -> HostError:
    """Return the error for a command that ended with a status other than 0."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    why = f": {said[-1]}" if said else ""
    hint = (
        f"Is {argv[0]} installed there, and in the PATH of a login?" if returncode == 127 else None
    )
    return HostError(
        f"`{command_text(argv)}` failed on {host} (status {returncode}){why}", hint=hint
    )


def timed_out(host: str, argv: Sequence[str], seconds: float) -> HostTimeout:
    """Return the error for a command that did not end in time."""
    return HostTimeout(
        f"`{command_text(argv)}` on {host} did not end within {seconds:g} s",
        hint="The host or its file system may be slow just now; it may still be running there.",
    )


def absent(path: str, host: str) -> FileNotFoundError:
    """Return the error for a file that is not there."""
    return FileNotFoundError(errno.ENOENT, f"no such file on {host}", path)
