"""A Zarr store on its way: what is finished of it, who writes it, and its appearance in one step.

Beside ``NAME`` lies ``.NAME.parts``: a lock, and for the run (a fingerprint of what is computed and
how it is stored) a directory with the store and a marker for each finished tile. The next run of
the same fingerprint goes on from the markers; another one begins anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rsdat.errors import ConfigError, DataError
from rsdat.raster.image import Skipped
from rsdat.storage import write_atomically

#: What makes a directory a Zarr store, of either version.
_SIGNS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_RUN = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Finished:
    """A tile that is written: its files with their sizes in bytes, and what it had to leave out."""

    files: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...] = ()

    def to_json(self, run: str) -> bytes:
        """The marker's content."""
        return json.dumps({"run": run, **asdict(self)}).encode()

    @classmethod
    def from_json(cls, content: bytes, run: str) -> Finished | None:
        """The tile that a marker stands for; None for a damaged or foreign one."""
        try:
            read: dict[str, Any] = json.loads(content)
            if read["run"] != run:
                return None
            return cls(
                tuple((str(key), int(size)) for key, size in read["files"]),
                tuple(Skipped(**entry) for entry in read["skipped"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


class LocalParts:
    """The parts of a store on a local or shared file system; made by :func:`local_parts`."""

    #: What the store's root says of its state: nothing, it is there complete or not at all.
    attributes: ClassVar[dict[str, Any]] = {}

    def __init__(self, target: Path, room: Path, run: str) -> None:
        self.target = target
        self.run = run
        self._room = room
        self._place = room / run
        #: Where the store is built: what is there already, is of this run.
        self.root = str(self._place / "store")

    def finished(self) -> dict[str, Finished]:
        """The finished tiles, by name; one whose files are not as they were written is not."""
        found = {}
        for path in (self._place / "done").glob("*.json"):
            tile = Finished.from_json(path.read_bytes(), self.run)
            if tile and all(self._size(key) == size for key, size in tile.files):
                found[path.stem] = tile
        return found

    def _size(self, key: str) -> int | None:
        try:
            return os.stat(os.path.join(self.root, key)).st_size
        except OSError:
            return None

    def mark(self, name: str, tile: Finished) -> None:
        """Note that a tile is finished."""
        write_atomically(self._place / "done" / f"{name}.json", tile.to_json(self.run))

    def clear(self) -> None:
        """Throw away what is there of this run."""
        shutil.rmtree(self._place, ignore_errors=True)
        (self._place / "store").mkdir(parents=True)

    def publish(self) -> None:
        """Give the finished store its name; the one that had it is removed."""
        if self.target.exists():
            os.rename(self.target, self._room / "replaced")
        os.rename(self.root, self.target)
        shutil.rmtree(self._room, ignore_errors=True)


@contextmanager
def local_parts(target: Path, run: str) -> Iterator[LocalParts]:
    """The parts of the store ``target``, for this process alone until the end of the block.

    Parameters
    ----------
    target
        The store's path.
    run
        Fingerprint of the run, 16 hexadecimal digits.

    Raises
    ------
    ConfigError
        The path is a file, or a directory that is no Zarr store.
    DataError
        Another process writes the store, or the parts' directory holds something else.
    """
    refuse(target)
    room = target.with_name(f".{target.name}.parts")
    lock = _lock(room, target)
    try:
        _tidy(room, target, run)
        yield LocalParts(target, room, run)
    finally:
        os.close(lock)


def refuse(target: Path) -> None:
    """Refuse to write a store over something that is none."""
    if target.is_dir():
        if any(target.iterdir()) and not any((target / sign).exists() for sign in _SIGNS):
            raise ConfigError(
                f"output {target} is a directory, and no Zarr store",
                hint="name a store in it, or another place",
            )
    elif target.exists():
        raise ConfigError(f"output {target} is a file", hint="choose another name for the store")


def _lock(room: Path, target: Path) -> int:
    """An open file that holds the lock: the system lets go of it, however the process ends."""
    while True:
        room.mkdir(parents=True, exist_ok=True)
        path = room / "lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # The one who finished has just removed the room.
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 200).decode(errors="replace") or "another process"
            os.close(handle)
            raise DataError(
                f"{target} is being written by {owner}",
                hint="wait for it to end, or choose another name for the store",
            ) from None
        except OSError:
            os.close(handle)
            raise
        if _same(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _tidy(room: Path, target: Path, run: str) -> None:
    """Leave nothing of other runs, and put back a store that a killed run had moved aside."""
    names = set(os.listdir(room)) - {"lock", "replaced"}
    foreign = sorted(name for name in names if not _RUN.fullmatch(name))
    if foreign:
        raise DataError(
            f"{room} holds {foreign[0]}, which is no part of a store",
            hint="move it away: unfinished stores are kept in that directory",
        )
    replaced = room / "replaced"
    if replaced.exists():
        if target.exists():
            shutil.rmtree(replaced)
        else:
            os.rename(replaced, target)
    for name in names - {run}:
        shutil.rmtree(room / name, ignore_errors=True)
    (room / run / "store").mkdir(parents=True, exist_ok=True)
