"""Putting a file in place: parents, temporary names, the comparison of checksums, cleaning up.

Nothing half-written stays that looks finished: dCache removes an entry whose upload fails; at other
doors, whose servers make no such promise, a file grows under a hidden name beside its target and is
renamed when it is complete.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from rsdat.storage.dcache import checksums, errors, retrying
from rsdat.storage.dcache.client import Client, Reply
from rsdat.storage.dcache.namespace import Namespace
from rsdat.storage.dcache.paths import parent, temporary
from rsdat.storage.dcache.reading import Reader
from rsdat.storage.dcache.retrying import Tries
from rsdat.storage.dcache.spans import Span
from rsdat.storage.dcache.spooling import spooled
from rsdat.storage.dcache.writing import Queue, Source, mismatches, upload

# Seconds before each look for what an upload has left whose connection the door has ended; dCache
# removes it by itself.
LOOKS = (0.0, 0.05, 0.2, 0.75)
# After an answer, nothing appears any more.
ANSWERED = (0.0,)
# Where we have ended it, the door has to notice; some keep what they have, and show it late.
SWEEPS = (*LOOKS, 1.0, 2.0)
# Seconds without it, after it was removed, until it is believed to be gone.
QUIET = 1.5


async def ended(task: asyncio.Future[Any]) -> None:
    """Wait for the end of a task, whatever it is.

    Raises
    ------
    CancelledError
        At that end, if the wait was cancelled.
    """
    called_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            called_off = error
    if called_off is not None:
        raise called_off


class Store:
    """Stores files at one door.

    Parameters
    ----------
    names
        The checksums to compute on the way.
    renames
        Whether files grow under a temporary name; None: at doors without a REST interface.
    verifies
        Whether the door is asked for its checksum where its answer did not say it.
    """

    def __init__(
        self,
        client: Client,
        namespace: Namespace,
        reader: Reader,
        *,
        names: tuple[str, ...] = ("adler32",),
        renames: bool | None = None,
        verifies: bool = True,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._reader = reader
        self.names = names
        self._renames = renames
        self._verifies = verifies
        self._parents: dict[tuple[int, str], asyncio.Future[bool]] = {}

    async def store(self, path: str, source: Source, *, create: bool = False) -> None:
        """Upload a source to a path, complete or not at all.

        Parameters
        ----------
        create
            Refuse to replace a file.

        Raises
        ------
        Exists
            A file is there and may not be replaced.
        WrongChecksum
            The door has something else than what was sent; it was removed.
        """
        renames = not self._namespace.has_rest if self._renames is None else self._renames
        if path == "/":
            raise self._directory_in_the_way(path)
        if not renames and await self._direct(path, source, create=create):
            return
        growing = await self.grow(path, source)
        try:
            if create and await self._namespace.exists(path):
                raise self._exists(path)
            await self.settle(growing, path)
        except BaseException:
            await self.discard(growing, ANSWERED)
            raise

    async def grow(self, path: str, source: Source) -> str:
        """Upload a source under a temporary name beside a path; the name."""
        growing = temporary(path)
        try:
            refused = await self._verified(growing, source, {})
        except errors.WrongChecksum:
            raise
        except BaseException as error:
            by_peer = error.__cause__ is not None and retrying.by_peer(error.__cause__)
            await self.discard(growing, LOOKS if by_peer else SWEEPS)
            raise
        if refused is not None:
            await self.discard(growing, ANSWERED)
            # The name is new: what is in the way is the directory's.
            raise await self._why(growing, refused)
        return growing

    async def settle(self, growing: str, path: str) -> None:
        """Give a complete file its name; a file in the way is replaced."""
        try:
            await self._namespace.move(growing, path)
        except FileExistsError:
            # The door does not overwrite. The new data is safe: the old may go.
            await self._namespace.remove(path)
            await self._namespace.move(growing, path)
        self._reader.forget(path)

    async def discard(self, growing: str, pauses: tuple[float, ...]) -> None:
        """Remove what an upload has left, if the door still can be reached.

        Whoever is cancelled meanwhile waits for it all the same, and is cancelled then: the end of
        an upload must not come before the end of its tidying up.

        Parameters
        ----------
        pauses
            Seconds before each look; :data:`ANSWERED`, if the door has answered the upload.
        """
        sweeping = asyncio.ensure_future(self._sweep(growing, pauses))
        await ended(sweeping)
        with suppress(Exception):
            sweeping.result()

    async def _sweep(self, path: str, pauses: tuple[float, ...]) -> None:
        """Remove a file that may yet appear.

        A server that is no dCache notices only after a moment that the upload broke off, and then
        keeps what it has (seen with rclone). The slower it answers, the longer that moment.
        """
        now = asyncio.get_running_loop().time
        removed: float | None = None
        slowest = 0.0
        for pause in pauses:
            await asyncio.sleep(max(pause, slowest))
            began = now()
            try:
                there = await self._remove_if_there(path)
            except (PermissionError, ConnectionError):
                return
            except OSError:
                there = False  # Some lock a file for as long as they are at it.
            slowest = max(slowest, now() - began)
            if self._namespace.has_rest:
                return
            if there:
                removed = now()
            elif removed is not None and now() - removed > QUIET + slowest:
                return

    async def _vanished(self, path: str) -> None:
        """Give dCache the moment that it takes to notice that an upload to a path broke off.

        It removes the entry itself. It is not removed from here, because it may be the file of
        before, whose replacement has not begun.
        """
        for pause in LOOKS:
            await asyncio.sleep(pause)
            with suppress(Exception):
                if not await self._namespace.exists(path):
                    return

    async def _remove_if_there(self, path: str) -> bool:
        """Remove a file; whether it was there."""
        try:
            await self._namespace.remove(path)
        except FileNotFoundError:
            return False
        return True

    async def _direct(self, path: str, source: Source, *, create: bool) -> bool:
        """Upload under the final name; False: the door does not replace files."""
        headers = {"If-None-Match": "*"} if create else {}
        try:
            refused = await self._verified(path, source, headers)
        except errors.WrongChecksum:
            raise
        except BaseException:
            await ended(asyncio.ensure_future(self._vanished(path)))
            raise
        self._reader.forget(path)
        if refused is None:
            return True
        if refused.status in (409, 412) and await self._namespace.exists(path):
            if await self._namespace.is_directory(path):
                raise self._directory_in_the_way(path)
            if create:
                raise self._exists(path)
            return False
        raise await self._why(path, refused)

    async def _verified(self, path: str, source: Source, headers: dict[str, str]) -> Reply | None:
        """Upload and compare, again after a difference; the door's refusal, None for success."""
        if not (source.repeatable or self._namespace.has_rest) and not await self._has_parent(path):
            # Servers other than dCache may refuse only after the data, which then is gone.
            await self._namespace.make_directories(parent(path))
        # What the door is, is known from here on.
        if source.size is None and self._client.is_xrootd:
            async with spooled(source, path, self.names) as known:
                return await self._sent(path, known, headers)
        return await self._sent(path, source, headers)

    async def _sent(self, path: str, source: Source, headers: dict[str, str]) -> Reply | None:
        tries = Tries(self._client.policy)
        while True:
            reply = await self._with_parents(path, source, headers)
            if not reply.ok:
                return reply
            wrong = await self._compare(path, source, reply)
            if not wrong:
                return None
            await self._remove_if_there(path)
            if source.spent or not tries.left(retrying.DOUBTFUL_TRIES):
                door = self._client.door.webdav
                raise errors.WrongChecksum(
                    f"{path} at {door}: what arrived differs in {', '.join(wrong)} from what was "
                    "sent, and was removed",
                    hint="write it again",
                    path=path,
                    door=door,
                )
            await tries.pause()

    async def _with_parents(self, path: str, source: Source, headers: dict[str, str]) -> Reply:
        """Upload; the directories above are made when the door misses them."""
        reply = await upload(self._client, path, source, headers)
        if reply.status not in (404, 409) or source.spent:
            return reply
        if not await self._parent_was_made(path) and await self._namespace.exists(path):
            return reply
        # Where the parent is there now, an upload beside this one may have made it meanwhile.
        return await upload(self._client, path, source, headers)

    async def _parent_was_made(self, path: str) -> bool:
        """Make the directory of a path if it is missing, once for all that wait for it."""
        key = (id(asyncio.get_running_loop()), parent(path))
        task = self._parents.get(key)
        if task is None:
            task = self._parents[key] = asyncio.ensure_future(self._make_parent(path))
            task.add_done_callback(lambda _: self._parents.pop(key, None))
        return await asyncio.shield(task)

    async def _make_parent(self, path: str) -> bool:
        above = parent(path)
        try:
            # To make it takes no longer than to ask whether it is there.
            await self._namespace.make_directory(above)
        except FileExistsError:
            return False
        except FileNotFoundError:
            await self._namespace.make_directories(parent(above))
            await self._namespace.make_directories(above)
        except PermissionError:
            if not await self._has_parent(path):
                raise
            return False
        return True

    async def _has_parent(self, path: str) -> bool:
        try:
            return await self._namespace.exists(parent(path))
        except PermissionError:
            return True

    async def _compare(self, path: str, source: Source, reply: Reply) -> list[str]:
        said = checksums.of_header(reply.headers)
        if not self._verifies or set(said) & set(self.names):
            return mismatches(source, said, None)
        found = await self._namespace.info(path, ("checksum",))
        return mismatches(source, found.get("checksums", {}), found["size"])

    async def _why(self, path: str, reply: Reply) -> errors.DoorError:
        if reply.status in (403, 405, 409) and await self._namespace.is_directory(path):
            return self._directory_in_the_way(path)
        above = parent(path)
        blocked = reply.status in (403, 405, 409) and await self._has_parent(path)
        if blocked and not await self._namespace.is_directory(above):
            return errors.NotDirectory(
                f"cannot write {path} at {self._client.door.webdav}: {above} is not a directory",
                hint="choose another name",
                path=path,
                door=self._client.door.webdav,
            )
        return self._namespace.refusal(reply, "write", path)

    def _directory_in_the_way(self, path: str) -> errors.DoorError:
        door = self._client.door.webdav
        return errors.IsDirectory(
            f"cannot write {path} at {door}: it is a directory",
            hint="choose a name inside it",
            path=path,
            door=door,
        )

    def _exists(self, path: str) -> errors.DoorError:
        door = self._client.door.webdav
        return errors.Exists(
            f"{path} at {door} exists", hint="choose another name", path=path, door=door
        )

    async def copy(self, source: str, target: str) -> None:
        """Copy a file: by the door itself where it does that, else through this process."""
        if await self._namespace.copy(source, target):
            self._reader.forget(target)
            return
        size = (await self._namespace.info(source, ()))["size"]
        queue = Queue(self.names, size, depth=16)

        async def read() -> None:
            sums = checksums.Sums()

            async def hand_over(data: bytes) -> None:
                sums.update(data)
                queue.sums.update(data)
                await queue.offer([data])

            arrived = await self._reader.stream(source, Span(), hand_over)
            if checksums.differences(sums.values(), arrived.sums or {}):
                raise self._reader.wrong_checksum(source)
            await queue.offer(None)

        reading = asyncio.ensure_future(read())
        storing = asyncio.ensure_future(self.store(target, queue))
        try:
            await asyncio.wait({reading, storing}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (reading, storing):
                if task.done():
                    task.result()
        finally:
            for task in (reading, storing):
                task.cancel()
            await asyncio.wait({reading, storing})
