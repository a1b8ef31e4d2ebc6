"""Part files: the blocks of one tile, written where it was computed, checked when read again."""

from __future__ import annotations

import os
import struct
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_MAGIC = b"rsdpart2"
#: Magic, checksum of all that follows, number of blocks, bytes of raw pixels. The checksum is
#: CRC-32C, for which processors have an instruction.
_HEAD = struct.Struct("<8sIIQ")
_SUMMED_FROM = 12


@dataclass(frozen=True)
class Part:
    """What a part file holds: its blocks' sizes, then the pixels that are handed on."""

    name: str
    sizes: NDArray[np.uint32]
    """Of each block in bytes: levels, bands, rows, columns, in that order."""
    raw: int
    """Bytes of the pixels handed on."""
    content: tuple[bytes, ...] = ()
    """The file in pieces, until it is stored: here, or where the directory can be reached."""

    @cached_property
    def starts(self) -> NDArray[np.uint64]:
        """Where each block's leader stands in the file, and, last, where the raw pixels do."""
        # With each block come its leader and trailer.
        steps = self.sizes.astype("u8") + np.uint64(8)
        first = np.uint64(_HEAD.size + 4 * self.sizes.size)
        return np.concatenate([[first], first + np.cumsum(steps)]).astype("u8")


def pack(name: str, blocks: list[bytes], raw: bytes) -> Part:
    """A part as it will be written."""
    sizes = np.array([len(block) for block in blocks], "<u4")
    pieces = [sizes.tobytes()]
    for block in blocks:
        # As they stand in the finished file: then whole rows of blocks are copied at once.
        pieces += [struct.pack("<I", len(block)), block, block[-4:].rjust(4, b"\0")]
    pieces.append(raw)
    pieces.insert(0, struct.pack("<IQ", len(blocks), len(raw)))
    checksum = 0
    for piece in pieces:
        checksum = google_crc32c.extend(checksum, piece)
    return Part(name, sizes, len(raw), (_MAGIC, struct.pack("<I", checksum), *pieces))


def store(part: Part, directory: str | os.PathLike[str]) -> Part:
    """Write a part under its name, complete or not at all.

    It is not synced: after a crash of the machine the checksum tells.
    """
    if not part.content:
        return part
    temporary = Path(directory, f"{part.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.writelines(part.content)
        os.replace(temporary, Path(directory, part.name))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Part(part.name, part.sizes, part.raw)


def load(name: str, directory: str | os.PathLike[str]) -> Part | None:
    """A part of an earlier run; None where it is missing or damaged."""
    try:
        content = Path(directory, name).read_bytes()
    except OSError:
        return None
    if len(content) < _HEAD.size:
        return None
    magic, checksum, blocks, raw = _HEAD.unpack_from(content)
    if magic != _MAGIC or google_crc32c.value(content[_SUMMED_FROM:]) != checksum:
        return None
    return Part(name, np.frombuffer(content, "<u4", blocks, _HEAD.size).copy(), raw)


def raw_pixels(
    part: Part, directory: str | os.PathLike[str], dtype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """The pixels that a part hands on, as they lie in its file."""
    return np.memmap(
        Path(directory, part.name), dtype, mode="r", offset=int(part.starts[-1]), shape=shape
    )
