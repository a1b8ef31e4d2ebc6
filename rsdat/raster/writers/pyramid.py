"""Which levels an image has, and in which passes over its tiles their blocks are made.

A first pass makes the blocks of the full resolution and of the overviews whose part of a tile is
a whole number of blocks. The pixels of the next overview, a 64th or so of the image, are handed
on and cut into tiles again, and so on, so that no pass holds more than a few tiles. An image whose
tiles do not fit the blocks (a Dask array of chunks of 300) hands on its full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rsdat.raster.image import Span
from rsdat.raster.writers.encode import BLOCK

#: Edge of a tile, in pixels: large enough for the overhead, small enough for memory.
TILE = 2048
Shape = tuple[int, int]
Edges = tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """One pass over the tiles of a level: which levels it encodes, and which it hands on."""

    first: int
    shapes: tuple[Shape, ...]
    """Of all levels of the image, the full resolution first."""
    encoded: int
    """How many levels are encoded, from ``first`` on."""
    rows: Edges
    columns: Edges
    """Where tiles begin and end, in pixels of the level ``first``."""

    @property
    def rest(self) -> int | None:
        """The level whose pixels are handed on; None where all are encoded."""
        level = self.first + self.encoded
        return level if level < len(self.shapes) else None

    def spans(self) -> list[Span]:
        """The tiles, row by row."""
        return [
            (slice(*rows), slice(*columns))
            for rows in _pairs(self.rows)
            for columns in _pairs(self.columns)
        ]

    def at(self, level: int) -> tuple[Edges, Edges]:
        """Where tiles begin and end in pixels of a coarser level."""
        factor = 2 ** (level - self.first)
        rows, columns = (
            tuple(-(-edge // factor) for edge in edges) for edges in (self.rows, self.columns)
        )
        return rows, columns


def _pairs(edges: Edges) -> list[tuple[int, int]]:
    return list(pairwise(edges))


def shapes(height: int, width: int) -> tuple[Shape, ...]:
    """Shapes of an image and its overviews, until one fits into a block."""
    found = [(height, width)]
    while max(found[-1]) > BLOCK:
        found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
    return tuple(found)


def edges(size: int, step: int) -> Edges:
    """Where tiles of one size begin and end."""
    return (*range(0, size, step), size)


def passes(height: int, width: int, rows: Edges, columns: Edges) -> tuple[Pass, ...]:
    """The passes that make all levels, the first over the given tiles."""
    levels = shapes(height, width)
    found = [Pass(0, levels, _encoded(rows, columns, len(levels)), rows, columns)]
    while (first := found[-1].rest) is not None:
        rows, columns = (edges(size, TILE) for size in levels[first])
        encoded = _encoded(rows, columns, len(levels) - first)
        found.append(Pass(first, levels, encoded, rows, columns))
    return tuple(found)


def _encoded(rows: Edges, columns: Edges, most: int) -> int:
    inner = [*rows[1:-1], *columns[1:-1]]
    count = 0
    while count < most and all(edge % (BLOCK << count) == 0 for edge in inner):
        count += 1
    return count


def tile_shape(
    shape: Shape,
    blocks: Shape,
    bytes_per_pixel: int,
    memory: int | None = None,
) -> Shape:
    """Rows and columns of the tiles an image is computed in.

    Whole blocks of its sources, so that each is read once; several tiles even of a small image,
    so that threads share it; and no more pixels than fit into ``memory`` bytes, a tile's share.
    """
    rows, columns = TILE, TILE
    while columns < min(blocks[1], shape[1]):  # strips: a block is as wide as its image
        rows, columns = max(BLOCK, rows // 2), columns * 2
    least = (_covering(blocks[0], rows), _covering(blocks[1], columns))
    while (
        -(-shape[0] // rows) * -(-shape[1] // columns) < 16
        and max(rows, columns) > BLOCK
        and (smaller := _halved((rows, columns), least)) != (rows, columns)
    ):
        rows, columns = smaller
    while memory is not None and rows * columns * bytes_per_pixel > memory:
        smaller = _halved((rows, columns), (BLOCK, BLOCK))
        if smaller == (rows, columns):
            break
        rows, columns = smaller
    return rows, columns


def _covering(block: int, most: int) -> int:
    """The smallest tile edge that holds a source's block."""
    size = BLOCK
    while size < min(block, most):
        size *= 2
    return size


def _halved(tile: Shape, least: Sequence[int]) -> Shape:
    rows, columns = tile
    if rows >= columns and rows > least[0]:
        return rows // 2, columns
    if columns > least[1]:
        return rows, columns // 2
    return (rows // 2, columns) if rows > least[0] else tile


def merged(sizes: Sequence[int], wanted: int) -> Edges:
    """Edges of tiles that are whole chunks of an array, about as large as wanted.

    No chunk is cut, so that none is computed twice. Where chunks allow it, edges fall on blocks.
    """
    step = sizes[0]
    if len(set(sizes[:-1])) <= 1 and sizes[-1] <= step:
        if wanted % step == 0:
            step = wanted
        elif step % BLOCK:
            step *= max(1, wanted // step)
        return edges(sum(sizes), step)
    found = [0]
    at = 0
    for size in sizes:
        if at > found[-1] and at + size - found[-1] > wanted:
            found.append(at)
        at += size
    return (*found, at)
