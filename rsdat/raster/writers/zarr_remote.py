"""A Zarr store at a remote address on its way: built in place, because objects have no rename.

Until it is complete the root's attribute ``rsdat:complete`` is false. Notes of finished tiles lie
beside the store, under ``ADDRESS.parts``. There is no lock: object stores have none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, ClassVar

from rsdat.errors import ConfigError
from rsdat.raster.image import Skipped
from rsdat.raster.writers.zarr_parts import Finished
from rsdat.storage import shown, storage_options
from rsdat.storage.transfer_places import place_of

COMPLETE = "rsdat:complete"


class RemoteParts:
    """The parts of a store that fsspec reaches; made by :func:`remote_parts`."""

    attributes: ClassVar[dict[str, Any]] = {COMPLETE: False}

    def __init__(self, address: str, fingerprint: Mapping[str, Any]) -> None:
        self.root = address.rstrip("/")
        self.mark = ""
        found = place_of(self.root)
        if found.kind in ("http", "sftp"):
            raise ConfigError(
                f"{shown(address)}: Zarr stores are not written over {address.partition(':')[0]}",
                hint="write it to this machine, dcache://, davs:// or s3://, and copy it",
            )
        self._files, self._path = found.fs, found.path.rstrip("/")
        text = json.dumps(dict(fingerprint), sort_keys=True)
        self._notes = f"{self._path}.parts/{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def sizes(self) -> dict[str, int]:
        """Bytes of all that lies at the address, by key."""
        try:
            entries = self._files.find(self._path, detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._path) + 1
        return {path[start:]: entry["size"] for path, entry in entries.items()}

    def finished(self) -> dict[str, Finished]:
        """The finished tiles, by name; one whose files are not as they were written is not."""
        sizes = self.sizes()
        try:
            notes = self._files.find(self._notes)
        except FileNotFoundError:
            return {}
        found = {}
        for path in notes:
            tile = _read(self._files.cat_file(path))
            if tile and all(sizes.get(key) == size for key, size in tile.files):
                found[path.rpartition("/")[2].removesuffix(".json")] = tile
        return found

    def note(self, name: str, tile: Finished) -> None:
        """Note that a tile is finished."""
        content = json.dumps(asdict(tile)).encode()
        self._files.pipe_file(f"{self._notes}/{name}.json", content)

    def clear(self) -> None:
        """Throw away what is there of the store."""
        self._remove(self._path)
        self._remove(f"{self._path}.parts")

    def publish(self) -> None:
        """Say at the root that the store is complete."""
        import zarr

        # Consolidated metadata stays: only the root's own attributes are written anew.
        options = storage_options(self.root)
        group = zarr.open_group(self.root, mode="r+", storage_options=options)
        group.update_attributes({COMPLETE: True})
        self._remove(f"{self._path}.parts")

    def discard(self) -> None:
        """Leave nothing for a next run."""
        self.clear()

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm(path, recursive=True)


def remote_parts(address: str, fingerprint: Mapping[str, Any], *, resume: bool) -> RemoteParts:
    """The parts of the store at an address.

    Raises
    ------
    ConfigError
        Something is there that is no unfinished store of ours, or none can be written there.
    """
    import zarr

    parts = RemoteParts(address, fingerprint)
    if parts.sizes():
        try:
            options = storage_options(parts.root)
            attributes = dict(zarr.open_group(parts.root, mode="r", storage_options=options).attrs)
        except (FileNotFoundError, ValueError):
            attributes = {}
        if attributes.get(COMPLETE) is not False:
            raise ConfigError(
                f"there is something at {shown(address)} already",
                hint="remove it, or choose another address: nothing is replaced at a remote one",
            )
        if not resume:
            parts.clear()
    return parts


def _read(content: bytes) -> Finished | None:
    """The tile that a note stands for; None for a damaged one."""
    try:
        found = json.loads(content)
        files = tuple((str(key), int(size)) for key, size in found["files"])
        return Finished(files, tuple(Skipped(**one) for one in found["skipped"]))
    except (ValueError, KeyError, TypeError):
        return None
