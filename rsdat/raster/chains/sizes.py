"""How much memory a block of a chain takes, and how its result is best cut into tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from rsdat.raster.chains.composites import Composite, Mosaic
from rsdat.raster.chains.pixels import AHEAD
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.steps import Apply, Clip, reach
from rsdat.raster.handles import KEPT_LOCAL, KEPT_REMOTE
from rsdat.raster.kernels import bytes_per_pixel as state
from rsdat.raster.kernels import on_disk, stacks
from rsdat.storage import is_remote

if TYPE_CHECKING:
    from rsdat.raster.files import Header

#: Memory that one tile is given where nothing else is asked for, and where it cuts the blocks of
#: its sources: larger ones decode less twice.
MEMORY = 150_000_000
_MEMORY_CUT = 360_000_000

#: Where the pixels of a tile lie in a file with another CRS, a map for each of its resolutions,
#: some of the last tile still among them; and what finding them takes.
_MAPS = 28

#: Smallest and largest edge of a default tile, in pixels.
EDGES = (512, 2048)

# What the interpreter and the libraries take, as measured, with GDAL's cache of 64 MB; and what
# tiles are left with, however little is named.
_LIBRARIES = 180_000_000
_LEAST_TILES = 100_000_000

#: Where tiles are whole source blocks, larger ones only take memory; where they cut blocks, smaller
#: ones decode most of them several times.
USUAL = 1024


@dataclass(frozen=True)
class Takes:
    """What a tile of a chain takes at the peak, within what numpy and the decoder add."""

    memory: int
    """Bytes for each pixel."""
    strip: int = 0
    """Bytes of memory besides, however large it is."""
    disk: int = 0
    """Bytes on a disk for each pixel."""


def bytes_per_pixel(plan: Plan, dtype: str) -> int:
    """Bytes that one pixel of the result takes while its tile is computed, all in memory.

    ``dtype`` is that of the bands in the files.
    """
    return takes(plan, dtype, scratch=False).memory


def takes(plan: Plan, dtype: str, *, scratch: bool) -> Takes:
    """What a tile takes; with ``scratch``, where composites keep their dates on a disk."""
    bands = len(plan.axes[0].bands)
    layer = bands * (np.dtype(dtype).itemsize + 1) + len(plan.reader.masks) * 2
    held = layer * (AHEAD if far(plan) else 2)
    strip = disk = 0
    if any(grid.crs != plan.geobox.crs for grid in plan.grids):
        held += _MAPS
    for place, (step, axis) in enumerate(zip(plan.steps, plan.axes, strict=False)):
        if isinstance(step, Composite):
            dates, kind = dates_of(step, plan), _layer_type(plan, place, dtype)
            if scratch and stacks(step.method):
                kept = on_disk(step.method, dates, len(axis.bands), kind)
                held, strip, disk = held + kept.memory, strip + kept.strip, disk + kept.disk
            else:
                held += state(step.method, dates, len(axis.bands), kind)
        elif isinstance(step, Apply):
            held += 3 * 4 * len(axis.bands)
        elif isinstance(step, Mosaic):
            held += 2 * layer
    held = math.ceil(held * (1 + 2 * reach(plan.steps) / USUAL) ** 2)  # as of a usual tile
    times = 1 if plan.axis.times is None else len(plan.axis.times)
    out = np.dtype(plan.encoding.dtype).itemsize
    return Takes(held + times * len(plan.axis.bands) * out, strip, disk)


def dates_of(step: Composite, plan: Plan) -> int:
    """About how many dates of a group lie over one another."""
    return min(max(len(group) for group in step.groups), _depth(plan))


def _layer_type(plan: Plan, place: int, dtype: str) -> str:
    """The numbers that a step is handed: as stored while only order matters, else physical."""
    if not all(isinstance(step, Clip | Mosaic) for step in plan.steps[:place]):
        return "float32"
    bands = zip(*plan.reader.stack.sources, strict=True)
    meanings = ({(one.scale, one.offset) for one in band} for band in bands)
    return "float32" if any(len(found) > 1 for found in meanings) else dtype


def far(plan: Plan) -> bool:
    """Whether the sources are read over a network."""
    return is_remote(plan.reader.stack.sources[0][0].href)


def program(plan: Plan) -> int:
    """Bytes that the process takes beside its tiles, at the most."""
    afar = any(is_remote(one.href) for one in plan.reader.stack.sources[0])
    return _LIBRARIES + (KEPT_REMOTE if afar else KEPT_LOCAL)


def memory_of_tiles(plan: Plan, memory: int) -> int:
    """What is left for tiles of the memory of a process; where that is little, some more."""
    return max(memory - program(plan), min(memory, _LEAST_TILES))


def _depth(plan: Plan) -> int:
    """The most items that lie over one another, looked at on a coarse grid of the result."""
    bounds = plan.reader.stack.bounds
    box = plan.geobox.boundingbox
    xs = np.linspace(box.left, box.right, 34)[1:-1, None]
    ys = np.linspace(box.bottom, box.top, 34)[1:-1, None]
    left, bottom, right, top = bounds.T
    across = (left < xs) & (right > xs)
    along = (bottom < ys) & (top > ys)
    # counts[y, x] = how many items hold both.
    counts = along.astype("float32") @ across.T.astype("float32")
    return max(1, int(counts.max(initial=1)))


def blocks_of(plan: Plan, head: Header) -> tuple[int, int] | None:
    """What a tile's rows and columns should be multiples of, to decode each source block once.

    None where no tiles can do that: other CRS, or blocks that begin elsewhere.
    """
    if 2 * cut(plan, head) > 1:
        return None
    return math.lcm(head.blocks[0], EDGES[0]), math.lcm(head.blocks[1], EDGES[0])


def cut(plan: Plan, head: Header) -> float:
    """The share of the sources' grids whose blocks the tiles cut, whatever their size."""
    if max(head.blocks) > EDGES[1]:  # strips, or one block for all
        return 1.0
    wanted = [plan.grids[place] for place in np.unique(plan.places)]
    aligned = [grid for grid in wanted if _begins_with_a_block(grid, plan.geobox, head.blocks)]
    return 1 - len(aligned) / len(wanted)


def _begins_with_a_block(grid: GeoBox, output: GeoBox, blocks: tuple[int, int]) -> bool:
    if grid.crs != output.crs:
        return False
    steps = ~grid.transform * output.transform
    if steps.a < 0 or steps.e < 0:
        return False
    # Coarser bands are laid out like the finest, most often: their blocks are larger on the ground.
    return all(
        abs(shift / scale - round(shift / scale)) < 1e-3 and round(shift / scale) % block == 0
        for shift, scale, block in zip((steps.f, steps.c), (steps.e, steps.a), blocks, strict=True)
    )


def tile_edge(
    per_pixel: int,
    blocks: tuple[int, int] | None,
    memory: float | None = None,
    *,
    again: bool = False,
) -> int:
    """Edge of a square tile, in pixels.

    Where ``blocks`` are known, the fewest of them that make 1024 pixels. Where tiles cut the
    blocks of some sources (``again``) or of most (``blocks`` is None), as large as a wider budget
    allows: what is cut is decoded for the neighbour as well, and tiles as large as two by two
    blocks touch nine.
    """
    again = again or blocks is None
    longest = math.sqrt((memory or (_MEMORY_CUT if again else MEMORY)) / max(per_pixel, 1))
    step = EDGES[0] if blocks is None else max(blocks)
    best = max(step, EDGES[1] // step * step) if again else -(-USUAL // step) * step
    for unit in (step, EDGES[0], 256, 128, 64):
        if longest >= unit:
            return int(min(longest, best) // unit * unit)
    return 64
