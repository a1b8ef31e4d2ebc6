"""What addresses of a command line mean: files, directories, patterns; literal names come first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from typing import Any

from rsdat.errors import CredentialError, DataError, RsdatError
from rsdat.storage.files import scrubbed, shown
from rsdat.storage.transfer_errors import CopyFailed
from rsdat.storage.transfer_places import Place, facts_of, place_of, seconds


@dataclass(frozen=True)
class Entry:
    """A file or directory: ``kind`` is ``file``, ``directory``, ``link`` or ``other``; ``mtime`` in
    seconds since 1970; ``locality`` as dCache says it, where it was asked for.
    """

    url: str
    kind: str
    nbytes: int | None = None
    mtime: float | None = None
    locality: str | None = None

    @property
    def name(self) -> str:
        """The last part of its address."""
        return name_of(self.url)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind == "directory"


class Unlisted(DataError, OSError):
    """A directory or a file cannot be asked about."""


class Forbidden(Unlisted, PermissionError):
    """Whoever asks may not."""


class Absent(Unlisted, FileNotFoundError):
    """There is nothing of this name."""


def name_of(url: str) -> str:
    """The last part of an address; a query is no part of it."""
    scheme = url.partition("://")[0]
    path = url.partition("?")[0] if scheme in ("http", "https") else url
    return path.rstrip("/").rpartition("/")[2]


def opened(url: str) -> Place:
    """The place of an address; SFTP's are logged into at once.

    Raises
    ------
    DataError
        Its server cannot be reached, or does not let us in.
    """
    try:
        return place_of(url)
    except RsdatError:
        raise
    except Exception as error:
        raise _unlisted(error, url) from error


def expand(url: str) -> list[Entry]:
    """The files and directories that an address stands for: itself, or what its pattern matches.

    A name that exists is that name, whatever signs are in it.

    Raises
    ------
    DataError
        There is nothing, or it may not be read.
    """
    place = opened(url)
    try:
        return [_one(place)]
    except FileNotFoundError:
        pass
    except Exception as error:
        raise _unlisted(error, place.url) from error
    if has_magic(place.path) and place.kind != "http":
        try:
            found = place.fs.glob(place.path, detail=True)
        except Exception as error:
            raise _unlisted(error, place.url) from error
        if found:
            return [_entry(place, name, info) for name, info in sorted(found.items())]
        raise Absent(
            f"nothing matches {shown(place.url)}", hint="check the pattern; `rsdat data ls` lists"
        )
    raise Absent(f"{shown(place.url)} does not exist", hint="check the name")


def children(directory: Entry, *, locality: bool = False) -> list[Entry]:
    """What is in a directory."""
    place = opened(directory.url)
    flags = {"locality": True} if locality and place.kind == "door" else {}
    try:
        if place.kind == "s3":
            flags["refresh"] = True
        found = place.fs.ls(place.path, detail=True, **flags)
    except Exception as error:
        raise _unlisted(error, place.url) from error
    own = place.path.rstrip("/")
    return [
        _entry(place, str(info["name"]), info)
        for info in sorted(found, key=lambda info: str(info["name"]))
        if str(info["name"]).rstrip("/") != own
    ]


def files_below(directory: Entry) -> list[Entry]:
    """All files below a directory, sorted by name."""
    place = opened(directory.url)
    try:
        if place.kind == "s3":
            place.fs.invalidate_cache()
        found = place.fs.find(place.path, detail=True)
    except Exception as error:
        raise _unlisted(error, place.url) from error
    entries = [_entry(place, name, info) for name, info in sorted(found.items())]
    return [one for one in entries if not one.is_directory]


def is_directory(url: str) -> bool:
    """Whether there is a directory at an address."""
    place = opened(url)
    try:
        return _one(place).is_directory
    except FileNotFoundError:
        return False
    except Exception as error:
        raise _unlisted(error, place.url) from error


def localities(entries: Iterable[Entry]) -> dict[str, str]:
    """Where the files' data is, by address; files on servers without tape are ``ONLINE``."""
    found: dict[str, str] = {}
    for place, group in by_door(entries):
        if place.kind != "door":
            found |= {entry.url: "ONLINE" for entry in group}
            continue
        paths = {opened(entry.url).path: entry.url for entry in group}
        said = place.fs.locality(list(paths))
        found |= {url: said[path] for path, url in paths.items()}
    return found


def by_door(entries: Iterable[Entry]) -> list[tuple[Place, list[Entry]]]:
    """Files by the server that they are on; each with a place of it."""
    groups: dict[int, tuple[Place, list[Entry]]] = {}
    for entry in entries:
        place = opened(entry.url)
        groups.setdefault(id(place.fs), (place, []))[1].append(entry)
    return list(groups.values())


def address(place: Place, path: str) -> str:
    """The address of another path on the server of a place."""
    if place.kind == "local":
        return path
    if place.kind == "sftp":
        scheme, _, rest = place.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{path}"
    return path if place.kind == "http" else str(place.fs.unstrip_protocol(path))


def _one(place: Place) -> Entry:
    if place.kind == "local":
        return _entry(place, place.path, place.fs.info(place.path))
    if place.kind in ("http", "s3"):
        # Their info() knows no time, or takes any failure for "not found", or remembers.
        try:
            facts = facts_of(place)
        except IsADirectoryError:
            return Entry(place.url.rstrip("/"), "directory")
        return Entry(place.url, "file", facts.size, facts.mtime)
    return _entry(place, place.path, place.fs.info(place.path))


def _entry(place: Place, path: str, info: Mapping[str, Any]) -> Entry:
    kind = str(info["type"])
    if place.kind == "local" and info.get("islink"):
        kind = "directory" if os.path.isdir(path) else "file"
    return Entry(
        address(place, path.rstrip("/") or "/"),
        kind,
        None if kind == "directory" else info.get("size"),
        seconds(info),
        info.get("locality") if kind != "directory" else None,
    )


def _unlisted(error: BaseException, url: str) -> DataError:
    from rsdat.storage.credentials import certificates

    if isinstance(error, DataError):
        return error
    if isinstance(error.__cause__, DataError):
        return error.__cause__
    if refused := certificates.refused_by(url, error):
        return CredentialError(f"{shown(url)} cannot be listed: {refused[0]}", hint=refused[1])
    status = getattr(error, "status", None)
    if status in (404, 410):
        return Absent(f"{shown(url)} does not exist", hint="check the name")
    said = f"status {status}" if isinstance(status, int) else getattr(error, "strerror", None)
    words = scrubbed(str(said or error or type(error).__name__), url)
    if status in (401, 403) or isinstance(error, PermissionError):
        return Forbidden(
            f"{shown(url)} cannot be listed: it is refused ({words})",
            hint="check your permissions and credentials for it: missing, expired, or not for this",
        )
    return Unlisted(
        f"{shown(url)} cannot be listed: {words}",
        hint="check the address, the network and your credentials for it",
    )


def only_files(entries: Sequence[Entry], recursive: bool) -> list[Entry]:
    """Files as they are, directories as what is below them.

    Raises
    ------
    CopyFailed
        There is a directory and ``recursive`` was not given.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.is_directory and not recursive:
            raise CopyFailed(
                f"{shown(entry.url)} is a directory", hint="give -r for all that is below it"
            )
        below = files_below(entry) if entry.is_directory else [entry]
        found |= {one.url: one for one in below}
    return list(found.values())
