"""Names, one and many at one time, taken literally.

fsspec takes ``?``, ``*`` and ``[`` for patterns. Here a name that exists is that name: removing
``x?y.bin`` never touches ``xzy.bin``. A pattern is a pattern where no such name exists.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from glob import has_magic
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync_wrapper
from fsspec.implementations.local import LocalFileSystem, trailing_sep
from fsspec.utils import other_paths

from rsdat.storage.dcache import errors
from rsdat.storage.dcache.client import Client
from rsdat.storage.dcache.namespace import Namespace
from rsdat.storage.dcache.paths import join, name_of
from rsdat.storage.dcache.reading import Reader

Entry = dict[str, Any]


class Names(AsyncFileSystem):  # type: ignore[misc]
    """Methods of :class:`~rsdat.storage.dcache.filesystem.DCacheFileSystem` on names."""

    client: Client
    namespace: Namespace
    reader: Reader
    _pipe_file: Any
    ready: Callable[..., Any]
    _look: Callable[..., Any]
    _changes: Callable[..., Any]

    # --- names

    async def _expand_path(
        self,
        path: str | list[str],
        recursive: bool = False,
        maxdepth: int | None = None,
        **options: Any,
    ) -> list[str]:
        given = [path] if isinstance(path, str) else list(path)
        names = [self._strip_protocol(one) for one in given]
        literal = set()
        if not options.get("assume_literal"):
            literal = {one for one in names if has_magic(one) and await self._exists(one)}
        found = set(literal)
        if recursive:
            for one in literal:
                found |= set(await self._find(one, maxdepth=maxdepth, withdirs=True))
        # As they were given: a slash at the end of a pattern has a meaning.
        others = [one for one, name in zip(given, names, strict=True) if name not in literal]
        if others or not literal:
            found |= set(await super()._expand_path(others, recursive, maxdepth, **options))
        return sorted(found)

    async def _is_literal(self, path: Any) -> bool:
        return isinstance(path, str) and has_magic(path) and await self._exists(path)

    async def _tree(self, path: str, recursive: bool, maxdepth: int | None) -> list[str]:
        """A file, or (recursive) a directory with what is in it."""
        name = self._strip_protocol(path)
        if not await self._isdir(name):
            return [name]
        return await self._expand_path([name], recursive=True, maxdepth=maxdepth) * recursive

    async def _copy(self, path1: Any, path2: Any, **options: Any) -> None:
        if await self._is_literal(path1):
            deep = options.pop("recursive", False)
            sources = await self._tree(path1, deep, options.pop("maxdepth", None))
            into = trailing_sep(path2) or await self._isdir(path2)
            path2 = _placed(sources, self._strip_protocol(path2), into and not trailing_sep(path1))
            path1 = sources
        await super()._copy(path1, path2, **options)

    async def _get(self, rpath: Any, lpath: Any, **options: Any) -> Any:
        if await self._is_literal(rpath):
            deep = options.pop("recursive", False)
            sources = await self._tree(rpath, deep, options.pop("maxdepth", None))
            target = os.fspath(lpath)
            into = trailing_sep(target) or os.path.isdir(target)
            lpath = _placed(sources, target, into and not trailing_sep(rpath))
            rpath = sources
        return await super()._get(rpath, lpath, **options)

    async def _put(self, lpath: Any, rpath: Any, **options: Any) -> Any:
        await self.ready()
        if isinstance(lpath, str) and has_magic(lpath) and os.path.exists(lpath):
            deep = options.pop("recursive", False)
            top = lpath.rstrip("/")
            sources = [top] if not os.path.isdir(top) else [top, *_below(top)] * deep
            into = trailing_sep(rpath) or await self._isdir(rpath)
            rpath = _placed(sources, self._strip_protocol(rpath), into and not trailing_sep(lpath))
            lpath = sources
        return await super()._put(lpath, rpath, **options)

    # --- finding

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **options: Any,
    ) -> Any:
        """All files below a path, the directories of each level listed at one time.

        A directory below that may not be read, or vanishes meanwhile, is left out; any other
        failure is raised, because a tree with holes would look complete.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        top = self._strip_protocol(path)
        found: dict[str, Entry] = {}
        try:
            if withdirs and (own := await self._look(top))["type"] == "directory":
                found[top] = own
            entries = await self._ls(top, detail=True, **_flags(options))
        except FileNotFoundError:
            entries = []
        depth = 1
        while entries:
            directories = [one["name"] for one in entries if one["type"] == "directory"]
            wanted = entries if withdirs else [e for e in entries if e["type"] != "directory"]
            found |= {one["name"]: one for one in wanted}
            if maxdepth is not None and depth >= maxdepth:
                break
            depth += 1
            entries = await self._listings(directories, _flags(options))
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    async def _listings(self, directories: list[str], flags: dict[str, Any]) -> list[Entry]:
        async def one(path: str) -> list[Entry]:
            try:
                entries: list[Entry] = await self._ls(path, detail=True, **flags)
            except (FileNotFoundError, PermissionError):
                return []
            return entries

        return [entry for part in await _together(map(one, directories)) for entry in part]

    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, **options: Any
    ) -> Any:
        found = await self._find(path, maxdepth=maxdepth, detail=True, **options)
        sizes = {name: entry["size"] or 0 for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    # --- removing and moving

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        gone: Callable[[], object] | None = None,
        **_: Any,
    ) -> None:
        """Remove files, and (recursive) directories with all that is in them.

        ``gone`` is called after each file of a directory that is removed file by file.

        Raises
        ------
        NotEmpty
            A directory has entries, and ``recursive`` was not given.
        """
        await self.ready()
        names = await self._expand_path(path)
        if not recursive:
            await _together(map(self._rm_file, names))
            return
        for name in names:
            await self._rm_tree(name, maxdepth, gone)

    async def _rm_tree(
        self, top: str, maxdepth: int | None, gone: Callable[[], object] | None
    ) -> None:
        own = await self._info(top, locality=False)
        if own["type"] != "directory":
            await self._gone([top])
            return
        if not self.namespace.has_rest and maxdepth is None and top != "/":
            # One request for the tree, at doors that do as RFC 4918 says.
            try:
                with self._changes(None):
                    await self.namespace.remove(top)
                return
            except errors.NotEmpty:
                pass
        found = await self._find(top, maxdepth=maxdepth, withdirs=True, detail=True)
        directories = {name for name, one in found.items() if one["type"] == "directory"}
        await self._gone([name for name in found if name not in directories], told=gone)
        # From the leaves to the root, each level at one time.
        levels: dict[int, list[str]] = {}
        for name in directories - {"/"}:
            levels.setdefault(name.count("/"), []).append(name)
        for depth in sorted(levels, reverse=True):
            await self._gone(levels[depth], partly=maxdepth is not None)

    async def _gone(
        self,
        names: Iterable[str],
        *,
        partly: bool = False,
        told: Callable[[], object] | None = None,
    ) -> None:
        """Remove entries whose kind is known; one that has vanished meanwhile is as good."""

        async def one(name: str) -> None:
            try:
                with self._changes(name):
                    await self.namespace.remove(name)
            except FileNotFoundError:
                pass
            except errors.NotEmpty:
                if not partly:
                    raise
            if told is not None:
                told()

        await _together(map(one, names))

    async def _mv(
        self,
        path1: str | list[str],
        path2: str | list[str],
        recursive: bool = False,
        maxdepth: int | None = None,
        **_: Any,
    ) -> None:
        """Move files and directories, by the door itself; into ``path2`` if it is a directory.

        ``recursive`` and ``maxdepth`` are fsspec's: a directory always moves as a whole.
        """
        await self.ready()
        sources = await self._expand_path(path1)
        if isinstance(path2, list):
            targets = [self._strip_protocol(one) for one in path2]
            sources = [self._strip_protocol(one) for one in path1]
        else:
            directory = self._strip_protocol(path2)
            several = len(sources) > 1 or isinstance(path1, list)
            into = several or trailing_sep(path2) or await self._isdir(directory)
            targets = [join(directory, name_of(s)) if into else directory for s in sources]
        await _together(self._mv_file(s, t) for s, t in zip(sources, targets, strict=True))

    mv = sync_wrapper(_mv)

    # --- one name

    async def _mv_file(self, path1: str, path2: str) -> None:
        await self.ready()
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if source == target:
            return
        with self._changes(None):
            await self.namespace.move(source, target)
        for name in (source, target):
            self.reader.forget(name)

    async def _rm_file(self, path: str, **_: Any) -> None:
        """Remove a file, or an empty directory."""
        await self.ready()
        name = self._strip_protocol(path)
        # At other doors a DELETE takes a directory with all that is in it.
        if not self.namespace.has_rest and await self._isdir(name):
            await self._rmdir(name)
            return
        with self._changes(name):
            await self.namespace.remove(name)
        self.reader.forget(name)

    async def _rmdir(self, path: str) -> None:
        """Remove an empty directory.

        Raises
        ------
        NotEmpty, NotDirectory
            It has entries; it is a file.
        """
        await self.ready()
        name = self._strip_protocol(path)
        entries = await self.namespace.listing(name)
        facts = {"path": name, "door": self.client.door.webdav}
        if entries and entries[0]["name"] == name:
            raise errors.NotDirectory(f"{name} is a file", hint="remove it with rm", **facts)
        if entries:
            raise errors.NotEmpty(
                f"{name} at {self.client.door.webdav} is not empty",
                hint="remove it with recursive=True (`rsdat data rm -r`)",
                **facts,
            )
        with self._changes(name):
            await self.namespace.remove(name)

    rmdir = sync_wrapper(_rmdir)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        await self.ready()
        name = self._strip_protocol(path)
        with self._changes(name):
            if create_parents:
                await self.namespace.make_directories(name, exist_ok=False)
            else:
                await self.namespace.make_directory(name)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        await self.ready()
        name = self._strip_protocol(path)
        with self._changes(name):
            await self.namespace.make_directories(name, exist_ok=exist_ok)

    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Make an empty file; ``truncate=False`` leaves a file that exists as it is."""
        await self.ready()
        if truncate or not await self._exists(path):
            await self._pipe_file(path, b"")

    touch = sync_wrapper(_touch)


def _placed(sources: list[str], target: str, into: bool) -> list[str]:
    """Where each source goes: fsspec's rule, for names that are known."""
    return list(other_paths(sources, target, exists=into)) if sources else []


def _below(top: str) -> list[str]:
    return list(LocalFileSystem().find(top, withdirs=True))


def _flags(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("prefix", "on_error")}


async def _together(waiting: Iterable[Any]) -> list[Any]:
    """Await several at one time; the first error ends the rest."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
