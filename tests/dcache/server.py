"""One listening server of the door, which can vanish from the network and come back."""

from __future__ import annotations

import ssl

from aiohttp import web

from tests.ports import kept_port

from .origin import Origin, break_off


class Server:
    """An origin on a host and port (0: a free one), which stays its own while it is away."""

    def __init__(self, origin: Origin, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._kept = kept_port(host, port)
        self.port: int = self._kept.getsockname()[1]
        self._host = host
        self._tls = tls
        self._runner = web.AppRunner(
            origin.application(),
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=0.1,
            lingering_time=1.0,
            read_bufsize=1 << 18,
        )
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        await self._runner.setup()
        await self.listen()

    async def listen(self) -> None:
        if self._site is None:
            self._site = web.TCPSite(
                self._runner,
                self._host,
                self.port,
                ssl_context=self._tls,
                backlog=512,
                reuse_address=True,
            )
            await self._site.start()

    async def vanish(self) -> None:
        """Refuse new connections and reset those that are open."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                break_off(connection.transport)

    async def stop(self) -> None:
        await self._runner.cleanup()
        self._kept.close()
