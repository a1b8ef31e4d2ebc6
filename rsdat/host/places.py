"""Where a laptop keeps its control sockets, and the state that outlives a login."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rsdat.errors import HostError

# ssh binds a socket of 40 characters plus a temporary suffix of 17 in it.
_LONGEST_DIRECTORY = 40


def control_directory() -> Path:
    """Directory of the control sockets: short, ours, closed to everybody else.

    Raises
    ------
    HostError
        When something else is in its place: whoever owns the directory owns our connections.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.isdir(runtime) and len(runtime) + 6 <= _LONGEST_DIRECTORY:
        return _private(Path(runtime) / "rsdat")
    return _private(Path(f"/tmp/rsdat-{os.getuid()}"))


def state_directory() -> Path:
    """``$XDG_STATE_HOME/rsdat``, made when absent, closed to others."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    directory = Path(base).expanduser() / "rsdat"
    directory.parent.mkdir(parents=True, exist_ok=True)
    return _private(directory)


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    # lstat: a symbolic link put there by somebody else must not lead us into their directory.
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HostError(
            f"{directory} belongs to somebody else: refusing to keep connections in it",
            hint="Set XDG_RUNTIME_DIR to a directory of your own, or have that one removed.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise HostError(
            f"{directory} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"Run: chmod 700 {directory}",
        )
    return directory
