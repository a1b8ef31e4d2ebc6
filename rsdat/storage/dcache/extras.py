"""What dCache has beyond a filesystem: tape, extended attributes, labels, checksums."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import tokenize

from rsdat.storage.dcache.rest import moment
from rsdat.storage.dcache.tape import Staging, Tape

DAY = timedelta(days=1)


class Extras(AsyncFileSystem):  # type: ignore[misc]
    """Methods of :class:`~rsdat.storage.dcache.filesystem.DCacheFileSystem`, by subject."""

    tape: Tape
    namespace: Any
    ready: Callable[..., Any]
    _changes: Callable[..., Any]

    # --- tape

    async def _locality(self, path: str | Sequence[str]) -> Any:
        """Where files' data is, without reading it.

        Parameters
        ----------
        path
            One path, or several.

        Returns
        -------
        str or dict
            ``ONLINE`` (disk), ``NEARLINE`` (tape only), ``ONLINE_AND_NEARLINE``, ``UNAVAILABLE``,
            ``LOST`` or ``NONE`` (directories); for several paths, by path.
        """
        await self.ready()
        paths = self._paths(path)
        found = await self.tape.localities(paths)
        return found[paths[0]] if isinstance(path, str) else found

    async def _stage(
        self,
        path: str | Sequence[str],
        lifetime: timedelta = DAY,
        *,
        wait: bool = False,
        limit: float | None = None,
        callback: Any = DEFAULT_CALLBACK,
    ) -> Staging:
        """Bring files from tape to disk, in one request for many.

        Parameters
        ----------
        path
            Files, or one.
        lifetime
            How long they stay on disk at least.
        wait
            Whether to wait until they are there, at most ``limit`` seconds.
        callback
            An fsspec callback: its size is the number of files, its value those that are there.

        Raises
        ------
        StagingFailed
            Some files will not come, or not in time.
        """
        await self.ready()
        with self._changes(None):
            staging = await self.tape.stage(self._paths(path), lifetime)
        return await self._wait(staging, limit, callback) if wait else staging

    async def _wait(self, staging: Staging, limit: float | None, callback: Any) -> Staging:
        callback.set_size(len(staging.files))

        def progress(now: Staging) -> None:
            callback.absolute_update(sum(file.over for file in now.files))

        with self._changes(None):
            return await self.tape.wait(staging, limit=limit, progress=progress)

    async def _staging(
        self,
        staging: Staging,
        *,
        wait: bool = False,
        limit: float | None = None,
        callback: Any = DEFAULT_CALLBACK,
    ) -> Staging:
        """A staging request as it is now, or (``wait``) when it is over."""
        await self.ready()
        if wait:
            return await self._wait(staging, limit, callback)
        return await self.tape.look(staging)

    async def _release(self, what: Staging | str | Sequence[str]) -> None:
        """Give disk copies free before their time: of a request, or of paths."""
        await self.ready()
        with self._changes(None):
            if isinstance(what, Staging):
                await self.tape.release(what)
            else:
                await self.tape.release_paths(self._paths(what))

    async def _cancel(self, staging: Staging) -> None:
        """Take a staging request back."""
        await self.ready()
        with self._changes(None):
            await self.tape.cancel(staging)

    locality = sync_wrapper(_locality)
    stage = sync_wrapper(_stage)
    staging = sync_wrapper(_staging)
    release = sync_wrapper(_release)
    cancel = sync_wrapper(_cancel)

    # --- attributes and labels

    async def _getxattrs(self, path: str) -> dict[str, str]:
        """The extended attributes of a file or directory."""
        await self.ready()
        found = await self._info(path, xattr=True)
        return dict(found.get("xattrs", {}))

    async def _setxattrs(
        self, path: str, attributes: Mapping[str, str], *, mode: str = "EITHER"
    ) -> None:
        """Set extended attributes.

        Parameters
        ----------
        mode
            ``CREATE``: they must not exist; ``MODIFY``: they must; ``EITHER``.

        Raises
        ------
        Exists
            The mode forbids it.
        """
        await self._act(path, action="set-xattr", mode=mode, attributes=dict(attributes))

    async def _rmxattrs(self, path: str, names: Sequence[str]) -> None:
        """Remove extended attributes."""
        await self._act(path, action="rm-xattr", names=list(names))

    async def _labels(self, path: str) -> list[str]:
        """The labels of a file or directory."""
        await self.ready()
        found = await self._info(path, labels=True)
        return list(found.get("labels", []))

    async def _add_label(self, path: str, label: str) -> None:
        """Give a file or directory a label."""
        await self._act(path, action="set-label", label=label)

    async def _remove_label(self, path: str, label: str) -> None:
        """Take a label from a file or directory."""
        await self._act(path, action="rm-label", label=label)

    async def _act(self, path: str, **body: Any) -> None:
        await self.ready()
        name = self._strip_protocol(path)
        with self._changes(name):
            await self.namespace.act(name, json.dumps(body).encode(), action="label")

    getxattrs = sync_wrapper(_getxattrs)
    setxattrs = sync_wrapper(_setxattrs)
    rmxattrs = sync_wrapper(_rmxattrs)
    labels = sync_wrapper(_labels)
    add_label = sync_wrapper(_add_label)
    remove_label = sync_wrapper(_remove_label)

    # --- checksums, identity, times

    async def _checksums(self, path: str) -> dict[str, str]:
        """The checksums that the door has stored: hexadecimal, by name (``adler32``, ``md5``)."""
        found = await self._info(path, checksum=True)
        return dict(found.get("checksums", {}))

    checksums = sync_wrapper(_checksums)

    async def _ukey(self, path: str) -> str:
        """A text that changes when the file does."""
        found = await self._info(path, locality=False)
        kept = ("name", "type", "size", "mtime", "pnfsid", "etag")
        return str(tokenize([found.get(key) for key in kept]))

    ukey = sync_wrapper(_ukey)

    def checksum(self, path: str) -> int:
        """A number that changes when the file does (fsspec's meaning; see :meth:`checksums`)."""
        return int(self.ukey(path), 16)

    def created(self, path: str) -> datetime | None:
        """When it was made, in UTC; None if the door does not say it."""
        return moment(self.info(path, refresh=True)["created"])

    def modified(self, path: str) -> datetime | None:
        """When its content was written, in UTC; None if the door does not say it."""
        return moment(self.info(path, refresh=True)["mtime"])

    def _paths(self, path: str | Sequence[str]) -> list[str]:
        given = [path] if isinstance(path, str) else list(path)
        return [self._strip_protocol(one) for one in given]
