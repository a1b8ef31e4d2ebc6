"""A chain made ready: a small picklable value, and the function of a grid that it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.raster.chains.layers import Layer
from rsdat.raster.chains.pixels import Reader
from rsdat.raster.chains.stack import bounds_in
from rsdat.raster.chains.steps import Axis, Step
from rsdat.raster.encoding import Encoding
from rsdat.raster.image import Computed, Skipped, Span

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a worker needs to compute any block of a chain."""

    geobox: GeoBox
    """The grid of the whole result."""
    reader: Reader
    steps: tuple[Step, ...]
    encoding: Encoding
    grids: tuple[GeoBox, ...]
    """The distinct grids of the sources."""
    places: NDArray[np.int32]
    """(band, item): which of ``grids``."""
    flat: bool = False
    """Give the only date of a result without its axis."""

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Bands and times before the first step, after it, and so on."""
        bands = self.reader.stack.bands[: len(self.reader.stack.bands) - len(self.reader.masks)]
        axes = [Axis(bands, self.reader.stack.times)]
        for step in self.steps:
            axes.append(step.after(axes[-1]))
        return tuple(axes)

    @property
    def axis(self) -> Axis:
        """Bands and times of the result."""
        return self.axes[-1]

    def evaluate(self, geobox: GeoBox) -> Computed:
        """The chain on a grid: what all else is made of.

        Parameters
        ----------
        geobox
            Any grid; on that of the result, or a part of it, pixels are the result's.

        Returns
        -------
        (band, y, x), or (time, band, y, x) without a composite, as ``encoding`` stores numbers.
        """
        plan = self.at(geobox)
        axis = plan.axis
        count = 1 if axis.times is None else len(axis.times)
        result = np.full(
            (count, len(axis.bands), *geobox.shape), plan.encoding.nodata, plan.encoding.dtype
        )
        skipped: dict[Skipped, None] = {}
        positions = range(count)
        for layer in plan.layers(len(plan.steps), geobox, positions, skipped.setdefault):
            if plan.encoding.exact and layer.plain:
                layer.copy_to(result[layer.index], plan.encoding.nodata)
                continue
            for rows, values in layer.strips():
                plan.encoding.store(values, result[layer.index, :, rows])
        one = axis.times is None or plan.flat
        return Computed(result[0] if one else result, tuple(skipped))

    def layers(
        self,
        steps: int,
        geobox: GeoBox,
        positions: Sequence[int],
        report: Callable[[Skipped], None],
    ) -> Iterator[Layer]:
        """The layers of a block after so many steps, at these positions of their time axis."""
        if steps == 0:
            return self.reader.layers(geobox, positions, report)
        return self.steps[steps - 1].run(
            lambda block, wanted: self.layers(steps - 1, block, wanted, report),
            geobox,
            self.axes[steps - 1],
            positions,
        )

    def at(self, geobox: GeoBox) -> Plan:
        """The plan for grids of another CRS: it knows there which items are near."""
        if geobox.crs == self.geobox.crs:
            return self
        bounds = bounds_in(self.grids, self.places, geobox)
        stack = replace(self.reader.stack, bounds=bounds)
        return replace(self, geobox=geobox, reader=replace(self.reader, stack=stack))

    def pixels(self, span: Span) -> Computed:
        """The chain on one tile of the result."""
        rows, columns = span
        return self.evaluate(self.geobox[rows, columns])

    def stored_as(self, encoding: Encoding) -> Plan:
        """The plan with other stored numbers."""
        return replace(self, encoding=encoding)
