"""What every origin of the door does with a request: log, latency, faults, bodies."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from urllib.parse import unquote

from aiohttp import web

from .contents import Content
from .faults import Request
from .state import State
from .tree import Refused

CHUNK = 1 << 18
RECORD = web.RequestKey("record", Request)
CONTINUED = web.RequestKey("continued", bool)
SLOW_CHUNK = 1 << 16


class Origin:
    """One server (host and port) of the door; subclasses say how requests are answered."""

    name = ""

    def __init__(self, state: State) -> None:
        self.state = state

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        # The answer to `Expect: 100-continue` depends on the request, so handlers give it.
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve, expect_handler=_say_nothing)
        app.on_response_prepare.append(_note_status)
        return app

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        raise NotImplementedError

    def refuse(self, refused: Refused) -> web.Response:
        return web.Response(status=refused.status, text=refused.detail)

    def subject(self, request: web.Request) -> str:
        """The path in the namespace that a request is about."""
        return unquote(request.raw_path.partition("?")[0])

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = self.subject(request)
        record = Request(
            self.name,
            request.method,
            path,
            "Authorization" in request.headers,
            request.raw_path.partition("?")[2],
            {key.lower(): "…" if key.lower() == "authorization" else value
             for key, value in request.headers.items()},
            remote=request.remote or "",
        )  # fmt: skip
        request[RECORD] = record
        if self.state.options.log:
            self.state.log.append(record)
        with self.state.counted():
            await asyncio.sleep(self.state.options.latency)
            try:
                response = await self._disturbed(request, path)
            except Refused as refused:
                response = self._refusal(refused)
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            record.sent += len(response.body)
        if "Expect" in request.headers and not request.get(CONTINUED):
            # The client may or may not send the body now: the connection cannot be used again.
            response.force_close()
        return response

    def _refusal(self, refused: Refused) -> web.Response:
        response = self.refuse(refused)
        if refused.status == 401:
            response.headers.add("WWW-Authenticate", 'Basic realm="dCache"')
            response.headers.add("WWW-Authenticate", "Bearer")
        return response

    async def _disturbed(self, request: web.Request, path: str) -> web.StreamResponse:
        take = self.state.faults.take
        verb = request.method
        if fault := take("delay", self.name, verb, path):
            await asyncio.sleep(fault.value or 0)
        if fault := take("meet", self.name, verb, path):
            fault.met += 1
            while fault.met < (fault.value or 0):
                await asyncio.sleep(0.01)
        if take("expired", self.name, verb, path):
            raise Refused(401, "Token has expired")
        if fault := take("status", self.name, verb, path):
            raise Refused(int(fault.value or 500), "Disturbed on purpose")
        if take("reset", self.name, verb, path):
            reset(request)
            return web.Response(status=500)
        return await self.answer(request, path)

    async def send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        content: Content,
        start: int,
        end: int,
    ) -> bool:
        """Send bytes of a content as part of a prepared response; False if it was cut off."""
        record: Request = request[RECORD]
        path = record.path
        take = self.state.faults.take
        args = (self.name, request.method, path)
        cut = take("truncate", *args)
        broken = take("reset", *args, body=True)
        hold = take("hold", *args)
        slow = take("slow", *args)
        corrupt = take("corrupt", *args)
        limit = end
        for fault in (cut, broken, hold):
            if fault is not None:
                limit = min(limit, start + int(fault.value or 0))
        while start < limit:
            data = content.read(start, min(limit - start, SLOW_CHUNK if slow else CHUNK))
            if corrupt is not None:
                data = _flipped(data, int(corrupt.value or 0) - start)
            if slow is not None:
                await asyncio.sleep(slow.value or 0)
            # Noted first: whoever has all of an answer finds all of it in the log.
            record.sent += len(data)
            await response.write(data)
            start += len(data)
        if hold is not None:
            await _ended(request)
        elif broken is not None:
            reset(request)
        elif cut is not None and request.transport is not None:
            request.transport.close()
        return hold is broken is cut is None

    async def receive(self, request: web.Request, path: str) -> Content:
        """Take an upload; nothing remains of one that breaks off, is too large or is not equal."""
        state = self.state
        record: Request = request[RECORD]
        args = (self.name, request.method, path)
        cut = state.faults.take("truncate", *args) or state.faults.take("reset", *args, body=True)
        hold = state.faults.take("hold", *args)
        slow = state.faults.take("slow", *args)
        corrupt = state.faults.take("corrupt", *args)
        await proceed(request)
        writer = state.writer()
        try:
            async for chunk in request.content.iter_any():
                record.received += len(chunk)
                if cut is not None and record.received >= (cut.value or 0):
                    reset(request)
                    raise ConnectionResetError("disturbed on purpose")
                if hold is not None and record.received >= (hold.value or 0):
                    await _ended(request)
                    raise ConnectionResetError("held until the connection ended")
                if slow is not None:
                    await asyncio.sleep(slow.value or 0)
                if state.options.quota is not None:
                    state.check_quota(path, record.received)
                if corrupt is not None:
                    chunk, corrupt = _flipped(chunk, 0), None
                writer.append(chunk)
            content = writer.finish()
            _compare(request, content)
        except BaseException:
            writer.abandon()
            raise
        return content


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    """Before the first byte goes out: whoever has an answer finds its status in the log."""
    request[RECORD].status = response.status


def _flipped(data: bytes, place: int) -> bytes:
    """Bytes with one of them inverted, if it is among them."""
    if not 0 <= place < len(data):
        return data
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


async def _ended(request: web.Request) -> None:
    """Wait until the other side is gone."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.01)


async def _say_nothing(request: web.Request) -> None:
    return None


async def proceed(request: web.Request) -> None:
    """Ask for the body, from a client that waits to be asked."""
    if request.headers.get("Expect", "").lower() == "100-continue" and not request.get(CONTINUED):
        request[CONTINUED] = True
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def reset(request: web.Request) -> None:
    """Break the connection off with a TCP reset."""
    if request.transport is not None:
        break_off(request.transport)


def break_off(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def digests(request: web.Request, adler32: str, md5: str) -> dict[str, str]:
    """The checksum headers that a request wants."""
    found: dict[str, str] = {}
    md5_base64 = base64.b64encode(bytes.fromhex(md5)).decode()
    for word in request.headers.get("Want-Digest", "").lower().split(","):
        name = word.partition(";")[0].strip()
        if name == "adler32" and adler32:
            found.setdefault("Digest", f"adler32={adler32}")
        elif name == "md5" and md5:
            found.setdefault("Digest", f"md5={md5_base64}")
    for word in request.headers.get("Want-Repr-Digest", "").lower().split(","):
        name = word.partition("=")[0].strip()
        if name == "adler" and adler32:
            adler = base64.b64encode(bytes.fromhex(adler32)).decode()
            found.setdefault("Repr-Digest", f"adler=:{adler}:")
        elif name == "md5" and md5:
            found.setdefault("Repr-Digest", f"md5=:{md5_base64}:")
    return found


def _compare(request: web.Request, content: Content) -> None:
    """Refuse an upload whose bytes are not those that its headers promise."""
    expected = request.headers.get("Content-MD5")
    if expected and content.md5 and expected != content.md5_base64:
        raise Refused(400, "Checksum mismatch: Content-MD5")
    for word in request.headers.get("Digest", "").split(","):
        name, _, value = word.strip().partition("=")
        actual = {"adler32": content.adler32, "md5": content.md5_base64}.get(name.lower())
        if actual and value.lower() != actual.lower():
            raise Refused(400, f"Checksum mismatch: {name}")
