"""Bytes of single files: reading ranges, downloading, uploading, copying."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK

from rsdat.storage.dcache import errors, multipart, ranges
from rsdat.storage.dcache.client import Client
from rsdat.storage.dcache.namespace import Namespace
from rsdat.storage.dcache.reading import Reader
from rsdat.storage.dcache.spans import Span
from rsdat.storage.dcache.storing import Store
from rsdat.storage.dcache.writing import LocalFile, Memory


class Data(AsyncFileSystem):  # type: ignore[misc]
    """Methods of :class:`~rsdat.storage.dcache.filesystem.DCacheFileSystem` on contents."""

    client: Client
    namespace: Namespace
    reader: Reader
    store: Store
    ready: Callable[..., Any]
    _look: Callable[..., Any]
    _changes: Callable[..., Any]

    # --- reading

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        await self.ready()
        name = self._strip_protocol(path)
        span = ranges.span(start, end)
        if span is None:
            size = (await self._look(name))["size"]
            span = ranges.span(*ranges.positive(start, end, size)) or Span()
        if span.stop is not None and span.stop <= span.start:
            return b""
        return await self.reader.read(name, span)

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Many ranges at one time; those of a file that lie close together in one request.

        Parameters
        ----------
        max_gap
            Bytes between two ranges that are read in vain to save a request (default 64 kB).
        """
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        count = len(paths)
        firsts = list(starts) if hasattr(starts, "__iter__") else [starts] * count
        lasts = list(ends) if hasattr(ends, "__iter__") else [ends] * count
        if len(firsts) != count or len(lasts) != count:
            raise ValueError("paths, starts and ends differ in length")
        names = [self._strip_protocol(path) for path in paths]
        found = await ranges.read_many(
            self._cat_file, self._cat_parts, list(zip(names, firsts, lasts, strict=True)), max_gap
        )
        failed = next((one for one in found if isinstance(one, Exception)), None)
        if failed is not None and on_error == "raise":
            raise failed
        return found

    async def _cat_parts(self, name: str, spans: list[Span]) -> list[bytes | None]:
        await self.ready()
        return await multipart.read(self.reader, name, spans)

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        """Download a file: under a temporary name, compared with the door's checksum, renamed."""
        await self.ready()
        name = self._strip_protocol(rpath)
        if hasattr(lpath, "write"):
            await ranges.download(self.reader, name, lpath, callback)
            return
        try:
            await ranges.download_to(self.reader, name, os.fspath(lpath), callback)
        except IsADirectoryError:
            os.makedirs(lpath, exist_ok=True)

    # --- writing

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        await self.ready()
        name = self._strip_protocol(path)
        await self._vacant(name, mode)
        with self._changes(name):
            await self.store.store(name, Memory(value, self.store.names), create=mode == "create")

    async def _put_file(
        self,
        lpath: Any,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **_: Any,
    ) -> None:
        await self.ready()
        name = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            await self._makedirs(name, exist_ok=True)
            return
        await self._vacant(name, mode)
        source = LocalFile(os.fspath(lpath), self.store.names, callback.absolute_update)
        callback.set_size(source.size)
        with self._changes(name):
            await self.store.store(name, source, create=mode == "create")

    async def _vacant(self, name: str, mode: str) -> None:
        if mode == "create" and await self.namespace.exists(name):
            door = self.client.door.webdav
            raise errors.Exists(
                f"{name} at {door} exists", hint="choose another name", path=name, door=door
            )

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file; by the door itself where it can. Of a directory, the directory alone."""
        await self.ready()
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if source == target:
            return
        if await self._isdir(source):
            await self._makedirs(target, exist_ok=True)
        else:
            with self._changes(target):
                await self.store.copy(source, target)
