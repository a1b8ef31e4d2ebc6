"""A Zarr store at a remote address on its way: built in place, because objects have no rename.

Until it is complete the root's attribute ``rsdat:complete`` is false. Markers of finished tiles lie
beside the store, under ``ADDRESS.parts``. There is no lock: object stores have none.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from rsdat.errors import ConfigError
from rsdat.raster.writers.zarr_parts import Finished
from rsdat.storage import shown

COMPLETE = "rsdat:complete"


class RemoteParts:
    """The parts of a store that fsspec reaches; made by :func:`remote_parts`."""

    attributes: ClassVar[dict[str, Any]] = {COMPLETE: False}

    def __init__(self, address: str, run: str) -> None:
        import fsspec

        self.root = address.rstrip("/")
        self.run = run
        self._files, self._path = fsspec.url_to_fs(self.root)
        self._markers = f"{self._path}.parts/{run}"

    def finished(self) -> dict[str, Finished]:
        """The finished tiles, by name; one whose files are not as they were written is not."""
        sizes = self._sizes()
        found = {}
        for path in self._listed(self._markers):
            tile = Finished.from_json(self._files.cat_file(path), self.run)
            if tile and all(sizes.get(key) == size for key, size in tile.files):
                found[path.rpartition("/")[2].removesuffix(".json")] = tile
        return found

    def _listed(self, path: str) -> list[str]:
        try:
            return sorted(self._files.find(path))
        except FileNotFoundError:
            return []

    def _sizes(self) -> dict[str, int]:
        try:
            entries = self._files.find(self._path, detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._path.rstrip("/")) + 1
        return {path[start:]: entry["size"] for path, entry in entries.items()}

    def mark(self, name: str, tile: Finished) -> None:
        """Note that a tile is finished."""
        self._files.pipe_file(f"{self._markers}/{name}.json", tile.to_json(self.run))

    def clear(self) -> None:
        """Throw away what is there of this store."""
        for path in (self._path, f"{self._path}.parts"):
            with suppress(FileNotFoundError):
                self._files.rm(path, recursive=True)

    def publish(self) -> None:
        """Say at the root that the store is complete."""
        import zarr

        # Consolidated metadata is kept: only the attributes of the root are written anew.
        zarr.open_group(self.root, mode="r+").update_attributes({COMPLETE: True})
        with suppress(FileNotFoundError):
            self._files.rm(f"{self._path}.parts", recursive=True)


def remote_parts(address: str, run: str) -> RemoteParts:
    """The parts of the store at an address.

    Raises
    ------
    ConfigError
        Something is there that is no unfinished store of ours.
    """
    import zarr

    parts = RemoteParts(address, run)
    if parts._sizes():
        try:
            attributes = dict(zarr.open_group(parts.root, mode="r").attrs)
        except (FileNotFoundError, ValueError):
            attributes = {}
        if attributes.get(COMPLETE) is not False:
            raise ConfigError(
                f"there is something at {shown(address)} already",
                hint="remove it, or choose another address: nothing is replaced at a remote one",
            )
    return parts
