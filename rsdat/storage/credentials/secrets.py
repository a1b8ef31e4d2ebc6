"""Where secrets come from: files, variables and commands, read at the moment of use.

A file is read again when it has changed. What a command gave is kept until shortly before it
expires. Nothing here is ever part of a value that is printed or pickled.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rsdat.errors import CredentialError
from rsdat.storage.credentials.tokens import expires

#: Seconds for which a command's token is kept that does not say when it ends.
UNKNOWN_LIFETIME = 300
#: Seconds before its end from which a command's token is asked for anew.
MARGIN = 60
#: Seconds that a command may take.
PATIENCE = 60

_lock = threading.Lock()
_files: dict[str, tuple[tuple[int, int, int], str]] = {}
_commands: dict[tuple[str, ...], _Kept] = {}
_warned: set[str] = set()


@dataclass
class _Kept:
    """A command's last answer; its lock lets one thread at a time run the command."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    text: str = ""
    until: float = 0.0


def place(path: str) -> str:
    """A path with ``~`` and variables resolved on this machine."""
    return os.path.expandvars(os.path.expanduser(path))


def version(path: str) -> tuple[int, int, int]:
    """What changes when a file is written or replaced.

    Raises
    ------
    CredentialError
        There is no such file, it is a directory, or it may not be looked at.
    """
    where = place(path)
    try:
        status = os.stat(where)
    except FileNotFoundError:
        raise CredentialError(
            f"credentials: {path} does not exist" + ("" if where == path else f" ({where})"),
            hint="put the secret there (mode 0600), or correct `credentials` of the site; "
            "workers need the file as well",
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if os.path.isdir(where):
        raise CredentialError(
            f"credentials: {path} is a directory", hint="give the file with the secret"
        )
    _check_mode(path, status.st_mode)
    return status.st_mtime_ns, status.st_ino, status.st_size


def from_file(path: str) -> str:
    """The text of a secret file, without the line's end.

    Raises
    ------
    CredentialError
        It is absent, empty, unreadable, no text, or readable by everyone.
    """
    now = version(path)
    with _lock:
        kept = _files.get(path)
    if kept is not None and kept[0] == now:
        return kept[1]
    try:
        with open(place(path), encoding="utf-8") as stream:
            text = stream.read().strip()
    except UnicodeDecodeError:
        raise CredentialError(
            f"credentials: {path} is not a text", hint="give a file that holds the secret alone"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not text:
        raise CredentialError(
            f"credentials: {path} is empty", hint="write the secret into it (mode 0600)"
        )
    with _lock:
        _files[path] = now, text
    return text


def from_environment(name: str) -> str:
    """The value of a variable.

    Raises
    ------
    CredentialError
        It is not set, or empty.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        raise CredentialError(
            f"credentials: the variable {name} is not set in this process",
            hint="set it where the process starts (on workers: environment.prologue of the site), "
            "or name a file instead, which workers find by themselves",
        )
    return text


def from_command(argv: tuple[str, ...]) -> str:
    """What a command prints, kept until shortly before it expires.

    Raises
    ------
    CredentialError
        It cannot be run, fails, takes too long or prints nothing.
    """
    with _lock:
        kept = _commands.setdefault(argv, _Kept())
    with kept.lock:
        if kept.text and time.time() < kept.until:
            return kept.text
        kept.text = _run(argv)
        kept.until = _keep_until(kept.text)
        return kept.text


def forget(argv: tuple[str, ...]) -> None:
    """Have a command run again at the next use: a server has refused what it gave."""
    with _lock:
        _commands.pop(argv, None)


def _keep_until(token: str) -> float:
    now, ends = time.time(), expires(token)
    if ends is None:
        return now + UNKNOWN_LIFETIME
    left = (ends - datetime.now(UTC)).total_seconds()
    return now + left - min(MARGIN, left / 10)


def _run(argv: tuple[str, ...]) -> str:
    name = argv[0]
    try:
        done = subprocess.run(
            [place(name), *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise CredentialError(
            f"credentials: there is no command {name} on this machine",
            hint="install it, give its whole path, or name a file with the token instead",
        ) from None
    except subprocess.TimeoutExpired:
        raise CredentialError(
            f"credentials: {name} gave no token within {PATIENCE} s",
            hint="run it in a terminal: it may be asking something",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(
            f"credentials: {name} cannot be run: {error}", hint="run it in a terminal"
        ) from None
    token = done.stdout.strip()
    if done.returncode == 0 and token:
        return token
    said = scrubbed(done.stderr) or ("it prints nothing" if done.returncode == 0 else "no message")
    raise CredentialError(
        f"credentials: {name} failed (exit status {done.returncode}): {said}",
        hint=f"run it in a terminal: {' '.join(argv[:2])}" + (" …" if len(argv) > 2 else ""),
    )


def scrubbed(text: str) -> str:
    """Words of a program for a message: one short line, without what looks like a secret."""
    line = " ".join(text.split())
    line = re.sub(r"(?i)\b((?:pass|pwd|token|secret|bearer|key)\w*\s*[=:]?)\s+\S+", r"\1 …", line)
    line = re.sub(r"[A-Za-z0-9+/_=.-]{24,}", "…", line)
    return line[:300]


def _check_mode(path: str, mode: int) -> None:
    if mode & 0o007:
        raise CredentialError(
            f"credentials: everyone on this machine may read or change {path} "
            f"(mode {mode & 0o777:04o})",
            hint=f"chmod 600 {path}; if the machine has other users, make a new secret",
        )
    if mode & 0o070:
        with _lock:
            first = path not in _warned
            _warned.add(path)
        if first:
            warnings.warn(
                f"{path} can be read by its group (mode {mode & 0o777:04o}): chmod 600 {path}",
                stacklevel=2,
            )


def _unreadable(path: str, error: OSError) -> CredentialError:
    return CredentialError(
        f"credentials: {path} cannot be read: {error.strerror}",
        hint="it has to belong to you, with mode 0600",
    )
