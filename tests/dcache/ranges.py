"""The Range header: parsed, and answered in one part or as multipart/byteranges."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from .contents import Content
from .tree import Refused

if TYPE_CHECKING:
    from .origin import Origin


def parse(header: str, size: int) -> list[tuple[int, int]] | None:
    """Ranges as (start, end), end excluded; None for a header that is to be ignored.

    416 if no range can be satisfied.
    """
    unit, _, text = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    ranges = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not dash or not (first or last) or not (first + last).isdigit():
            return None
        if not first:
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1 if last else size)
        if start < end:
            ranges.append((start, end))
    if not ranges:
        raise Refused(416, "The range is outside of the file")
    return ranges


async def answer(
    origin: Origin, request: web.Request, content: Content, headers: dict[str, str]
) -> web.StreamResponse:
    """Send a content, or the ranges of it that the request wants."""
    headers = {"Accept-Ranges": "bytes", **headers}
    wanted = request.headers.get("Range")
    try:
        ranges = parse(wanted, content.size) if wanted else None
    except Refused as refused:
        return web.Response(
            status=refused.status,
            text=refused.detail,
            headers={"Content-Range": f"bytes */{content.size}"},
        )
    several = origin.state.options.several_ranges
    if ranges is None or (len(ranges) > 1 and several == "whole"):
        return await _one(origin, request, content, headers, 200, (0, content.size))
    if len(ranges) == 1 or several == "first":
        start, end = ranges[0]
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
        return await _one(origin, request, content, headers, 206, ranges[0])
    return await _many(origin, request, content, headers, ranges)


async def _one(
    origin: Origin,
    request: web.Request,
    content: Content,
    headers: dict[str, str],
    status: int,
    span: tuple[int, int],
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = span[1] - span[0]
    await response.prepare(request)
    if await origin.send(request, response, content, *span):
        await response.write_eof()
    return response


async def _many(
    origin: Origin,
    request: web.Request,
    content: Content,
    headers: dict[str, str],
    ranges: list[tuple[int, int]],
) -> web.StreamResponse:
    boundary = secrets.token_hex(12)
    mime_type = headers.get("Content-Type", "application/octet-stream")
    heads = [
        (
            f"\r\n--{boundary}\r\nContent-Type: {mime_type}\r\n"
            f"Content-Range: bytes {start}-{end - 1}/{content.size}\r\n\r\n"
        ).encode()
        for start, end in ranges
    ]
    tail = f"\r\n--{boundary}--\r\n".encode()
    headers = {**headers, "Content-Type": f"multipart/byteranges; boundary={boundary}"}
    response = web.StreamResponse(status=206, headers=headers)
    response.content_length = (
        sum(map(len, heads)) + len(tail) + sum(end - start for start, end in ranges)
    )
    await response.prepare(request)
    for head, span in zip(heads, ranges, strict=True):
        await response.write(head)
        if not await origin.send(request, response, content, *span):
            return response
    await response.write(tail)
    await response.write_eof()
    return response
