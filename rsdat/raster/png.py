"""PNG files: pixels in colours, and what a picture says of itself."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: What is read of a file to find its texts: they come before its pixels.
_HEAD = 64 * 1024


def png_bytes(rgba: NDArray[np.uint8], texts: dict[str, str] | None = None) -> bytes:
    """Pixels (y, x, 4) as a PNG file, with texts by keyword.

    W3C PNG specification: filter Up on each row, chunks iTXt for the texts.
    """
    height, width, _ = rgba.shape
    rows = rgba.reshape(height, width * 4)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, "uint8"), rows - above])

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    said = [
        chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())
        for keyword, text in (texts or {}).items()
    ]
    return (
        _SIGNATURE
        + chunk(b"IHDR", head)
        + b"".join(said)
        + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def texts_of(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts that :func:`png_bytes` has put into a file; none of what it has not written."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(_HEAD)
    except OSError:
        return {}
    found: dict[str, str] = {}
    if not content.startswith(_SIGNATURE):
        return found
    begin = len(_SIGNATURE)
    while begin + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, begin)
        body = content[begin + 8 : begin + 8 + size]
        if kind == b"iTXt":
            keyword, _, text = body.partition(b"\0\0\0\0\0")
            found[keyword.decode("latin-1")] = text.decode(errors="replace")
        begin += size + 12
    return found
