"""Describing and listing entries, and what is remembered of listings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fsspec.asyn import AsyncFileSystem

from rsdat.storage.dcache import rest
from rsdat.storage.dcache.namespace import Entry, Namespace
from rsdat.storage.dcache.paths import parent
from rsdat.storage.dcache.recent import Recent


class Describing(AsyncFileSystem):  # type: ignore[misc]
    """Methods of :class:`~rsdat.storage.dcache.filesystem.DCacheFileSystem` on what is there."""

    namespace: Namespace
    recent: Recent
    ready: Callable[..., Any]

    async def _info(self, path: str, refresh: bool = False, **flags: Any) -> Entry:
        """One entry: ``name, size, type`` and more (:func:`rsdat.storage.dcache.rest.entry`).

        Keywords switch optional facts on: ``checksum``, ``locations``, ``qos``, ``xattr``,
        ``labels``; ``locality=False`` switches it off. ``refresh`` asks the door in any case.
        """
        await self.ready()
        name = self._strip_protocol(path)
        if flags or refresh:
            return await self.namespace.info(name, _wanted({"locality": True, **flags}))
        return self._kept(name) or await self.recent.info(name)

    async def _look(self, path: str) -> Entry:
        """The same for what depends on it: never from a listing that nobody asked for."""
        await self.ready()
        name = self._strip_protocol(path)
        return self._kept(name) or await self.namespace.info(name, _wanted({"locality": True}))

    def _kept(self, name: str) -> Entry | None:
        """What fsspec's cache of listings knows of an entry."""
        with suppress(KeyError):
            below = self.dircache[parent(name)]
            return next((dict(entry) for entry in below if entry["name"] == name), None)
        return None

    async def _ls(
        self, path: str, detail: bool = True, refresh: bool = False, **flags: Any
    ) -> list[Any]:
        """The entries of a directory; keywords as in :meth:`info`, without ``locality`` unless
        asked for. ``refresh`` passes fsspec's cache of listings by.
        """
        await self.ready()
        name = self._strip_protocol(path)
        entries = None
        if not refresh and not _wanted(flags):
            with suppress(KeyError):
                entries = self.dircache[name]
        if entries is None:
            entries = await self.namespace.listing(name, _wanted(flags))
            if not (len(entries) == 1 and entries[0]["name"] == name):
                self.dircache[name] = entries
        ordered = sorted(entries, key=lambda entry: str(entry["name"]))
        return ordered if detail else [entry["name"] for entry in ordered]

    async def _isdir(self, path: str) -> bool:
        """Whether a path is a directory; errors as in :meth:`exists`."""
        return await self._type(path) == "directory"

    async def _isfile(self, path: str) -> bool:
        return await self._type(path) == "file"

    async def _exists(self, path: str, **_: Any) -> bool:
        """Whether there is an entry; a door that does not answer is an error, not a No."""
        try:
            await self._look(path)
        except FileNotFoundError:
            return False
        return True

    async def _type(self, path: str) -> str | None:
        try:
            return str((await self._look(path))["type"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def _where(self, path: str) -> str | None:
        """The locality of a file for an error's sake; the only error of its own is "not found"."""
        try:
            return (await self.namespace.info(path, ("locality",))).get("locality")
        except FileNotFoundError:
            raise
        except OSError:
            return None

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget listings: all, or those that show a path."""
        super().invalidate_cache(path)
        if path is None:
            self.recent.forget()
            self.dircache.clear()
            return
        name = self._strip_protocol(path)
        self.recent.forget(name)
        for one in (name, parent(name)):
            with suppress(KeyError):
                del self.dircache[one]

    @contextmanager
    def _changes(self, path: str | None) -> Iterator[None]:
        """Forget what listings show of a path (None: all), also where a change seems to fail."""
        try:
            yield
        finally:
            self.invalidate_cache(path)


def _wanted(flags: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in rest.FLAGS if flags.get(name))
