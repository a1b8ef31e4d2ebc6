"""Hrefs and small files: what is remote, absolute names, reading through fsspec, atomic writing."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rsdat.errors import CredentialError, DataError, RsdatError

#: Schemes whose paths are plain names: "?" and "#" are letters of them.
_LITERAL = frozenset({"dcache", "davs", "dav", "s3", "s3a", "sftp", "ssh"})


def is_remote(href: str) -> bool:
    """Whether an href leads off this machine's file systems (``https://…``, ``s3://…``)."""
    scheme = urlsplit(href).scheme
    return len(scheme) > 1 and scheme != "file"


def shown(href: str) -> str:
    """An href for messages: without password and query, which hold secrets of signed addresses."""
    if not is_remote(href):
        return href
    scheme, _, rest = href.partition("://")
    if scheme in _LITERAL:
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    parts = urlsplit(href)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def scrubbed(text: str, href: str) -> str:
    """What a library said of an href, for messages: the href as :func:`shown` shows it."""
    signed = is_remote(href) and href.partition("://")[0] not in _LITERAL
    query = urlsplit(href).query if signed else ""
    # A signature that was added for the request alone.
    added = re.escape(href) + r"\?[^\s'\"<>]+" if is_remote(href) and not query else ""
    text = re.sub(added, shown(href) + "?…", text) if added else text
    text = text.replace(href, shown(href))
    return text.replace(f"?{query}", "?…") if query else text


def absolute(href: str | os.PathLike[str]) -> str:
    """An href that means the same in every process: remote as it is, local as an absolute path."""
    text = os.fspath(href)
    if is_remote(text):
        return text
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    return os.path.abspath(os.path.expanduser(text))


def followed(path: str | os.PathLike[str]) -> str:
    """Where what is written to a name lands, absolute: at the end of a link, also a dangling one.

    A finished file takes the place of what has its name. Of a link that has to be what it leads
    to, as with a file that is opened for writing.

    Raises
    ------
    DataError
        It is a link that leads back to itself.
    """
    place = absolute(path)
    if is_remote(place) or not os.path.islink(place):
        return place
    end = os.path.realpath(place)
    if os.path.islink(end):
        raise DataError(f"{place} is a link that leads nowhere", hint="remove it")
    return end


def read_text(href: str) -> str:
    """Read a text file, local or remote.

    What ``credentials`` says for its address is used.

    Raises
    ------
    DataError
        When it is not there, may not be read, is not text, or its server does not answer.
    """
    place = absolute(href)
    try:
        if not is_remote(place):
            return Path(place).read_text(encoding="utf-8")
        from rsdat.storage.transfer_places import place_of

        # Not fsspec.open: it says "not found" of a server that refuses, and takes the "?" of a
        # signed address for a pattern.
        found = place_of(place)
        return str(found.fs.cat_file(found.path).decode("utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{shown(place)} does not exist", hint="check the name of the file"
        ) from None
    except UnicodeDecodeError:
        raise DataError(
            f"{shown(place)} is not a text file", hint="give a STAC file (JSON)"
        ) from None
    except RsdatError:
        raise
    except Exception as error:
        # fsspec hands on whatever its backend raises: aiohttp, botocore, OSError. aiohttp puts an
        # OSError of its own over one that says what is wrong with a credential.
        if isinstance(error.__cause__, RsdatError):
            raise error.__cause__ from None
        raise _unreadable(place, error) from error


def storage_options(href: str) -> dict[str, Any]:
    """The keywords for fsspec's filesystem of an href: references to its credential, if it has one.

    Raises
    ------
    CredentialError
        A file that is named for this address is missing or open to others.
    """
    if not is_remote(href):
        return {}
    from rsdat.storage.credentials import backends, find
    from rsdat.storage.signing import signer_of

    credential = find(href)
    if credential is not None:
        return credential.storage_options(href)
    if urlsplit(href).scheme in ("sftp", "ssh"):
        return backends.sftp(None, href)
    if signer_of(href) is not None:
        return {"get_client": backends.Client(None, backends.origin_of(href))}
    return {}


def _unreadable(place: str, error: BaseException) -> DataError:
    from rsdat.storage.credentials import certificates

    if refused := certificates.refused_by(place, error):
        return CredentialError(f"{shown(place)} cannot be read: {refused[0]}", hint=refused[1])
    status = getattr(error, "status", None)
    if status in (401, 403):
        return CredentialError(
            f"{shown(place)} cannot be read: its server refuses it (status {status})",
            hint="check your credentials for it: missing, expired, or without this permission",
        )
    cause = scrubbed(str(error), place) or type(error).__name__
    return DataError(
        f"{shown(place)} cannot be read: {cause}",
        hint=(
            "check the address, the network and your credentials for it"
            if is_remote(place)
            else "check the permissions of the file and of its directories"
        ),
    )


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a local file so that it is there complete or not at all.

    Raises
    ------
    DataError
        When the directory is missing, read-only or full.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}",
            hint="choose another directory, or make room in this one",
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
    return target


def _umask() -> int:
    # The umask can only be read by setting it; /proc avoids that race between threads.
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022
