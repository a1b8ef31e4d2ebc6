"""Pixels as the bytes of a shard: chunks, compressed one by one, and the index that finds them.

The layout is that of Zarr's ``sharding_indexed`` codec (Zarr v3, https://zarr-specs.readthedocs.io,
"Sharding codec"), index at the end. Encoding here, and not through zarr's arrays, keeps a worker's
threads apart: zarr does all its work in one event loop, and two threads were no faster than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError

COMPRESSIONS = ("zstd", "lz4", "gzip", "none")
_MISSING = np.uint64(2**64 - 1)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Encoding:
    """How the numbers of an array become bytes."""

    dtype: str
    fill: float
    compress: str = "zstd"
    level: int = 1

    def __post_init__(self) -> None:
        if self.compress not in COMPRESSIONS:
            raise ConfigError(
                f"compression {self.compress!r} is not known",
                hint=f"use one of {', '.join(COMPRESSIONS)}",
            )
        if not 0 <= self.level <= 9:
            raise ConfigError(
                f"compression level {self.level} is not possible", hint="use 1 (fast) to 9 (small)"
            )

    def codecs(self) -> list[Any]:
        """What zarr writes down of the compression in an array's metadata."""
        from zarr.codecs import BloscCodec, GzipCodec

        if self.compress == "none":
            return []
        if self.compress == "gzip":
            return [GzipCodec(level=self.level)]
        size = np.dtype(self.dtype).itemsize
        # A shuffle of bytes is to Zarr what a predictor is to TIFF: it takes about a third off.
        return [
            BloscCodec(cname=self.compress, clevel=self.level, shuffle="shuffle", typesize=size)
        ]


def encode(pixels: NDArray[Any], shard: Shape, chunk: Shape, encoding: Encoding) -> bytes | None:
    """The bytes of a shard; None where every pixel is the fill value, which needs no file.

    Parameters
    ----------
    pixels
        The part of the shard that lies in the array; the rest is filled.
    shard, chunk
        Their shapes, in as many dimensions as the pixels have.
    """
    import google_crc32c

    compressor = _compressor(encoding)
    counts = tuple(s // c for s, c in zip(shard, chunk, strict=True))
    index = np.full((*counts, 2), _MISSING, "<u8")
    parts: list[bytes] = []
    position = 0
    for place in np.ndindex(*counts):
        block = _chunk(pixels, place, chunk, encoding)
        if block is None:
            continue
        data = bytes(block) if compressor is None else bytes(compressor.encode(block))
        index[place] = position, len(data)
        parts.append(data)
        position += len(data)
    if not parts:
        return None
    table = index.tobytes()
    checksum = google_crc32c.value(table).to_bytes(4, "little")
    return b"".join([*parts, table, checksum])


def _compressor(encoding: Encoding) -> Any | None:
    from numcodecs import Blosc, GZip

    if encoding.compress == "none":
        return None
    if encoding.compress == "gzip":
        return GZip(level=encoding.level)
    return Blosc(cname=encoding.compress, clevel=encoding.level, shuffle=Blosc.SHUFFLE)


def _chunk(
    pixels: NDArray[Any], place: Shape, chunk: Shape, encoding: Encoding
) -> NDArray[Any] | None:
    """A whole chunk, filled up at the array's edge; None where it holds nothing but fill."""
    part = pixels[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))]
    if part.size == 0 or _empty(part, encoding.fill):
        return None
    dtype = np.dtype(encoding.dtype).newbyteorder("<")
    if part.shape == chunk:
        return np.ascontiguousarray(part, dtype)
    whole = np.full(chunk, encoding.fill, dtype)
    whole[tuple(slice(0, size) for size in part.shape)] = part
    return whole


def _empty(part: NDArray[Any], fill: float) -> bool:
    # The first pixel settles it for nearly all chunks that are not empty.
    first = part.flat[0]
    if fill != fill:
        return bool(first != first and np.isnan(part).all())
    # -0.0 == 0.0, but they are other bits, and what is written has to be read again bit for bit.
    if part.dtype.kind == "f" and fill == 0:
        return bool(first == 0 and not np.signbit(part).any() and (part == 0).all())
    return bool(first == fill and (part == part.dtype.type(fill)).all())
