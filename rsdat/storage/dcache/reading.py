"""Reading files: ranges, resumed after a break, straight from the pool that holds the file.

A door answers the first read of a file with the address of a pool. The address is kept for the
next ranges of the same file, so that they cost one request and not two; when a pool refuses it
(dCache gives addresses that end with the transfer, too), the door is asked again. Whether a door's
addresses last is learned from the first that is tried again (:mod:`rsdat.storage.dcache.known`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from rsdat.storage.dcache import checksums, errors, retrying, tape
from rsdat.storage.dcache.client import Client
from rsdat.storage.dcache.known import Known
from rsdat.storage.dcache.paths import origin
from rsdat.storage.dcache.retrying import ShortRead, Tries
from rsdat.storage.dcache.spans import Arrived, Span, expected_bytes, opaque, total

if TYPE_CHECKING:
    import aiohttp

# Seconds without an answer after which it is asked whether the file is on tape.
TAPE_PATIENCE = 3.0
# Answers that say nothing of a tape: who asks is not known, or there is no such file.
NOT_OF_TAPES = frozenset({401, 404, 405})
# A pool's answers that an address is not, or no longer, one of its own.
USED_UP = frozenset({400, 401, 403, 404, 410})

Sink = Callable[[bytes], Awaitable[None] | None]
Locate = Callable[[str], Awaitable[str | None]]


class Reader:
    """Reads files of one door.

    Parameters
    ----------
    client
        Sends the requests.
    locality
        Says where a file's data is (``NEARLINE``: on tape only), or None if nobody knows.
    is_directory
        Says whether a path is a directory.
    """

    def __init__(
        self,
        client: Client,
        locality: Locate,
        is_directory: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._client = client
        self._locality = locality
        self._is_directory = is_directory
        self._asking: dict[tuple[int, str], asyncio.Future[None]] = {}
        #: What is known of the door; replaced by what others share, once the credential is known.
        self.known = Known()

    def forget(self, path: str) -> None:
        """Forget where a file's data is: it was written anew, moved or removed."""
        self.known.addresses.forget(path)

    async def read(self, path: str, span: Span | None = None) -> bytes:
        """The bytes of a span; a whole file is compared with the checksum that the door says.

        Raises
        ------
        DoorError
            One of its kinds: the file is missing, on tape, not readable, or the network is gone.
        """
        span = span or Span()
        tries = Tries(self._client.policy)
        while True:
            parts: list[bytes] = []
            sums = checksums.Sums() if span.whole else None

            def keep(
                data: bytes, parts: list[bytes] = parts, sums: checksums.Sums | None = sums
            ) -> None:
                parts.append(data)
                if sums is not None:
                    sums.update(data)

            arrived = await self.stream(path, span, keep)
            wrong = sums is not None and checksums.differences(sums.values(), arrived.sums or {})
            if not wrong:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            if not tries.left(retrying.DOUBTFUL_TRIES):
                raise self.wrong_checksum(path)
            await tries.pause()

    def wrong_checksum(self, path: str) -> errors.WrongChecksum:
        """The error for a file that arrived otherwise than the door says it is."""
        door = self._client.door.webdav
        return errors.WrongChecksum(
            f"{path} at {door}: what was read does not have the checksum that the door says",
            hint="try again; if it stays, the stored file is damaged: tell the administrators",
            path=path,
            door=door,
        )

    @property
    def policy(self) -> retrying.Policy:
        """How patient requests are."""
        return self._client.policy

    def slot(self) -> AbstractAsyncContextManager[None]:
        """One of the requests that may be under way at one time."""
        return self._client.slot()

    async def stream(
        self,
        path: str,
        span: Span,
        sink: Sink,
        announce: Callable[[int], object] | None = None,
    ) -> Arrived:
        """Hand the bytes of a span to a function, once each and in order, across breaks.

        Parameters
        ----------
        sink
            Takes the bytes; it may be a coroutine, which is waited for.
        announce
            Is told the size of the whole file, before the first bytes.

        Raises
        ------
        Changed
            The file was replaced between two pieces.
        """
        arrived = Arrived()
        tries = Tries(self._client.policy)
        url = self._client.door.file(path)
        while True:
            wanted = None
            before = arrived.received
            try:
                headers = self._headers(span, arrived)
                async with self.slot(), self.opened(path, headers) as response:
                    if not retrying.passes(response.status, tries):
                        if announce is not None and (size := total(response)) is not None:
                            announce(size)
                        return await self._take(path, span, response, arrived, sink)
                    wanted = response.headers.get("Retry-After")
                    await self._check_tape(path)
            except Exception as error:
                if not retrying.is_break(error) or isinstance(error, errors.DoorError):
                    raise
                if arrived.received > before:
                    tries.progressed()
                if span.start < 0 and arrived.received:
                    # The last bytes of a file are named from its end only in the first request.
                    raise self._client.unreachable(error, url, path) from error
                if not retrying.breaks(error, tries, known=self._client.knows(url)):
                    raise self._client.unreachable(error, url, path) from error
            await tries.pause(wanted)

    async def _take(
        self,
        path: str,
        span: Span,
        response: aiohttp.ClientResponse,
        arrived: Arrived,
        sink: Sink,
    ) -> Arrived:
        if response.status == 416 and not arrived.received:
            return arrived
        await self.check(path, response)
        skip = self._begin(path, span, response, arrived)
        expected = expected_bytes(span, arrived, response)
        if expected == 0:
            return arrived
        async for data in response.content.iter_any():
            piece, skip = (data[skip:], max(skip - len(data), 0)) if skip else (data, 0)
            if expected is not None and arrived.received + len(piece) > expected:
                piece = piece[: expected - arrived.received]
            if piece:
                waiting = sink(piece)
                if waiting is not None:
                    await waiting
                arrived.received += len(piece)
            if arrived.received == expected and not span.whole:
                break
        if expected is not None and arrived.received < expected:
            raise ShortRead
        return arrived

    async def check(self, path: str, response: aiohttp.ClientResponse) -> None:
        """Raise what an answer means that carries no bytes of the file."""
        if response.status in (200, 206):
            return
        if response.status not in NOT_OF_TAPES:
            await self._check_tape(path)
        if response.status in (403, 405):
            with suppress(PermissionError):
                if await self._is_directory(path):
                    raise self._no_file(path)
        body = await response.content.read(4096)
        raise self._client.refusal(response.status, "read", path, body)

    def _begin(
        self, path: str, span: Span, response: aiohttp.ClientResponse, arrived: Arrived
    ) -> int:
        """Note what the headers say; how many bytes of the body are to be left out."""
        etag = response.headers.get("ETag")
        same = opaque(etag or "") == opaque(arrived.etag or "")
        if arrived.received and not (same and total(response) == arrived.size):
            raise errors.Changed(
                f"{path} at {self._client.door.webdav} was replaced while it was read",
                hint="read it again",
                path=path,
                door=self._client.door.webdav,
            )
        arrived.etag = etag
        arrived.size = total(response)
        arrived.sums = checksums.of_header(response.headers)
        if response.status == 206:
            return 0
        # A server without ranges sends it all.
        start = span.start if span.start >= 0 else max((arrived.size or 0) + span.start, 0)
        return start + arrived.received

    # --- where the bytes come from

    def _headers(self, span: Span, arrived: Arrived) -> dict[str, str]:
        headers = span.header(arrived.received)
        if span.whole:
            headers["Want-Digest"] = "adler32"
        if arrived.received and arrived.etag and not arrived.etag.startswith("W/"):
            headers["If-Range"] = arrived.etag
        return headers

    @asynccontextmanager
    async def opened(
        self, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one GET, from wherever the file is; no success is asked of it."""
        response = await self._from_pool(path, headers)
        if response is None:
            response = await self._from_door(path, headers)
        try:
            yield response
        except BaseException:
            # What is left of the body would be read in vain before the connection is free.
            response.close()
            raise
        else:
            if response.content.is_eof():
                response.release()
            else:
                response.close()

    async def _from_pool(
        self, path: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse | None:
        """The answer of the pool that had the file last; None: the door has to be asked."""
        addresses = self.known.addresses
        while True:
            waiting = self._asking.get((id(asyncio.get_running_loop()), path))
            if waiting is not None and addresses.lasting:
                await asyncio.shield(waiting)
            address = addresses.take(path)
            if address is None:
                return None
            try:
                response = await self._client.send("GET", address, headers=headers)
            except BaseException as error:
                addresses.failed(path, address)
                if isinstance(error, Exception) and retrying.is_break(error):
                    return None
                raise
            if response.status in (200, 206, 416):
                addresses.served(path, address)
                return response
            response.close()
            if response.status in USED_UP:
                addresses.refused(path, address)
            else:
                addresses.failed(path, address)

    async def _from_door(self, path: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        addresses = self.known.addresses
        key = (id(asyncio.get_running_loop()), path)
        mine = None
        if addresses.lasting and key not in self._asking:
            mine = self._asking[key] = asyncio.get_running_loop().create_future()
        url = self._client.door.file(path)
        try:
            response = await self._asked(path, url, headers)
            await self._check_directory(path, url, response)
            if response.status in (200, 206) and origin(str(response.url)) != origin(url):
                addresses.keep(path, str(response.url))
            return response
        finally:
            if mine is not None:
                del self._asking[key]
                mine.set_result(None)

    async def _asked(
        self, path: str, url: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        kept = {n: v for n, v in headers.items() if self.known.digests or n != "Want-Digest"}
        response: aiohttp.ClientResponse = await self._unless_on_tape(
            path, self._client.follow("GET", url, headers=kept)
        )
        if response.status not in (400, 405, 501) or "Want-Digest" not in kept:
            return response
        # XRootD refuses to read at all where it cannot say the checksum.
        response.close()
        self.known.digests = False
        return await self._asked(path, url, headers)

    async def _check_directory(self, path: str, url: str, response: aiohttp.ClientResponse) -> None:
        """Refuse a page that lists a directory: it is no file's content."""
        own = origin(str(response.url)) == origin(url)
        slashed = own and response.url.raw_path.endswith("/") and path != "/"
        # XRootD does not say what it sends.
        page = response.content_type == "text/html" or self._client.is_xrootd
        page = page and own and response.status == 200
        if slashed or (page and await self._is_directory(path)):
            response.close()
            raise self._no_file(path)

    def _no_file(self, path: str) -> errors.IsDirectory:
        door = self._client.door.webdav
        return errors.IsDirectory(
            f"{path} at {door} is a directory", hint="name a file", path=path, door=door
        )

    # --- tape

    async def _unless_on_tape(self, path: str, request: Awaitable[Any]) -> Any:
        """The answer; but a door that is silent because it waits for a tape is not waited for."""
        task = asyncio.ensure_future(request)
        try:
            done, _ = await asyncio.wait({task}, timeout=TAPE_PATIENCE)
            if not done:
                await self._check_tape(path)
            return await task
        finally:
            if not task.done():
                task.cancel()

    async def _check_tape(self, path: str) -> None:
        where = await self._locality(path)
        if where is not None:
            tape.refuse_offline(path, where, self._client.door.webdav)
