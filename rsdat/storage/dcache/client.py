"""Requests to a door and its pools: connections, redirects, secrets, time limits, retries.

The client follows redirects itself, because the rule about secrets is its own: the credential goes
to the door and to its REST interface, and to nobody else, whatever a redirect says.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rsdat.storage.dcache import retrying
from rsdat.storage.dcache.errors import ACTIVITIES, Denied, DoorError, Lack, Unreachable, refusal
from rsdat.storage.dcache.paths import Door, origin, redirected, without_query
from rsdat.storage.dcache.rest import detail
from rsdat.storage.dcache.retrying import Policy, Tries

if TYPE_CHECKING:
    import aiohttp

    from rsdat.storage.credentials import Credential

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 8
# A credential is read again after this many seconds, or at once when the door refuses it.
CREDENTIAL_SECONDS = 5.0
CLOSING_SECONDS = 1.0
# dCache's pool addresses can be longer than aiohttp's 8 kB for a header line.
LONGEST_HEADER = 65536

_holds_slot: ContextVar[bool] = ContextVar("holds_slot", default=False)


@dataclass(frozen=True)
class Limits:
    """Time limits (seconds) and the number of requests at one time."""

    connect: float = 15.0
    idle: float = 60.0
    concurrency: int = 64


@dataclass(frozen=True)
class Reply:
    """A whole answer: ``attempt`` counts from 0, and says whether an earlier try may have acted."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempt: int = 0

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300


@dataclass
class _Connections:
    """What belongs to one event loop."""

    session: aiohttp.ClientSession
    slots: asyncio.Semaphore


@dataclass(eq=False)
class Client:
    """Sends requests to the origins of a door.

    Parameters
    ----------
    door
        Where the door's services are; their origins get the credential.
    credential
        Reference to the secret, or None.
    """

    door: Door
    credential: Credential | None = None
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Connections] = (
            weakref.WeakKeyDictionary()
        )
        self._secrets: dict[tuple[str, str, int], tuple[float, dict[str, str]]] = {}
        self._reached: set[tuple[str, str, int]] = set()
        self._tls: tuple[float, Any] = (0.0, True)
        #: Set once an upload has seen that the door does not answer ``Expect: 100-continue``.
        self.ignores_expect = False
        #: XRootD: neither quotes names in its answers nor unquotes a Destination, and loses its
        #: place in uploads of unknown size (seen with 5.5).
        self.is_xrootd = False

    # --- connections

    def _connections(self) -> _Connections:
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None or found.session.closed:
            found = self._loops[loop] = _Connections(
                self._session(), asyncio.Semaphore(self.limits.concurrency)
            )
        return found

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        from rsdat.storage.credentials.responses import response_class

        # No limit here: uploads that wait for their writer must not take the readers' turn.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=300)
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.limits.connect, sock_read=self.limits.idle
            ),
            # What is stored is what is read: a .gz file stays one.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "rsdat"},
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            read_bufsize=1 << 18,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=response_class(),
        )
        weakref.finalize(self, _close, asyncio.get_running_loop(), session)
        return session

    async def close(self) -> None:
        """Close this loop's connections; the next request opens new ones."""
        found = self._loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.session.close()

    # --- secrets

    def _trusted(self, url: str) -> bool:
        ours = [self.door.webdav, self.door.api, self.door.tape]
        return origin(url) in {origin(one) for one in ours if one}

    async def secret(self, url: str) -> dict[str, str]:
        """The headers that hold the secret for an address; none for a foreign origin."""
        if self.credential is None or not self._trusted(url):
            return {}
        key = origin(url)
        until, headers = self._secrets.get(key, (0.0, {}))
        if time.monotonic() >= until:
            # It reads files, and may run a command.
            headers = await asyncio.to_thread(self.credential.headers, url)
            self._secrets[key] = time.monotonic() + CREDENTIAL_SECONDS, headers
        return headers

    async def _trust(self) -> Any:
        """The TLS context: the credential's authorities and X.509 proxy, or the usual ones."""
        if self.credential is None:
            return True
        if time.monotonic() >= self._tls[0]:
            context = await asyncio.to_thread(self.credential.ssl_context)
            self._tls = time.monotonic() + CREDENTIAL_SECONDS, context or True
        return self._tls[1]

    async def renewed(self, url: str) -> bool:
        """Whether the secret has changed since it was read: a refused token may be an old one."""
        if self.credential is None or not self._trusted(url):
            return False
        before = self._secrets.pop(origin(url), (0.0, {}))[1]
        await asyncio.to_thread(self.credential.renew)
        return await self.secret(url) != before

    @property
    def described(self) -> str:
        """The credential in words for messages; empty where nothing says who asks."""
        known = self.credential is not None and self.credential.identifies
        return f"the credential {self.credential.reference}" if known and self.credential else ""

    def lacking(self, action: str, path: str) -> Lack | None:
        """What is seen to be wrong with the credential; for the message of a refusal."""
        from rsdat.errors import RsdatError
        from rsdat.storage.credentials import lacks

        if self.credential is None:
            return None
        try:
            self.credential.ssl_context()
            self.credential.headers(self.door.webdav)
            token = self.credential.token()
        except RsdatError as error:
            # Since it was sent, its file has gone, or it has expired.
            return Lack(error.message, error.hint)
        if token is None:
            return None
        found = (lacks(token, one, self.door.full(path)) for one in ACTIVITIES[action])
        words = next((words for words in found if words), None)
        expired = token.expires is not None and token.expires <= datetime.now(UTC)
        if words is None:
            return None
        return Lack(words, self.credential.renewal if expired else None)

    def refusal(self, status: int, action: str, path: str, body: bytes = b"") -> DoorError:
        """The error for an answer that is no success."""
        denied = status in (401, 403)
        return refusal(
            status,
            action=action,
            path=path,
            door=self.door.webdav,
            detail=detail(body),
            credential=self.described,
            lacking=self.lacking(action, path) if denied else None,
        )

    # --- requests

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        idle: float | None = None,
        anonymous: bool = False,
    ) -> aiohttp.ClientResponse:
        """One request without redirects and retries; the caller releases the answer."""
        import aiohttp
        from yarl import URL

        from rsdat.storage.credentials import certificates

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self.limits.connect, sock_read=idle or self.limits.idle
        )
        try:
            response = await self._connections().session.request(
                method,
                # Already quoted: quoting it again would change the name.
                URL(url, encoded=True),
                headers={**(headers or {}), **({} if anonymous else await self.secret(url))},
                data=data,
                allow_redirects=False,
                ssl=await self._trust() if url.startswith("https:") else True,
                timeout=timeout,
            )
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            meant = await certificates.clearer(error, url, self.credential)
            if meant is error:
                raise
            raise meant from meant.__cause__
        self._reached.add(origin(url))
        if response.headers.get("Server", "").startswith("XrootD"):
            self.is_xrootd = True
            # Its "100 Continue" says that the connection is closed, and then goes on.
            self.ignores_expect = True
        return response

    async def follow(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> aiohttp.ClientResponse:
        """One request with its redirects, and with a secret that was renewed meanwhile."""
        renewed = False
        for _ in range(MOST_REDIRECTS):
            response = await self.send(method, url, headers=headers, **options)
            if response.status == 401 and not renewed and await self.renewed(url):
                renewed = True
                response.release()
                continue
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                return response
            response.release()
            url = redirected(url, location)
        raise DoorError(
            f"{without_query(url)}: more than {MOST_REDIRECTS} redirects",
            hint="check the address of the door",
            door=self.door.webdav,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        repeatable: bool = True,
        idle: float | None = None,
    ) -> Reply:
        """A request with its whole answer, tried again where that is safe.

        Parameters
        ----------
        path
            The path that it is about, for messages.
        repeatable
            Whether doing it twice is as good as doing it once.

        Raises
        ------
        Unreachable
            The connection failed, and failed again.
        """
        tries = Tries(self.policy)
        while True:
            async with self.slot():
                try:
                    response = await self.follow(method, url, headers=headers, data=data, idle=idle)
                    body = await response.read()
                except Exception as error:
                    if not retrying.is_break(error):
                        raise
                    again = repeatable and retrying.breaks(error, tries, known=self.knows(url))
                    if not again:
                        raise self.unreachable(error, url, path) from error
                    wanted = None
                else:
                    reply = Reply(response.status, response.headers, body, tries.made)
                    if not (repeatable and retrying.passes(reply.status, tries)):
                        return reply
                    wanted = response.headers.get("Retry-After")
            await tries.pause(wanted)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the requests that may be under way at one time.

        Who holds one and asks something more in the meantime (whether a file is on tape, while its
        download waits) does not need a second: all could be held by those who wait for another.
        """
        if _holds_slot.get():
            yield
            return
        async with self._connections().slots:
            _holds_slot.set(True)
            try:
                yield
            finally:
                _holds_slot.set(False)

    def knows(self, url: str) -> bool:
        """Whether the host of an address has answered before, on whatever port."""
        return origin(url)[1] in {host for _, host, _ in self._reached}

    def unreachable(self, error: BaseException, url: str, path: str) -> DoorError:
        """The error for a connection that failed for good."""
        from rsdat.storage.credentials import certificates

        scheme, host, port = origin(url)
        facts: dict[str, Any] = {"path": path, "door": self.door.webdav}
        proxy = self.credential.proxy_file if self.credential else None
        if refused := certificates.refused(error, proxy):
            place = f"{scheme}://{host}:{port} ({path})"
            return Denied(f"{place}: {refused[0]}", hint=refused[1], **facts)
        words, number = retrying.reason(error)
        hint = "check the network, and the address of the door; then run it again"
        if retrying.untrusted(error):
            hint = "if the door is the right one, name its authorities with ca_file="
            words = f"its certificate is not trusted ({words})"
        elif retrying.unknown_host(error):
            hint = "check the name of the host"
        return Unreachable(
            f"{scheme}://{host}:{port} ({path}): {words}",
            hint=hint,
            code=number,
            **facts,
        )


def _close(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    """Close a session whose client is gone, from whatever thread notices it."""
    if session.closed:
        return
    if not loop.is_running():
        # The loop has ended, and with it everything that could be awaited.
        if session.connector is not None:
            session.connector._close()
        return
    closing = asyncio.run_coroutine_threadsafe(session.close(), loop)
    if not _is_running_here(loop):
        # At the end of the process, what is not waited for is never done.
        with suppress(Exception):
            closing.result(CLOSING_SECONDS)


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
