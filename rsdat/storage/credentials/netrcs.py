"""User and password from a netrc file, read again when it changes."""

from __future__ import annotations

import netrc as library
import threading

from rsdat.errors import CredentialError
from rsdat.storage.credentials import secrets

_lock = threading.Lock()
_read: dict[str, tuple[tuple[int, int, int], library.netrc]] = {}


def place_of(setting: bool | str) -> str:
    """The file that is meant."""
    return setting if isinstance(setting, str) else "~/.netrc"


def login(setting: bool | str, host: str) -> tuple[str, str] | None:
    """User and password for a host; None where the file has no line for it.

    Raises
    ------
    CredentialError
        The file is missing, open to others, or cannot be understood.
    """
    path = place_of(setting)
    now = secrets.version(path)
    with _lock:
        kept = _read.get(path)
    if kept is None or kept[0] != now:
        try:
            kept = now, library.netrc(secrets.place(path))
        except library.NetrcParseError as error:
            # Only the line: what cannot be understood may be the password.
            raise CredentialError(
                f"credentials: {path}:{error.lineno} cannot be understood",
                hint="a line is: machine HOST login USER password WORD",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialError(
                f"credentials: {path} cannot be read: {type(error).__name__}",
                hint="it has to be a text that belongs to you, with mode 0600",
            ) from None
        with _lock:
            _read[path] = kept
    found = kept[1].authenticators(host)
    if found is None:
        return None
    user, _, password = found
    return user or "", password or ""
