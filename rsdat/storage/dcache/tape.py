"""Tape: where files' data is, bringing it to disk in bulk, letting it go (WLCG tape REST API)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rsdat.storage.dcache import errors
from rsdat.storage.dcache.client import Client
from rsdat.storage.dcache.namespace import Namespace
from rsdat.storage.dcache.paths import without_query

# Files in one request: dCache takes some thousands.
MOST_FILES = 2000
# The tape interface's words for the localities that the namespace has.
LOCALITIES = {"DISK": "ONLINE", "TAPE": "NEARLINE", "DISK_AND_TAPE": "ONLINE_AND_NEARLINE"}
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
# Seconds between two looks at a request: a tape takes minutes.
FIRST_LOOK, LAST_LOOK = 1.0, 30.0


@dataclass(frozen=True)
class StagedFile:
    """One file of a staging request: its path, state, and what went wrong with it."""

    path: str
    state: str
    error: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in OVER


@dataclass(frozen=True)
class Staging:
    """A request to bring files to disk, as it was at one moment; can be pickled and asked again.

    Parameters
    ----------
    ids
        The door's names for it, several for many files.
    files
        The files with their states.
    """

    ids: tuple[str, ...]
    files: tuple[StagedFile, ...] = field(default=(), repr=False)

    @property
    def over(self) -> bool:
        """Whether every file is there or will not come."""
        return all(file.over for file in self.files)

    @property
    def failed(self) -> tuple[StagedFile, ...]:
        """The files that will not come."""
        return tuple(file for file in self.files if file.over and file.state != "COMPLETED")


class Tape:
    """The tape interface of one door."""

    def __init__(self, client: Client, namespace: Namespace) -> None:
        self._client = client
        self._namespace = namespace

    async def localities(self, paths: Sequence[str]) -> dict[str, str]:
        """Where each file's data is: ``ONLINE`` (disk), ``NEARLINE`` (tape only), or both,
        ``ONLINE_AND_NEARLINE``; ``UNAVAILABLE``, ``LOST``; ``NONE`` for directories.

        Raises
        ------
        NotFound
            One of them does not exist.
        """
        if self._client.door.tape is None:
            found = [await self._namespace.info(path, ("locality",)) for path in paths]
            return {entry["name"]: entry.get("locality", "NONE") for entry in found}
        result: dict[str, str] = {}
        for some in _parts(paths):
            body = {"paths": [self._client.door.full(path) for path in some]}
            answer = await self._ask("POST", "archiveinfo", body, some, action="describe")
            for path, record in zip(some, answer, strict=True):
                if "locality" not in record:
                    # It may be a directory, or missing: the namespace tells them apart.
                    result[path] = (await self._namespace.info(path)).get("locality", "NONE")
                else:
                    result[path] = LOCALITIES.get(record["locality"], record["locality"])
        return result

    async def stage(self, paths: Sequence[str], lifetime: timedelta) -> Staging:
        """Ask for files to be brought to disk, and to stay there for a time."""
        if self._client.door.tape is None:
            raise self._namespace.unsupported(paths[0] if paths else "/", "stage")
        ids = []
        for some in _parts(paths):
            duration = f"PT{int(lifetime.total_seconds())}S"
            wanted = [
                {"path": self._client.door.full(path), "diskLifetime": duration} for path in some
            ]
            answer = await self._ask("POST", "stage", {"files": wanted}, some, action="stage")
            ids.append(str(answer["requestId"]))
        return await self.look(Staging(tuple(ids)))

    async def look(self, staging: Staging) -> Staging:
        """The request as it is now."""
        files: list[StagedFile] = []
        for name in staging.ids:
            answer = await self._ask("GET", f"stage/{name}", None, [], action="stage")
            files += [
                StagedFile(
                    self._client.door.own(str(one["path"])),
                    str(one.get("state") or ("COMPLETED" if one.get("onDisk") else "SUBMITTED")),
                    one.get("error"),
                )
                for one in answer.get("files", [])
            ]
        return Staging(staging.ids, tuple(files))

    async def wait(
        self,
        staging: Staging,
        *,
        limit: float | None = None,
        progress: Callable[[Staging], None] | None = None,
    ) -> Staging:
        """Wait until every file is on disk.

        Parameters
        ----------
        limit
            Seconds to wait at most.
        progress
            Called after each look.

        Raises
        ------
        StagingFailed
            Some files will not come, or are not there in time; the message names the first.
        """
        end = None if limit is None else asyncio.get_running_loop().time() + limit
        pause = FIRST_LOOK
        while True:
            staging = await self.look(staging)
            if progress is not None:
                progress(staging)
            if staging.over:
                break
            if end is not None and asyncio.get_running_loop().time() >= end:
                raise self._late(staging)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LAST_LOOK)
        if staging.failed:
            first = staging.failed[0]
            raise errors.StagingFailed(
                f"{len(staging.failed)} of {len(staging.files)} files were not staged; "
                f"{first.path}: {first.error or first.state.lower()}",
                hint="ask the storage's administrators about them, or leave them out",
                path=first.path,
                door=self._client.door.webdav,
            )
        return staging

    async def release(self, staging: Staging) -> None:
        """Give the disk copies of a request free before their time."""
        by_request = await self.look(staging) if not staging.files else staging
        for name in staging.ids:
            paths = [self._client.door.full(file.path) for file in by_request.files]
            await self._ask("POST", f"release/{name}", {"paths": paths}, [], action="stage")

    async def release_paths(self, paths: Sequence[str]) -> None:
        """Give disk copies free, whoever asked for them in this user's name."""
        for path in paths:
            await self._namespace.act(path, b'{"action": "unpin"}', action="stage")

    async def cancel(self, staging: Staging) -> None:
        """Take a request back."""
        for name in staging.ids:
            await self._ask("DELETE", f"stage/{name}", None, [], action="stage")

    async def _ask(
        self,
        method: str,
        what: str,
        body: Mapping[str, Any] | None,
        paths: Sequence[str],
        *,
        action: str,
    ) -> Any:
        base = self._client.door.tape
        path = paths[0] if paths else "/"
        reply = await self._client.request(
            method,
            f"{base}/{what}",
            path=path,
            headers={"Content-Type": "application/json"} if body is not None else None,
            data=json.dumps(body).encode() if body is not None else None,
        )
        self._namespace.check(reply, action, path)
        try:
            return json.loads(reply.body) if reply.body else {}
        except ValueError as error:
            raise errors.DoorError(
                f"{without_query(f'{base}/{what}')}: the answer is not JSON ({error})",
                hint="check the address of the tape interface",
                path=path,
                door=self._client.door.webdav,
            ) from error

    def _late(self, staging: Staging) -> errors.StagingFailed:
        waiting = [file for file in staging.files if not file.over]
        return errors.StagingFailed(
            f"{len(waiting)} of {len(staging.files)} files are still on their way from tape, "
            f"{waiting[0].path} among them",
            hint="they keep coming: run the same again later",
            path=waiting[0].path,
            door=self._client.door.webdav,
        )


def refuse_offline(path: str, locality: str, door: str) -> None:
    """Say what to do about a file whose data cannot be read now.

    Raises
    ------
    Nearline
        It is on tape only.
    Lost
        It is lost, or its pool is away.
    """
    if locality == "NEARLINE":
        host = door.partition("://")[2].partition("/")[0]
        raise errors.Nearline(
            f"{path} at {door} is on tape only (NEARLINE)",
            hint=f"bring it to disk first: `rsdat data stage dcache://{host}{path}`",
            path=path,
            door=door,
        )
    if locality in ("LOST", "UNAVAILABLE"):
        raise errors.Lost(
            f"{path} at {door} cannot be read: its locality is {locality}",
            hint="ask the storage's administrators; UNAVAILABLE may pass, LOST does not",
            path=path,
            door=door,
        )


def _parts(paths: Sequence[str]) -> list[Sequence[str]]:
    return [paths[i : i + MOST_FILES] for i in range(0, len(paths), MOST_FILES)]
