"""What a door's refusals are called: built-in kinds of OSError that say what to do next.

Every error is a :class:`~rsdat.errors.DataError` and the OSError that Python code expects
(``PermissionError``, ``FileNotFoundError``, …), with ``errno``, ``path`` and ``door`` set. They
survive pickling, because they travel from Dask workers.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

from rsdat.errors import DataError


class DoorError(DataError, OSError):
    """A door refused, failed, or answered something that makes no sense.

    Parameters
    ----------
    message, hint
        What happened, and what to do next.
    path
        The path inside the filesystem.
    door
        The door's address.
    status
        The HTTP status, if the door answered.
    """

    code: int = errno.EIO

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        path: str | None = None,
        door: str | None = None,
        status: int | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.door = door
        self.status = status
        self.errno = self.code if code is None else code

    def keywords(self) -> dict[str, Any]:
        """What the constructor was given besides the message."""
        own = {"path": self.path, "door": self.door, "status": self.status, "code": self.errno}
        return {**super().keywords(), **own}


class NotFound(DoorError, FileNotFoundError):
    """There is nothing of this name."""

    code = errno.ENOENT


class Denied(DoorError, PermissionError):
    """The door wants a credential, or the credential does not allow this."""

    code = errno.EACCES


class Exists(DoorError, FileExistsError):
    """There is something of this name, and it may not be replaced."""

    code = errno.EEXIST


class IsDirectory(DoorError, IsADirectoryError):
    """A file was expected where there is a directory."""

    code = errno.EISDIR


class NotDirectory(DoorError, NotADirectoryError):
    """A directory was expected where there is a file."""

    code = errno.ENOTDIR


class NotEmpty(DoorError):
    """A directory that was to be removed has entries."""

    code = errno.ENOTEMPTY


class NoSpace(DoorError):
    """The quota is used up, or the door has no room."""

    code = errno.EDQUOT


class Unreachable(DoorError, ConnectionError):
    """The door, or one of its pools, does not answer, or breaks off."""

    code = errno.ECONNABORTED


class Nearline(DoorError):
    """The file is on tape only: reading it would wait for the tape."""

    code = errno.EAGAIN


class Lost(DoorError):
    """The file's data is lost, or its pool is not available now."""

    code = errno.EIO


class Changed(DoorError):
    """The file was replaced while it was read."""

    code = errno.ESTALE


class WrongChecksum(DoorError):
    """What arrived is not what was sent."""

    code = errno.EIO


class Unsupported(DoorError):
    """The door does not offer this."""

    code = errno.ENOTSUP


class StagingFailed(DoorError):
    """Some files could not be brought from tape, or not in time."""

    code = errno.EIO


# What a macaroon has to allow, for the hint of a refusal.
ACTIVITIES = {
    "read": ("DOWNLOAD",),
    "describe": ("READ_METADATA",),
    "list": ("LIST",),
    "write": ("UPLOAD", "DELETE"),
    "make": ("UPLOAD",),
    "remove": ("DELETE",),
    "move": ("MANAGE", "UPLOAD", "DELETE"),
    "copy": ("DOWNLOAD", "UPLOAD"),
    "label": ("UPDATE_METADATA",),
    "stage": ("STAGE",),
}


@dataclass(frozen=True)
class Lack:
    """What is seen to be wrong with a credential: in words, and what heals it.

    Without a remedy it is a token that is good, and does not allow enough.
    """

    words: str
    remedy: str | None = None


def refusal(
    status: int,
    *,
    action: str,
    path: str,
    door: str,
    detail: str = "",
    credential: str = "",
    lacking: Lack | None = None,
) -> DoorError:
    """The error for an answer of a door that is not a success.

    Parameters
    ----------
    status
        The HTTP status.
    action
        What was tried: a key of :data:`ACTIVITIES`.
    detail
        What the door said.
    credential
        What is known of the credential that was sent, without its secret.
    lacking
        What it is seen to lack: "it expired on …", "it does not allow UPLOAD …".
    """
    said = f" ({detail})" if detail else ""
    facts: dict[str, Any] = {"path": path, "door": door, "status": status}
    place = f"{path} at {door}"
    if status in (401, 403):
        return _denied(status, action, place, said, (credential, lacking), facts)
    if status in (404, 410):
        return NotFound(f"{place} does not exist", hint="check the name", **facts)
    if status in (405, 409, 412):
        return Exists(
            f"cannot {action} {place}: the door says that it is in the way of something{said}",
            hint="list the directory; remove what is there first, or choose another name",
            **facts,
        )
    if status in (413, 507):
        return NoSpace(
            f"cannot {action} {place}: no room is left in the quota of this directory{said}",
            hint="remove files there, or ask the storage's administrators for a larger quota",
            code=errno.EDQUOT if "quota" in detail.lower() or status == 507 else errno.ENOSPC,
            **facts,
        )
    return _failed(status, action, place, said, facts)


def _failed(status: int, action: str, place: str, said: str, facts: dict[str, Any]) -> DoorError:
    if status in (423, 429, 503):
        return DoorError(
            f"cannot {action} {place}: the door is busy (status {status}){said}",
            hint="try again later",
            code=errno.EBUSY,
            **facts,
        )
    if status == 501:
        return Unsupported(f"cannot {action} {place}: the door does not offer it{said}", **facts)
    return DoorError(
        f"cannot {action} {place}: the door answered with status {status}{said}",
        hint="try again; if it stays, tell the storage's administrators the path and the time",
        **facts,
    )


def _denied(
    status: int,
    action: str,
    place: str,
    said: str,
    credential: tuple[str, Lack | None],
    facts: dict[str, Any],
) -> Denied:
    reference, lacking = credential
    needed = " and ".join(ACTIVITIES[action])
    if not reference:
        return Denied(
            f"cannot {action} {place}: the door wants a credential and none is configured{said}",
            hint="give token_file=, or add the host to `credentials:` in your configuration",
            **facts,
        )
    if lacking is not None:
        return Denied(
            f"cannot {action} {place} with {reference}: {lacking.words}{said}",
            hint=lacking.remedy
            or f"get a token that allows {needed} for this path (`rsdat data token create`)",
            **facts,
        )
    if status == 401:
        return Denied(
            f"cannot {action} {place}: the door does not accept {reference}{said}",
            hint="renew it: it may have expired, or it was made for another door",
            **facts,
        )
    return Denied(
        f"cannot {action} {place}: {reference} does not allow it{said}",
        hint=f"a token needs {needed} for this path, a user the right to do it there",
        **facts,
    )
