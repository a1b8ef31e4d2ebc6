"""How much memory a block of a chain takes, and how its result is best cut into tiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rsdat.raster.chains.composites import Composite, Mosaic
from rsdat.raster.chains.pixels import AHEAD
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.steps import Apply
from rsdat.raster.kernels import bytes_per_pixel as state
from rsdat.storage import is_remote

if TYPE_CHECKING:
    from rsdat.raster.files import Header

#: Memory that one tile is given where nothing else is asked for. Larger tiles are not faster.
MEMORY = 96_000_000

#: Smallest and largest edge of a default tile, in pixels.
EDGES = (512, 2048)


def bytes_per_pixel(plan: Plan, dtype: str) -> int:
    """Bytes that one pixel of the result takes while its tile is computed, at the peak.

    ``dtype`` is that of the bands in the files. An upper bound, within what numpy's temporaries and
    the decoder add.
    """
    size = np.dtype(dtype).itemsize
    bands = len(plan.axes[0].bands)
    layer = bands * (size + 1) + len(plan.reader.masks) * 2
    held = layer * (2 * AHEAD if is_remote(plan.reader.stack.sources[0][0].href) else 2)
    for step, axis in zip(plan.steps, plan.axes, strict=False):
        if isinstance(step, Composite):
            dates = min(max(len(group) for group in step.groups), _depth(plan))
            held += state(step.method, dates, len(axis.bands), dtype if bands else "float32")
        elif isinstance(step, Apply):
            held += 3 * 4 * len(axis.bands)
        elif isinstance(step, Mosaic):
            held += 2 * layer
    times = 1 if plan.axis.times is None else len(plan.axis.times)
    out = np.dtype(plan.encoding.dtype).itemsize
    return held + times * len(plan.axis.bands) * out


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


def blocks_of(plan: Plan, head: Header) -> tuple[int, int]:
    """What a tile's rows and columns should be multiples of, to decode each source block once."""
    steps = ~head.geobox.transform * plan.geobox.transform
    same = head.geobox.crs == plan.geobox.crs and abs(abs(steps.a) - 1) < 1e-6
    if not same:
        return EDGES[0], EDGES[0]
    rows, columns = head.blocks
    if max(rows, columns) > EDGES[1]:  # strips, or one block for all
        return EDGES[0], EDGES[0]
    return math.lcm(rows, EDGES[0]), math.lcm(columns, EDGES[0])


def tile_edge(per_pixel: int, blocks: tuple[int, int], memory: float | None = None) -> int:
    """Edge of a square tile that stays within a budget: multiples of the blocks where it can."""
    budget = MEMORY if memory is None else memory
    longest = math.sqrt(budget / max(per_pixel, 1))
    block = max(blocks)
    for step in (block, EDGES[0], 256, 128, 64):
        if longest >= step:
            return int(min(longest, max(EDGES[1], step)) // step * step)
    return 64
