"""From a chain to its plan: the grid, where each item lies on it, and how numbers are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rsdat.raster.chains.composites import Composite, Mosaic
from rsdat.raster.chains.pixels import Reader
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.stack import Stack, bounds_in, distinct, first_headers, grids
from rsdat.raster.chains.steps import Apply, Clip, Index, Step
from rsdat.raster.encoding import Encoding, fill_of
from rsdat.raster.files import Header
from rsdat.raster.grids import output_grid
from rsdat.raster.reading import fill_value

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain


def make_plan(chain: Chain) -> Plan:
    """The plan of a chain; opens the files of its first item.

    Raises
    ------
    DataError
        They cannot be read, or the bbox does not meet the items.
    """
    asked = chain.request
    heads, broken = first_headers(chain.sources, skip=asked.skip)
    by_band = grids(chain.sources, heads, len(broken), skip=asked.skip)
    different, places = distinct(by_band[: len(chain.source_bands)])
    geobox = asked.geobox or output_grid(
        different, bbox=asked.bbox, resolution=asked.resolution, crs=asked.crs
    )
    bands = (*chain.source_bands, *(mask.band for mask in chain.masks))
    stack = Stack(bands, chain.sources, chain.dates, bounds_in(different, places, geobox))
    reader = Reader(stack, chain.masks, asked.resampling, asked.skip, heads[0].dtype)
    encoding = _natural(chain, heads)
    plan = Plan(geobox, reader, chain.steps, encoding, different, places)
    return replace(plan, encoding=_for_bands(encoding, len(plan.axis.bands)))


def _natural(chain: Chain, heads: tuple[Header, ...]) -> Encoding:
    """Classes stay integers while nothing computes with them; all else is float32."""
    if (given := announced(chain.steps)) is not None:
        return Encoding(given, (1.0,), fill_of(given), whole=(True,))
    first = chain.sources[0][: len(chain.source_bands)]
    types = {head.dtype for head in heads[: len(first)]}
    kept = all(
        step.method in ("first", "most_recent") if isinstance(step, Composite) else True
        for step in chain.steps
        if not isinstance(step, Apply | Index)
    )
    computed = any(isinstance(step, Apply | Index) for step in chain.steps)
    if len(types) == 1 and kept and not computed and all(one.categorical for one in first):
        dtype = types.pop()
        return Encoding(dtype, (1.0,), fill_value(first[0], heads[0], dtype), exact=True)
    return Encoding("float32", (1.0,), float("nan"))


def announced(steps: Sequence[Step]) -> str | None:
    """The integer type that a function has announced for numbers which are still its own."""
    for step in reversed(steps):
        if isinstance(step, Apply):
            return None if step.dtype == "float32" else step.dtype
        if not (
            isinstance(step, Mosaic | Clip)
            or (isinstance(step, Composite) and step.method in ("first", "most_recent"))
        ):
            return None
    return None


def _for_bands(encoding: Encoding, count: int) -> Encoding:
    whole = encoding.whole * count
    return replace(encoding, units=(1.0,) * count, whole=whole)
