"""Spans of bytes, and what an answer says of the file that they are from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True)
class Span:
    """The bytes from ``start`` to before ``stop`` (None: the end); a negative start: the last."""

    start: int = 0
    stop: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it is the whole file."""
        return self.start == 0 and self.stop is None

    def header(self, have: int) -> dict[str, str]:
        """The ``Range`` header for what is still missing."""
        if self.start < 0:
            return {"Range": f"bytes={self.start}"}
        if self.stop is not None:
            return {"Range": f"bytes={self.start + have}-{self.stop - 1}"}
        return {"Range": f"bytes={self.start + have}-"} if self.start + have else {}


@dataclass
class Arrived:
    """What is known of a file from the answers that carried it."""

    size: int | None = None
    etag: str | None = None
    received: int = 0
    sums: Mapping[str, str] | None = None


def opaque(etag: str) -> str:
    """An entity tag without its sign of weakness, for the weak comparison (RFC 9110, 8.8.3.2).

    Apache calls the tag of a file weak until the file is a second old.
    """
    return etag.removeprefix("W/")


def total(response: aiohttp.ClientResponse) -> int | None:
    """The size of the whole file."""
    if response.status == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(size) if size.isdigit() else None
    return response.content_length


def expected_bytes(span: Span, arrived: Arrived, response: aiohttp.ClientResponse) -> int | None:
    """How many bytes of the span there are."""
    size = arrived.size
    if size is None:
        return None if response.status == 200 or span.stop is None else span.stop - span.start
    if span.start < 0:
        return min(-span.start, size)
    return max((size if span.stop is None else min(span.stop, size)) - span.start, 0)
