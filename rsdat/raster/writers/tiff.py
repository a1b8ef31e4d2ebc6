"""The head of a cloud optimised GeoTIFF as bytes: tags taken from GDAL, places put in by us.

Sources: TIFF 6.0; the BigTIFF design (https://www.awaresystems.be/imaging/tiff/bigtiff.html);
GDAL's COG driver, "Header ghost area" (https://gdal.org/drivers/raster/cog.html). Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What stands before and after each block: its size, and its last four bytes once more.
LEADER = TRAILER = 4
_LARGEST_CLASSIC = 2**32 - 1

_GHOST = (
    b"LAYOUT=IFDS_BEFORE_DATA\n"
    b"BLOCK_ORDER=ROW_MAJOR\n"
    b"BLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    # The blank is room for GDAL to write YES, when it changes the file later.
    b"KNOWN_INCOMPATIBLE_EDITION=NO\n "
)

_SUBFILE, _WIDTH, _HEIGHT, _OFFSETS, _COUNTS = 254, 256, 257, 324, 325
_LONG, _LONG8 = 4, 16
#: Bits, compression, photometric, samples, planes, predictor, tile size, extra samples, sample
#: format, LERC's parameters and nodata: what an overview has of its image's tags.
_OF_PIXELS = (258, 259, 262, 277, 284, 317, 322, 323, 338, 339, 50674, 42113)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}


@dataclass(frozen=True)
class Tag:
    """A field of a directory: TIFF's type, how many of it, and their bytes."""

    kind: int
    count: int
    value: bytes


Directory = dict[int, Tag]


def first_directory(file: bytes | memoryview) -> Directory:
    """The tags of a file's first image; classic TIFF or BigTIFF, little endian."""
    big = struct.unpack_from("<H", file, 2)[0] == 43
    start = struct.unpack_from("<Q", file, 8)[0] if big else struct.unpack_from("<I", file, 4)[0]
    number = struct.unpack_from("<Q" if big else "<H", file, start)[0]
    entries = start + (8 if big else 2)
    entry, inline = ("<HHQ", 8) if big else ("<HHI", 4)
    found = {}
    for index in range(number):
        at = entries + index * (20 if big else 12)
        tag, kind, count = struct.unpack_from(entry, file, at)
        size = _SIZES[kind] * count
        at += struct.calcsize(entry)
        if size > inline:
            at = struct.unpack_from("<Q" if big else "<I", file, at)[0]
        found[tag] = Tag(kind, count, bytes(file[at : at + size]))
    return found


def block_places(file: bytes | memoryview) -> list[tuple[int, int]]:
    """Where each block of a file's first image starts, and how many bytes it has."""
    tags = first_directory(file)
    starts, sizes = (_numbers(tags[tag]) for tag in (_OFFSETS, _COUNTS))
    return list(zip(starts, sizes, strict=True))


def _numbers(tag: Tag) -> list[int]:
    found: list[int] = np.frombuffer(tag.value, f"<u{_SIZES[tag.kind]}").tolist()
    return found


def overview_of(main: Directory, height: int, width: int) -> Directory:
    """The tags of an overview of an image."""
    tags = {tag: main[tag] for tag in _OF_PIXELS if tag in main}
    return {
        **tags,
        _SUBFILE: _long(1),
        _WIDTH: _long(width),
        _HEIGHT: _long(height),
    }


def _long(number: int) -> Tag:
    return Tag(_LONG, 1, struct.pack("<I", number))


def head(
    images: Sequence[Directory], sizes: Sequence[NDArray[Any]], *, big: bool | None = None
) -> tuple[bytes, int]:
    """All that stands before the blocks, and the size of the whole file.

    The blocks are to follow with leader and trailer, the last image's first; within an image in
    the order of its sizes.

    Parameters
    ----------
    images
        Tags of the image and its overviews, each half the size of the one before.
    sizes
        For each image the sizes of its blocks in bytes: bands, then rows, then columns.
    big
        Whether as BigTIFF; default where the file is larger than 4 GB.
    """
    data = sum(int(each.sum(dtype="u8")) + (LEADER + TRAILER) * each.size for each in sizes)
    if big is None:
        big = _length(images, sizes, big=False) + data > _LARGEST_CLASSIC
    length = _length(images, sizes, big=big)
    at, places = length, []
    for each in reversed(sizes):
        steps = each.ravel().astype("u8") + np.uint64(LEADER + TRAILER)
        places.append(np.uint64(at + LEADER) + np.cumsum(steps) - steps)
        at += int(steps.sum())
    out = bytearray(_start(big))
    for index, (tags, each, starts) in enumerate(zip(images, sizes, reversed(places), strict=True)):
        directory = _directory(tags, starts, each, len(out), big, last=index == len(images) - 1)
        out += directory
    return bytes(out), length + data


def _length(images: Sequence[Directory], sizes: Sequence[NDArray[Any]], *, big: bool) -> int:
    total = len(_start(big))
    for tags, each in zip(images, sizes, strict=True):
        total += len(_directory(tags, each, each, total, big, last=False))
    return total


def _start(big: bool) -> bytes:
    ghost = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_GHOST) + _GHOST
    at = (16 if big else 8) + len(ghost)
    pad = -at % 16
    first = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at + pad)
    if not big:
        first = struct.pack("<2sHI", b"II", 42, at + pad)
    return first + ghost + bytes(pad)


def _directory(
    tags: Directory,
    starts: NDArray[Any],
    sizes: NDArray[Any],
    at: int,
    big: bool,
    *,
    last: bool,
) -> bytes:
    """A directory that stands at a place in the file, followed by its values."""
    kind = "<u8" if big else "<u4"
    tags = {
        **tags,
        _OFFSETS: Tag(_LONG8 if big else _LONG, sizes.size, starts.astype(kind).tobytes()),
        _COUNTS: Tag(_LONG, sizes.size, sizes.astype("<u4").tobytes()),
    }
    inline = 8 if big else 4
    fixed = (8 + 20 * len(tags) + 8) if big else (2 + 12 * len(tags) + 4)
    entries, values = bytearray(), bytearray()
    for name, tag in sorted(tags.items()):
        entries += struct.pack("<HHQ" if big else "<HHI", name, tag.kind, tag.count)
        if len(tag.value) <= inline:
            entries += tag.value.ljust(inline, b"\0")
        else:
            place = at + fixed + len(values)
            entries += struct.pack("<Q" if big else "<I", place)
            values += tag.value + bytes(-len(tag.value) % 8)
    whole = fixed + len(values)
    following = 0 if last else at + whole + (-whole % 8)
    number = struct.pack("<Q" if big else "<H", len(tags))
    link = struct.pack("<Q" if big else "<I", following)
    return number + bytes(entries) + link + bytes(values) + bytes(-whole % 8)
