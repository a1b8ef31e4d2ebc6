"""Several ranges of a file by one request: the header that asks, and the parts that answer.

``multipart/byteranges`` as in RFC 9110, section 14.6. A server may leave ranges out that lie
behind the end of the file, join those that overlap, and send them in another order.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from email.message import Message
from typing import TYPE_CHECKING, Any, NamedTuple

from rsdat.storage.dcache import retrying
from rsdat.storage.dcache.retrying import ShortRead
from rsdat.storage.dcache.spans import Span

if TYPE_CHECKING:
    import aiohttp

    from rsdat.storage.dcache.reading import Reader

# Lines of a part's head; more are no head.
MOST_LINES = 32
# A whole file instead of its ranges is taken if it is at most so many times as long as these.
WHOLE = 2


class Part(NamedTuple):
    """Bytes of a file from ``start`` on; ``size`` of the whole file, where it was said."""

    start: int
    size: int | None
    data: bytes


def header(spans: Sequence[Span]) -> dict[str, str]:
    """The ``Range`` header for spans with a beginning and an end."""
    words = ", ".join(f"{span.start}-{(span.stop or 0) - 1}" for span in spans)
    return {"Range": f"bytes={words}"}


def boundary(headers: Mapping[str, str]) -> bytes | None:
    """What stands between the parts; None: the answer has no parts."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    if message.get_content_type() != "multipart/byteranges":
        return None
    found = message.get_boundary()
    return found.encode() if found else None


def place(text: str) -> tuple[int, int, int | None]:
    """Start, stop and the size of the file, from a ``Content-Range``.

    Raises
    ------
    ValueError
        It is none.
    """
    match = re.fullmatch(r"\s*bytes\s+(\d+)-(\d+)/(\d+|\*)\s*", text, re.IGNORECASE)
    if match is None or int(match[2]) < int(match[1]):
        raise ValueError(f"{text!r} is no Content-Range")
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])


async def parts(content: Any, mark: bytes, spans: Sequence[Span]) -> AsyncIterator[Part]:
    """The parts of an answer, one after the other.

    Parameters
    ----------
    content
        An aiohttp or asyncio stream.
    mark
        The :func:`boundary`.
    spans
        What was asked for: longer parts than all of it together are not taken.

    Raises
    ------
    ShortRead
        The answer ended before its last part.
    ValueError
        It is not made as it should be.
    """
    most = max(span.stop or 0 for span in spans) - min(span.start for span in spans)
    while True:
        line = await content.readline()
        if not line:
            raise ShortRead
        line = line.strip()
        if line == b"--" + mark + b"--":
            return
        if line != b"--" + mark:
            continue
        start, stop, size = place(await _content_range(content))
        if stop - start > most:
            raise ValueError("a part is longer than what was asked for")
        try:
            yield Part(start, size, await content.readexactly(stop - start))
        except asyncio.IncompleteReadError as error:
            raise ShortRead from error


async def _content_range(content: Any) -> str:
    found = ""
    for _ in range(MOST_LINES):
        line = (await content.readline()).decode("latin-1").strip()
        if not line:
            return found
        name, _, value = line.partition(":")
        if name.lower() == "content-range":
            found = value
    raise ValueError("the head of a part does not end")


def cut(span: Span, received: Iterable[Part]) -> bytes | None:
    """The bytes of a span out of the parts; None: they are not there."""
    for start, size, data in received:
        stop = span.stop or 0
        if size is not None:
            stop = min(stop, size)
            if span.start >= size:
                return b""
        if start <= span.start and stop <= start + len(data):
            exact = start == span.start and stop == start + len(data)
            return data if exact else data[span.start - start : stop - start]
    return None


async def read(reader: Reader, path: str, spans: Sequence[Span]) -> list[bytes | None]:
    """The bytes of several spans by one request that is not tried again.

    Returns
    -------
    list
        Of each span its bytes, or None where it has to be asked for alone: the connection broke
        before it, or the server does not send parts.

    Raises
    ------
    DoorError
        The door refuses to read the file.
    """
    received: list[Part] = []
    if reader.known.parts:
        try:
            async with reader.slot(), reader.opened(path, header(spans)) as response:
                if response.status == 416:
                    return [b""] * len(spans)
                if not retrying.may_pass(response.status):
                    await reader.check(path, response)
                    await _take(reader, response, spans, received)
        except ValueError:
            reader.known.parts = False
        except Exception as error:
            if not retrying.is_break(error):
                raise
    return [cut(span, received) for span in spans]


async def _take(
    reader: Reader, response: aiohttp.ClientResponse, spans: Sequence[Span], received: list[Part]
) -> None:
    length = response.content_length
    if response.status == 206 and (mark := boundary(response.headers)) is not None:
        async for part in parts(response.content, mark, spans):
            # One by one: what came before a break is not asked for again.
            received.append(part)  # noqa: PERF401
        return
    start, size = 0, length
    if response.status == 206:
        start, _, size = place(response.headers.get("Content-Range", ""))
    asked = sum((span.stop or 0) - span.start for span in spans)
    if length is None or length > WHOLE * asked:
        reader.known.parts = False
        return
    received.append(Part(start, size, await response.read()))
    # A server that takes the first range and leaves the others is not asked so again.
    reader.known.parts = all(cut(span, received) is not None for span in spans)
