"""The door as a test holds it: starts the origins in a thread, fills, disturbs and asks it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .access import Principal
from .certificates import Authority
from .contents import Content, content_of
from .faults import Fault, Kind, Request
from .frontend import Frontend
from .macaroons import ACTIVITIES, Caveats
from .origin import Origin
from .pool import Pool
from .server import Server
from .state import Options, State
from .tree import Entry, normal, split
from .webdav import WebDav

T = TypeVar("T")
#: A token that may do everything, known to every door.
TOKEN = "token-of-the-tests"


class Door:
    """A dCache with one REST frontend, one WebDAV door and pools on origins of their own.

    Parameters
    ----------
    tls
        ``"good"``, or a certificate that a client has to refuse: ``"expired"``, ``"other-host"``.
        The pools speak http all the same.
    pools
        The addresses (hosts) of the pools.
    host
        The address of frontend and WebDAV door.
    ports
        Ports of frontend and WebDAV door, 0 for free ones.
    options
        Fields of `state.Options`.

    Attributes
    ----------
    rest, webdav : str
        Base addresses of the frontend (without ``/api/v1``) and of the WebDAV door.
    token : str
        A bearer token that may do everything.
    """

    def __init__(
        self,
        *,
        tls: str | None = None,
        pools: Iterable[str] = ("127.0.0.2", "127.0.0.3"),
        host: str = "127.0.0.1",
        ports: tuple[int, int] = (0, 0),
        **options: Any,
    ) -> None:
        self._pools = tuple(pools)
        self._host = host
        self._ports = ports
        self.authority = Authority() if tls else None
        self._tls = self.authority.context(tls, host) if self.authority and tls else None
        self.token = TOKEN
        self.options = Options(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._ready = threading.Event()
        self._trouble: BaseException | None = None

    # --- life

    def __enter__(self) -> Door:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except BaseException as error:
            self._trouble = error
        finally:
            self._ready.set()
        if self._trouble is None:
            self._loop.run_forever()

    async def _open(self) -> None:
        self.state = State(self.options)
        self.state.access.tokens[TOKEN] = Caveats()
        self._servers: list[Server] = []
        if self.options.rest:
            await self._serve(Frontend(self.state), self._host, self._ports[0], self._tls)
        await self._serve(WebDav(self.state), self._host, self._ports[1], self._tls)
        for host in self._pools:
            self.state.pools.append(await self._serve(Pool(self.state), host, 0, None))
        self.rest = self.state.urls.get("frontend", "")
        self.webdav = self.state.urls["webdav"]

    async def _serve(self, origin: Origin, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        server = Server(origin, host, port, tls)
        await server.start()
        self._servers.append(server)
        url = f"{'https' if tls else 'http'}://{host}:{server.port}"
        self.state.urls[origin.name] = url
        return url

    async def _close(self) -> None:
        for server in self._servers:
            await server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self.state.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the door's thread, where nothing else happens meanwhile."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    # --- the network

    def disconnect(self) -> None:
        """Let the network be gone: connections break, new ones are refused."""

        async def stop() -> None:
            for server in self._servers:
                await server.vanish()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()

    def reconnect(self) -> None:
        """Let it be back, on the same ports."""

        async def start() -> None:
            for server in self._servers:
                await server.listen()

        asyncio.run_coroutine_threadsafe(start(), self._loop).result()

    # --- contents

    def put(self, path: str, data: bytes | Content = b"") -> Entry:
        """Lay a file down, with the directories above it."""
        content = content_of(data) if isinstance(data, bytes) else data

        def place() -> Entry:
            now = self.state.clock.now()
            parent = split(path)[0]
            if self.state.tree.find(parent) is None:
                self.state.tree.make_directory(parent, now, parents=True)
            return self.state.tree.add(path, Entry("REGULAR", now, now, content=content))

        return self.call(place)

    def mkdir(self, path: str) -> None:
        now = self.state.clock.now()
        self.call(lambda: self.state.tree.make_directory(path, now, parents=True))

    def link(self, path: str, target: str) -> None:
        now = self.state.clock.now()
        self.call(lambda: self.state.tree.add(path, Entry("LINK", now, now, target=target)))

    def remove(self, path: str) -> None:
        self.call(lambda: self.state.tree.remove(path, recursive=True))

    def entry(self, path: str) -> Entry:
        """The live entry, whose fields a test may read and set; `Refused` if there is none."""
        return self.call(lambda: self.state.tree.get(path))

    def read(self, path: str) -> bytes:
        content = self.entry(path).content
        assert content is not None, f"{path} is being uploaded"
        return content.read(0, content.size)

    def exists(self, path: str) -> bool:
        return self.call(lambda: self.state.tree.find(path)) is not None

    def paths(self, below: str = "/") -> list[str]:
        """Every path below one, directories with a slash at the end."""

        def walk() -> list[str]:
            return [p + "/" * (e.kind == "DIR") for p, e in self.state.tree.walk(below)][1:]

        return sorted(self.call(walk))

    # --- tape

    def to_tape(self, path: str, *, on_disk: bool = False) -> None:
        """Let a file be on tape (and on disk as well, or no longer)."""
        entry = self.entry(path)
        entry.on_tape, entry.on_disk = True, on_disk

    def advance(self, seconds: float) -> None:
        """Let time pass: staging comes to its end, tokens expire."""
        self.call(lambda: self.state.clock.advance(seconds))

    def now(self) -> float:
        return self.state.clock.now()

    # --- credentials

    def allow(
        self,
        token: str,
        activities: Iterable[str] = ACTIVITIES,
        *,
        path: str = "/",
        expires_in: float | None = None,
        user: str = "",
    ) -> str:
        """Make a bearer token known with what it may do; returns it."""
        before = None if expires_in is None else self.now() + expires_in
        caveats = Caveats(frozenset(activities), normal(path), before=before, user=user)
        self.call(lambda: self.state.access.tokens.__setitem__(token, caveats))
        return token

    def forget(self, token: str) -> None:
        """Let a token be unknown from now on."""
        self.call(lambda: self.state.access.tokens.pop(token, None))

    def password(self, user: str, password: str) -> None:
        self.state.access.passwords[user] = password

    def allow_anonymous(self, *activities: str) -> None:
        self.state.access.anonymous = frozenset(activities)

    def deny(self, path: str, *activities: str) -> None:
        """Take permissions on a path (and below) from everybody; none named: all."""
        self.state.access.denied[normal(path)] = frozenset(activities or ACTIVITIES)

    # --- faults and log

    def fault(self, kind: Kind, path: str = "*", **details: Any) -> None:
        """Order a fault: see `faults.Fault` for verb, origin, value, times, after."""
        self.call(lambda: self.state.faults.add(Fault(kind, path, **details)))

    def clear_faults(self) -> None:
        self.call(self._clear)

    def _clear(self) -> None:
        self.state.faults.clear()
        self.state.wrong_checksums.clear()

    @property
    def log(self) -> list[Request]:
        """The requests so far, in the order of their arrival."""
        return self.call(lambda: list(self.state.log))

    def clear_log(self) -> None:
        """Forget the requests so far, and how many were answered at one time."""
        self.state.most_active = 0
        self.call(self.state.log.clear)

    @property
    def most_active(self) -> int:
        """The most requests at one time since the log was cleared."""
        return self.state.most_active

    def requests(self, origin: str | None = None, method: str | None = None) -> list[Request]:
        return [
            request
            for request in self.log
            if origin in (None, request.origin) and method in (None, request.method)
        ]

    def macaroon(self, *caveats: str) -> str:
        """A macaroon of the token that may do everything."""
        access = self.state.access
        who = Principal("tester", Caveats())
        return self.call(lambda: access.make_macaroon(who, caveats).serialized())
