"""How many tiles to compute at once, how large, and where their dates are kept, by the memory.

A tile that is smaller than the blocks of its sources decodes each block again for every tile that
cuts it, which costs more than all else; keeping the dates on a disk costs a little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rsdat.raster.image import Image
from rsdat.raster.scratch import place
from rsdat.raster.writers.encode import BLOCK

Shape = tuple[int, int]

#: What a tile takes longer whose dates are written to a disk and read again, measured with 100.
_DISK = 1.25


@dataclass(frozen=True)
class Tiling:
    """How an image is computed."""

    threads: int
    shape: Shape
    """Rows and columns of a tile."""
    on_disk: bool = False
    """Whether what is kept of the dates lies on a disk."""


@dataclass(frozen=True)
class Budget:
    """The memory that tiles may take together, and what the writer itself takes of it."""

    memory: int
    threads: int
    stored: int
    """Bytes for each pixel of a tile beside those that computing it takes."""
    room: Callable[[int], bool]
    """Whether a disk has room for so many bytes."""


def room_beside(directory: str | None) -> Callable[[int], bool]:
    """Asks whether this process finds a disk with so much room, the output's at the last."""
    return lambda size: place(size, directory) is not None


def better_on_disk(image: Image, edge: int) -> bool:
    """Whether usual tiles, of this edge, cut blocks that they would not with dates on a disk.

    Not from afar, where more tiles than there are cores wait at once.
    """
    return image.on_disk is not None and not image.waits and edge < max(image.blocks)


def fitting(image: Image, budget: Budget, shape_of: Callable[[int], Shape]) -> Tiling:
    """The fastest way to compute an image within a budget.

    Time is taken to be what is decoded, over the threads, and a quarter more with dates on a disk.
    So whole blocks in memory on all threads come first, then whole blocks on a disk, then fewer
    threads, and last smaller tiles, which decode a block several times.

    Parameters
    ----------
    shape_of
        The shape of tiles of at most so many pixels, or the smallest that is possible.
    """
    best: tuple[tuple[float, ...], Tiling] | None = None
    for one, fits in _possible(image, budget, shape_of):
        again = _parts(_within(image.blocks, image), one.shape)
        busy = min(one.threads, _parts(image.geobox.shape, one.shape))
        time = again * (_DISK if one.on_disk else 1) / busy
        rank: tuple[float, ...] = (0, time, again, one.on_disk)
        if not fits:  # the least that is possible
            rank = (1, one.threads, again, not one.on_disk)
        if best is None or rank < best[0]:
            best = rank, one
    assert best is not None
    return best[1]


def _possible(
    image: Image, budget: Budget, shape_of: Callable[[int], Shape]
) -> Iterator[tuple[Tiling, bool]]:
    """Each number of threads in memory and on a disk, and whether it keeps to the budget."""
    disk = image.on_disk
    # The least that is whole blocks: more tiles for the threads of a small image; and on a disk,
    # larger ones would only take more of it, and of the system's cache before it.
    whole = math.prod(1 << (max(block, BLOCK) - 1).bit_length() for block in image.blocks)
    for threads in range(max(1, budget.threads), 0, -1):
        share = budget.memory // threads
        pixels = share // (image.bytes_per_pixel + budget.stored)
        for shape in (shape_of(pixels), shape_of(min(pixels, whole))):
            yield Tiling(threads, shape), math.prod(shape) <= pixels
        if disk is None:
            continue
        pixels = max(0, share - disk.strip) // (disk.bytes_per_pixel + budget.stored)
        shape = shape_of(min(pixels, whole))
        if budget.room(threads * math.prod(_within(shape, image)) * disk.bytes_on_disk):
            yield Tiling(threads, shape, on_disk=True), math.prod(shape) <= pixels


def _parts(whole: Shape, tile: Shape) -> int:
    """How many tiles something is cut into: a block of the sources is decoded for each."""
    return math.prod(-(-one // side) for one, side in zip(whole, tile, strict=True))


def _within(shape: Shape, image: Image) -> Shape:
    return min(shape[0], image.geobox.height), min(shape[1], image.geobox.width)
