"""How a Zarr store is cut: its levels, their shards and chunks, and which a tile fills alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from rsdat.errors import ConfigError
from rsdat.raster.image import Image, Span
from rsdat.raster.tiles import cores
from rsdat.raster.writers.tiling import Budget, Tiling, better_on_disk, fitting, room_beside

#: Edge of the pixels that a reader decodes at once.
CHUNK = 512

#: Edge of a default tile, in pixels, where memory allows it.
TILE = 2048
_TILE_BYTES = 96_000_000

Pair = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """One resolution of the image: pixels in shards (a file each), shards in chunks."""

    number: int
    shape: Pair
    shard: Pair
    chunk: Pair
    by_tile: bool
    """Whether a tile of the image covers whole shards here; else it is made of the finer level."""

    @property
    def factor(self) -> int:
        """Pixels of the image along an edge of a pixel of this level."""
        return 1 << self.number

    def geobox(self, image: GeoBox) -> GeoBox:
        """The grid of this level: its first pixel begins where the image's does."""
        transform = image.transform * Affine.scale(self.factor)
        return GeoBox(self.shape, transform, image.crs)

    def spans(self) -> Iterator[Span]:
        """The shards, row by row."""
        yield from spans(self.shape, self.shard)


def spans(shape: Pair, tile: Pair) -> Iterator[Span]:
    """An image's tiles, row by row; the last of a row or column may be smaller."""
    for row in range(0, shape[0], tile[0]):
        for column in range(0, shape[1], tile[1]):
            yield (
                slice(row, min(row + tile[0], shape[0])),
                slice(column, min(column + tile[1], shape[1])),
            )


def levels(shape: Pair, shard: Pair, chunk: int, *, multiscales: bool) -> tuple[Level, ...]:
    """The levels of an image: each half of the one before, until one chunk holds it all.

    A tile of the image is a shard of level 0. At level k it has ``shard / 2**k`` pixels; while that
    is a whole number of chunks, it is a shard there, too, and workers need no word with each other.
    Coarser levels keep the shard of the last of these.
    """
    result = [Level(0, shape, shard, (chunk, chunk), True)]
    while multiscales and max(result[-1].shape) > chunk:
        last = result[-1]
        half = (-(-last.shape[0] // 2), -(-last.shape[1] // 2))
        fits = last.by_tile and all(edge % (2 * chunk) == 0 for edge in last.shard)
        smaller = (last.shard[0] // 2, last.shard[1] // 2) if fits else last.shard
        result.append(Level(last.number + 1, half, smaller, last.chunk, fits))
    return tuple(result)


@dataclass(frozen=True)
class Cut:
    """How an image is cut, how many of its tiles are computed at once, and whether on a disk."""

    levels: tuple[Level, ...]
    threads: int
    on_disk: bool = False


def cut(
    image: Image,
    shard: int | Pair | None,
    chunk: int,
    multiscales: bool,
    memory: int | None,
    client: Any | None,
    beside: str | None,
) -> Cut:
    """Decide shards, which are tiles, and levels.

    A shard is as asked, else the chunk, doubled while a tile stays below its share of ``memory``
    (96 MB where nothing is said) and 2048 pixels an edge; where many dates would keep it below the
    blocks of their sources, they go to a disk. ``beside`` is the output's directory.

    Raises
    ------
    ConfigError
        ``chunk`` is not positive, or the shard asked for is no whole number of chunks.
    """
    if chunk < 1:
        raise ConfigError(f"a chunk of {chunk} pixels is not possible", hint="use 512")
    threads = 1 if client is not None else cores()
    # Beside what the pixels take while they are computed, a tile's numbers are there encoded.
    stored = len(image.bands) * len(image.times or (0,)) * np.dtype(image.dtype).itemsize
    each = image.bytes_per_pixel + stored
    shape_of = partial(_shard, chunk)
    usual = shape_of(_TILE_BYTES // each)
    if shard is None and memory is None and better_on_disk(image, usual[0]):
        memory = _TILE_BYTES * threads
    if shard is not None:
        if memory is not None:
            threads = max(1, min(threads, memory // (each * chunk * chunk)))
        tiling = Tiling(threads, shard if isinstance(shard, tuple) else (shard, shard))
    elif memory is not None:
        room = room_beside(beside) if client is None else lambda size: True
        tiling = fitting(image, Budget(memory, threads, stored, room), shape_of)
    else:
        tiling = Tiling(threads, usual)
    rows, columns = tiling.shape
    if rows < 1 or columns < 1 or rows % chunk or columns % chunk:
        raise ConfigError(
            f"a shard of {rows} × {columns} pixels is no whole number of chunks of {chunk}",
            hint=f"use a multiple, such as {4 * chunk}",
        )
    height, width = image.geobox.shape
    found = levels((height, width), (rows, columns), chunk, multiscales=multiscales)
    return Cut(found, tiling.threads, tiling.on_disk)


def _shard(chunk: int, pixels: int) -> Pair:
    """The largest default shard of at most so many pixels, or one chunk."""
    edge = chunk
    # Doubled, a tile is whole shards at as many levels as possible, and source blocks, which
    # are powers of two nearly everywhere, are read once each.
    while 2 * edge <= TILE and (2 * edge) ** 2 <= pixels:
        edge *= 2
    return edge, edge
