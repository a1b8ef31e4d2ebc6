"""A Zarr store on its way: what is finished of it, and its appearance in one step.

The store is built in its workroom, beside its name. With each finished tile the sizes of its files
are noted, so that the next run sees what a crash of the machine has cut or lost.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rsdat.errors import ConfigError
from rsdat.raster.image import Skipped
from rsdat.raster.writers.workroom import Workroom, workroom

#: What makes a directory a Zarr store, of either version.
_SIGNS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")

#: Keys and sizes (bytes) of files of a store.
Files = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Finished:
    """A tile that is written: its files, and what it had to leave out."""

    files: Files
    skipped: tuple[Skipped, ...] = ()


class LocalParts:
    """The parts of a store on a local or shared file system; made by :func:`local_parts`."""

    #: What the store's root says of its state: nothing, it is there complete or not at all.
    attributes: ClassVar[dict[str, Any]] = {}

    def __init__(self, target: Path, room: Workroom) -> None:
        self.target = target
        self._room = room
        #: Where the store is built.
        self.root = str(room.path / "store")
        #: By which a worker knows that it sees this place, and not one like it.
        self.mark = room.mark
        self._sizes = room.path / "files"

    def finished(self) -> dict[str, Finished]:
        """The finished tiles, by name; one whose files are not as they were written is not."""
        known = self._known()
        return {
            name: Finished(known[name], skipped)
            for name, skipped in self._room.kept.items()
            if name in known and all(self._size(key) == size for key, size in known[name])
        }

    def _known(self) -> dict[str, Files]:
        found: dict[str, Files] = {}
        try:
            lines = self._sizes.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return found
        for line in lines:
            try:
                name, files = json.loads(line)
                found[str(name)] = tuple((str(key), int(size)) for key, size in files)
            except (ValueError, TypeError):
                continue  # the last line of a run that was killed while it wrote
        return found

    def _size(self, key: str) -> int | None:
        try:
            return os.stat(os.path.join(self.root, key)).st_size
        except OSError:
            return None

    def note(self, name: str, tile: Finished) -> None:
        """Note that a tile is finished."""
        with open(self._sizes, "a", encoding="utf-8") as stream:
            stream.write(json.dumps([name, tile.files]) + "\n")
        self._room.note(name, tile.skipped)

    def clear(self) -> None:
        """Throw away what is there of the store."""
        shutil.rmtree(self.root, ignore_errors=True)

    def publish(self) -> None:
        """Give the finished store its name; the one that had it is removed."""
        aside = _aside(self.target)
        if os.path.lexists(self.target):
            os.rename(self.target, aside)
        os.rename(self.root, self.target)
        self.discard()
        _remove(aside)

    def discard(self) -> None:
        """Leave nothing for a next run."""
        self._room.clear()


@contextmanager
def local_parts(
    target: Path, fingerprint: Mapping[str, Any], *, resume: bool
) -> Iterator[LocalParts]:
    """The parts of the store ``target``, for this process alone until the end of the block.

    Raises
    ------
    ConfigError
        The path is a file, or a directory that is no Zarr store.
    DataError
        Another process writes the store.
    OSError
        The directory cannot be written.
    """
    _refuse(target)
    with workroom(target, fingerprint, resume=resume) as room:
        aside = _aside(target)
        if os.path.lexists(aside):
            # Left by a run that was killed between its two renames, or after them.
            if os.path.lexists(target):
                _remove(aside)
            else:
                os.rename(aside, target)
        yield LocalParts(target, room)


def _refuse(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()) and not any((target / sign).exists() for sign in _SIGNS):
            raise ConfigError(
                f"output {target} is a directory, and no Zarr store",
                hint="name a store in it, or another place",
            )
    elif os.path.lexists(target):
        raise ConfigError(f"output {target} is a file", hint="choose another name for the store")


def _aside(target: Path) -> Path:
    """Where the old store is for a moment, while the new one takes its name."""
    return target.with_name(f".{target.name}.replaced")


def _remove(store: Path) -> None:
    if store.is_symlink():
        store.unlink()
    else:
        shutil.rmtree(store, ignore_errors=True)
