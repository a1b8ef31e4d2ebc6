"""A chain as a picture: its whole extent, computed on a grid as coarse as the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import ConfigError
from rsdat.raster.chains.ends import coarse
from rsdat.raster.chains.plan import Plan
from rsdat.raster.image import Computed, Skipped, Span
from rsdat.raster.preview import Picture, picture
from rsdat.raster.skips import warn_of
from rsdat.raster.tiles import compute, cores

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain

Array = NDArray[Any]


@dataclass(frozen=True)
class _Date:
    """One date of a chain on a grid: a function of a part of it."""

    plan: Plan
    geobox: GeoBox
    position: int

    def __call__(self, span: Span) -> Computed:
        block, plan = self.geobox[span], self.plan
        stored = plan.encoding
        shape = (len(plan.axis.bands), *block.shape)
        result = np.full(shape, stored.nodata, stored.dtype)
        skipped: dict[Skipped, None] = {}
        for layer in plan.layers(len(plan.steps), block, [self.position], skipped.setdefault):
            for rows, values in layer.strips():
                stored.store(values, result[:, rows])
        return Computed(result, tuple(skipped))


def preview(chain: Chain, size: int, time: int) -> Picture:
    """A chain as a picture; see :meth:`Chain.preview`.

    Raises
    ------
    ConfigError
        There is no such date, or the size is not positive.
    """
    if size < 1:
        raise ConfigError(f"a picture of {size} pixels is not possible", hint="give 1024")
    count = 1 if chain.times is None else len(chain.times)
    if not -count <= time < count:
        raise ConfigError(
            f"there is no date {time}: the chain has {count}", hint=f"use 0 to {count - 1}"
        )
    plan, geobox = chain.plan, coarse(chain.geobox, size)
    values = np.empty((len(chain.bands), *geobox.shape), plan.encoding.dtype)
    date = _Date(plan, geobox, time % count)
    skipped = list(chain.skipped)
    for done in compute(date, _strips(geobox.shape), _kept):
        values[(slice(None), *done.span)] = done.result
        skipped += done.skipped
    warn_of(skipped, stacklevel=4)
    classes = values.dtype.kind in "iu"
    physical = values.astype("float32")
    if classes:
        physical[values == plan.encoding.nodata] = np.nan
    return picture(physical, [name.lower() for name in chain.bands], classes=classes)


def _strips(shape: tuple[int, int]) -> list[Span]:
    edges = np.linspace(0, shape[0], min(cores(), max(1, shape[0] // 128)) + 1).astype(int)
    return [
        (slice(top, bottom), slice(0, shape[1]))
        for top, bottom in zip(edges.tolist(), edges.tolist()[1:], strict=False)
    ]


def _kept(span: Span, values: Array) -> Array:
    return values
