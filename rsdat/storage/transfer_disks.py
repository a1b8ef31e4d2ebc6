"""Filesystems where a file grows in place and is renamed: this machine's, and SFTP servers'."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import secrets
from contextlib import suppress
from typing import Any, Protocol

from rsdat.storage.dcache.paths import LONGEST_NAME
from rsdat.storage.files import shown
from rsdat.storage.transfer_places import Facts

# Digits in a part's name that stand for its source, and for another process with the same source.
MARK, OTHER = 12, 8
MARK_PATTERN = "[0-9a-f]" * MARK


class Disk(Protocol):
    """A filesystem where files grow in place and are renamed."""

    def length(self, name: str) -> int | None:
        """The size of a file, None if there is none."""

    def open(self, name: str, mode: str) -> Any:
        """Open a file."""

    def replace(self, name: str, target: str) -> None:
        """Rename a file, replacing another."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def make_directory(self, name: str) -> None:
        """Make a directory and those above it, if they are missing."""

    def sweep(self, target: str) -> None:
        """Remove what copies of other versions have left beside a target."""


class Local:
    """This machine's file systems."""

    def length(self, name: str) -> int | None:
        """The size of a file."""
        try:
            return os.stat(name).st_size
        except FileNotFoundError:
            return None

    def open(self, name: str, mode: str) -> Any:
        """Open a file; one that grows is locked, so that nobody else lets it grow, too."""
        stream = open(name, mode)  # noqa: SIM115
        if mode != "rb":
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                raise
            except OSError:
                pass  # A file system without locks.
        return stream

    def replace(self, name: str, target: str) -> None:
        """Rename a file."""
        os.replace(name, target)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            os.unlink(name)

    def make_directory(self, name: str) -> None:
        """Make a directory."""
        os.makedirs(name, exist_ok=True)

    def sweep(self, target: str) -> None:
        """Remove old parts, but for those that another process is writing."""
        directory, name = os.path.split(target)
        for part in glob.glob(f"{directory}/.{glob.escape(_stem(name))}.{MARK_PATTERN}.part"):
            with suppress(OSError), open(part, "r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(part)


class Sftp:
    """An SFTP server."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def length(self, name: str) -> int | None:
        """The size of a file."""
        try:
            return int(self._fs.ftp.stat(name).st_size)
        except FileNotFoundError:
            return None

    def open(self, name: str, mode: str) -> Any:
        """Open a file; what is written is not waited for before the file is closed."""
        stream = self._fs.ftp.open(name, mode)
        stream.set_pipelined("r" not in mode or "+" in mode)
        return stream

    def replace(self, name: str, target: str) -> None:
        """Rename a file."""
        self._fs.ftp.posix_rename(name, target)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            self._fs.ftp.remove(name)

    def make_directory(self, name: str) -> None:
        """Make a directory."""
        make_directories(self._fs, name)

    def sweep(self, target: str) -> None:
        """Nothing: to look for old parts would list the directory after each file."""


def make_directories(fs: Any, name: str) -> None:
    """Make a directory of an fsspec filesystem and those above it, as far as they are missing.

    fsspec's own ``makedirs`` fails over SFTP where another connection makes one of them meanwhile.
    """
    if not hasattr(fs, "ftp"):
        fs.makedirs(name, exist_ok=True)
        return
    missing: list[str] = []
    while name.strip("/") and not fs.isdir(name):
        missing.append(name)
        name = name.rpartition("/")[0]
    for one in reversed(missing):
        try:
            fs.ftp.mkdir(one)
        except OSError:
            if not fs.isdir(one):
                raise


def part_of(target: str, source: str, facts: Facts) -> tuple[str, bool]:
    """The hidden name under which a target grows, and whether another try may go on with it.

    The name holds what identifies the source: a part of another version is never gone on with.
    """
    directory, _, name = target.rpartition("/")
    resumable = bool(facts.version) and facts.size is not None
    identity = repr((shown(source), facts.version, facts.size)).encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(identity).hexdigest()
    mark = digest[:MARK] if resumable else secrets.token_hex(MARK // 2)
    return f"{directory}/.{_stem(name)}.{mark}.part", resumable


def _stem(name: str) -> str:
    """As much of a name as a hidden name has room for."""
    room = LONGEST_NAME - len("...part") - MARK - 1 - OTHER
    return name.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore")
