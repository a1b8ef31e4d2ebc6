"""A pool: serves and takes bytes under addresses of one use, without asking who comes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from . import ranges
from .origin import Origin, digests
from .state import State
from .tree import Entry, Refused


class Pool(Origin):
    """An origin of its own; what it may do stands in the address that the door gave out."""

    name = "pool"

    def subject(self, request: web.Request) -> str:
        transfer = self.state.transfers.get(request.query.get("dcache-http-uuid", ""))
        return transfer.path if transfer is not None else super().subject(request)

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        key = request.query.get("dcache-http-uuid", "")
        lasts = self.state.options.lasting_addresses and request.method == "GET"
        transfers = self.state.transfers
        transfer = transfers.get(key) if lasts else transfers.pop(key, None)
        if transfer is None:
            raise Refused(404, "Request is no longer valid. Please resubmit to door.")
        if request.method == "PUT" and transfer.verb == "PUT":
            return await upload(self, request, transfer.path)
        if request.method == "GET" and transfer.entry is not None:
            return await download(self, request, transfer.path, transfer.entry)
        raise Refused(405, f"{request.method} is not what this address is for")


async def download(
    origin: Origin, request: web.Request, path: str, entry: Entry
) -> web.StreamResponse:
    if entry.content is None:
        raise Refused(404, f"No such file: {path}")
    headers = file_headers(origin.state, request, path, entry)
    return await ranges.answer(origin, request, entry.content, headers)


def file_headers(state: State, request: web.Request, path: str, entry: Entry) -> dict[str, str]:
    headers = {"ETag": entry.etag, "Content-Type": entry.mime_type}
    if "Want-Digest" in request.headers or "Want-Repr-Digest" in request.headers:
        headers.update(digests(request, *state.checksums(path, entry)))
    return headers


async def upload(origin: Origin, request: web.Request, path: str) -> web.Response:
    """Take a file; the entry is there from the first byte on, and gone if the last is not taken."""
    state = origin.state
    state.check_target(path)
    if request.content_length is not None:
        state.check_quota(path, request.content_length)
    now = state.clock.now()
    entry = state.tree.add(path, Entry("REGULAR", now, now))
    entry.mime_type = request.headers.get("Content-Type", "application/octet-stream")
    try:
        entry.content = await origin.receive(request, path)
    except BaseException:
        if state.tree.find(path) is entry:
            state.tree.remove(path)
        if state.options.keeps_broken_uploads is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(state.options.keeps_broken_uploads, state.keep, path)
        raise
    entry.modified = state.clock.now()
    headers = {"ETag": entry.etag, **digests(request, *state.checksums(path, entry))}
    return web.Response(status=201, headers=headers, text=f"{entry.content.size} bytes uploaded")
