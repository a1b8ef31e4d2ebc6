"""A forward without ssh: a port of this machine that leads to an address or socket it can reach."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from rsdat.host.base import SocketTarget, Target
from rsdat.host.diagnose import port_taken

_CHUNK = 256 * 1024


class Relay:
    """Copies between ``127.0.0.1:local_port`` and a target, in a thread of this process."""

    def __init__(self, local_port: int, target: Target) -> None:
        self.local_port = local_port
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._accept, "127.0.0.1", local_port)
            )
        except OSError as error:
            self._loop.close()
            raise port_taken(local_port) from error
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> None:
        """None: it is part of another process."""

    def alive(self) -> bool:
        """Whether the port listens."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop listening and end what is open. Closing twice is harmless."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            far_reader, far_writer = await self._reach()
            try:
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            # A target that is not there looks to the client like one that hangs up, as with ssh.
            pass
        finally:
            writer.close()
            self._open.discard(task)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, SocketTarget):
            return await asyncio.open_unix_connection(self._target.path)
        return await asyncio.open_connection(self._target.host, self._target.port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
