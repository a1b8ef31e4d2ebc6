"""What can go wrong with a copy: errors that name source, target and next step; what passes."""

from __future__ import annotations

import errno
import sys
from typing import Any

from rsdat.errors import DataError, RsdatError
from rsdat.storage.dcache import retrying
from rsdat.storage.dcache.errors import DoorError
from rsdat.storage.files import scrubbed, shown

#: What the network's absence looks like in an OSError.
NETWORK = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class CopyFailed(DataError, OSError):
    """A file was not copied; nothing half-written stands under the target's name.

    Parameters
    ----------
    message, hint
        What happened, and what to do next.
    source, target
        The addresses, without what is secret in them.
    """

    code = errno.EIO

    def __init__(
        self, message: str, *, hint: str | None = None, source: str = "", target: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.target = target
        self.errno = self.code

    def keywords(self) -> dict[str, Any]:
        """What the constructor was given besides the message."""
        return {**super().keywords(), "source": self.source, "target": self.target}


class Missing(CopyFailed, FileNotFoundError):
    """The source does not exist (any more)."""

    code = errno.ENOENT


class Denied(CopyFailed, PermissionError):
    """The source may not be read, or the target not be written."""

    code = errno.EACCES


class Directory(CopyFailed, IsADirectoryError):
    """One of the two is a directory."""

    code = errno.EISDIR


class Broken(CopyFailed, ConnectionError):
    """The network, or one of the servers, was gone for too long."""

    code = errno.ECONNABORTED


class Full(CopyFailed):
    """There is no room at the target."""

    code = errno.ENOSPC


class Damaged(CopyFailed):
    """What arrived does not have the checksum, or the size, that it should."""


class Changed(CopyFailed):
    """The source was replaced while it was copied."""

    code = errno.ESTALE


class Trouble(Exception):
    """An error and the side that it is from; never leaves this package."""

    def __init__(self, side: str, error: BaseException) -> None:
        super().__init__(side, error)
        self.side = side
        self.error = error


class Stopped(Exception):
    """The copy was called off from another thread."""


class Replaced(Exception):
    """The source is another than before; never leaves this package."""


class Differs(Exception):
    """A checksum or a size is wrong; never leaves this package."""


def passing(error: BaseException) -> bool:
    """Whether a moment may heal it.

    A :class:`DoorError` has been tried for long enough by the filesystem itself.
    """
    if isinstance(error, Trouble):
        return error.side != "source" and passing(error.error)
    if isinstance(error, DoorError | RsdatError):
        return False
    if retrying.lasting(error):
        return False
    status = getattr(error, "status", None)
    if isinstance(status, int) and status in retrying.PASSING | retrying.DOUBTFUL:
        return True
    if retrying.is_break(error) or isinstance(error, EOFError):
        return True
    if isinstance(error, OSError) and error.errno in NETWORK:
        return True
    return _library(error)


def _library(error: BaseException) -> bool:
    """Breaks in the words of paramiko and botocore, which are asked only if they are in use."""
    if paramiko := sys.modules.get("paramiko"):
        if isinstance(error, paramiko.AuthenticationException) and "saw EOF" in str(error):
            return True  # The connection ended while it logged in.
        lasting = (paramiko.AuthenticationException, paramiko.BadHostKeyException)
        if isinstance(error, paramiko.SSHException) and not isinstance(error, lasting):
            return True
        # Its files and channels that are gone: no errno, and these words.
        if isinstance(error, OSError) and error.errno is None and "ocket is closed" in str(error):
            return True
    if botocore := sys.modules.get("botocore.exceptions"):
        kinds = (botocore.HTTPClientError, botocore.ConnectionError)
        return isinstance(error, kinds) or isinstance(error.__cause__, kinds)
    return False


def explained(error: BaseException, source: str, target: str) -> RsdatError:
    """The error for the caller: source, target, what happened, what to do next."""
    from rsdat.storage.credentials import certificates

    side, cause = "target", error
    while isinstance(cause, Trouble):
        side, cause = cause.side, cause.error
    # aiohttp puts an error of its own over one that says what is wrong with a credential.
    if isinstance(cause.__cause__, RsdatError):
        cause = cause.__cause__
    place = source if side == "source" else target
    refused = certificates.refused_by(place, cause)
    kind, words, hint = (Denied, *refused) if refused else _judged(cause, side)
    words = scrubbed(scrubbed(words, source), target)
    return kind(
        f"{shown(source)} was not copied to {shown(target)}: {words}",
        # Not format(): a hint of a server may have braces of its own.
        hint=hint.replace("{place}", shown(place)),
        source=shown(source),
        target=shown(target),
    )


def _judged(cause: BaseException, side: str) -> tuple[type[CopyFailed], str, str]:
    if isinstance(cause, Replaced):
        return Changed, "the source was replaced meanwhile", "run it again"
    if isinstance(cause, Differs):
        hint = "run it again; if it stays, {place} is damaged, or its server's checksum is wrong"
        return Damaged, str(cause), hint
    kind, hint = _kind(cause, side)
    if isinstance(cause, RsdatError):
        return kind, cause.message, cause.hint or hint
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return kind, f"the {side} answers with status {status}", hint
    if isinstance(cause, FileNotFoundError):
        return kind, f"the {side} does not exist", hint
    said = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return kind, f"{said} (at the {side})", hint


def _kind(cause: BaseException, side: str) -> tuple[type[CopyFailed], str]:
    number = getattr(cause, "errno", None)
    status = getattr(cause, "status", None)
    if isinstance(cause, FileNotFoundError) or status in (404, 410):
        return Missing, "check the name {place}"
    if isinstance(cause, IsADirectoryError):
        return Directory, "name a file; `rsdat data cp -r` copies directories"
    if isinstance(cause, PermissionError) or status in (401, 403):
        return Denied, "check your permissions and credentials for {place}"
    if number in FULL:
        return Full, "make room at {place}, or choose another target"
    if isinstance(cause, ConnectionError) or passing(cause):
        return Broken, "check the network, and run it again"
    return CopyFailed, "check the " + side + " {place}, and run it again"
