"""The steps of a chain that look at one date at a time: index, function, clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.geometry import inside, projected
from rsdat.raster.chains.halos import memory_for
from rsdat.raster.chains.layers import Layer, floats
from rsdat.raster.encoding import fill_of, unfit
from rsdat.raster.indices import Index as Formula

Array = NDArray[Any]

#: Gives the layers of a block as the steps before have made them: those at these positions of their
#: time axis, in this order; a position without pixels in the block is left out.
Upstream = Callable[[GeoBox, Sequence[int]], Iterator[Layer]]


@dataclass(frozen=True)
class Axis:
    """What a chain has after some of its steps: bands, and times (None: they are reduced)."""

    bands: tuple[str, ...]
    times: NDArray[np.datetime64] | None


class Step(Protocol):
    """One step of a chain: a value that says what it makes, and makes it of a block."""

    def after(self, axis: Axis) -> Axis:
        """The axis that it leaves behind; refuses one that it cannot work on."""

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """Layers of a block; ``axis`` is the one before this step."""

    def words(self) -> dict[str, Any]:
        """What it does, for the description of a result."""


def needs(axis: Axis, bands: tuple[str, ...], who: str) -> None:
    """Refuse a step that wants bands which the chain does not have there."""
    missing = [band for band in bands if band not in axis.bands]
    if missing:
        raise ConfigError(
            f"{who} needs the band {missing[0]!r}; the chain has {', '.join(axis.bands)} here",
            hint=f"name it at the start: chain(items, [..., {missing[0]!r}])",
        )


@dataclass(frozen=True)
class Index:
    """An index of each date, after those of the bands before that are kept."""

    formula: Formula
    name: str
    keep: bool | tuple[str, ...] = False
    """All of them, none, or these."""

    def after(self, axis: Axis) -> Axis:
        """The index as the only band, or as the last one."""
        needs(axis, self.formula.bands, f"the index {self.name}")
        kept = axis.bands if self.keep is True else self.keep or ()
        needs(axis, kept, "keep")
        return Axis((*(b for b in kept if b != self.name), self.name), axis.times)

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """Layers with the index, computed strip by strip when they are wanted."""
        bands = self.after(axis).bands
        for layer in upstream(geobox, positions):
            yield layer.then(bands, _Indexed(self.formula, self.name, layer.bands, bands))

    def words(self) -> dict[str, Any]:
        """Its name or formula."""
        words = {"index": self.name, "formula": str(self.formula.formula)}
        kept = list(self.keep) if isinstance(self.keep, tuple) else self.keep
        return {**words, "keep": kept} if kept else words


@dataclass(frozen=True)
class _Indexed:
    formula: Formula
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __call__(self, values: Array) -> Array:
        planes = dict(zip(self.before, values, strict=True))
        made = self.formula.evaluate(planes)
        if len(self.after) == 1:
            return made[None]
        return np.stack([made if b == self.name else planes[b] for b in self.after])


@dataclass(frozen=True, eq=False)
class Apply:
    """A function of the user's on each date: (band, y, x) float32, NaN for no data, to the same."""

    function: Callable[..., Any]
    bands: tuple[str, ...]
    halo: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    """What it gives; of an integer type whole numbers that are stored as they are."""

    def after(self, axis: Axis) -> Axis:
        """The bands that it says it makes."""
        return Axis(self.bands or axis.bands, axis.times)

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """Layers of what the function gave; ``halo`` pixels around the block are seen by it."""
        with memory_for(self.halo, geobox):
            yield from self._layers(upstream, geobox, axis, positions)

    def _layers(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        bands = self.after(axis).bands
        wider = geobox.pad(self.halo) if self.halo else geobox
        for layer in upstream(wider, positions):
            given = layer.physical()
            unseen = _nothing_seen(given, self.halo)  # before: it may be written to
            result = self._call(given, geobox)
            expected = (len(bands), *given.shape[1:])
            if result.ndim == 2 and len(bands) == 1:
                result = result[None]
            if result.shape != expected:
                raise DataError(
                    f"the function {self.name} gave an array of shape {result.shape} where "
                    f"{expected} was expected, for bands {', '.join(bands)}, at {where(geobox)}",
                    hint="it takes and gives (band, y, x); name what it gives with bands_out=[…]",
                )
            self._check_numbers(result, geobox)
            if self.halo:
                result = result[:, self.halo : -self.halo, self.halo : -self.halo]
            result = np.ascontiguousarray(result)
            # A block without data is not computed. So that pixels do not depend on how the result
            # is cut, what has seen none is NaN everywhere, whatever the function makes of NaN.
            if unseen is not None:
                result = np.where(unseen, np.float32("nan"), result)
            yield floats(layer.index, bands, result)

    @property
    def name(self) -> str:
        """What the function is called."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def _call(self, given: Array, geobox: GeoBox) -> Array:
        try:
            found = self.function(given, **self.parameters)
            if np.iscomplexobj(found):
                raise TypeError("it gave complex numbers")
            if isinstance(found, np.ma.MaskedArray):
                found = np.ma.filled(found.astype("float32"), np.nan)
            return np.asarray(found, "float32")
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            hint = getattr(error, "hint", None)
        # Raised outside the handler: an exception of the user's may not be one that can be pickled.
        raise DataError(
            f"the function {self.name} raised {said}, at {where(geobox)}",
            hint=hint or "try it there: chain.evaluate(geobox) computes one block in this process",
        )

    def _check_numbers(self, result: Array, geobox: GeoBox) -> None:
        if self.dtype == "float32":
            return
        misfit = unfit(result, self.dtype, fill_of(self.dtype))
        with np.errstate(invalid="ignore"):
            broken = np.isfinite(result) & (np.rint(result) != result)
        if misfit is None and broken.any():
            misfit = f"{result[broken][0]:g}, which is not whole,"
        if misfit is not None:
            raise DataError(
                f"the function {self.name} gave the number {misfit} where {self.dtype} was "
                f"announced, at {where(geobox)}",
                hint="give NaN where there is no data, or announce another dtype",
            )

    def words(self) -> dict[str, Any]:
        """The function's name and parameters, and the type that it gives where it is whole."""
        words: dict[str, Any] = {"apply": self.name}
        if self.parameters:
            words["parameters"] = {key: repr(of)[:80] for key, of in self.parameters.items()}
        return words if self.dtype == "float32" else {**words, "dtype": self.dtype}


def _nothing_seen(values: Array, halo: int) -> Array | None:
    """(y, x) True where a window of ``halo`` pixels around has no data in any band; None: nowhere.

    ``values`` is (band, y, x) with the halo, the result without.
    """
    empty: Array = np.logical_and.reduce(np.isnan(values), axis=0)
    if not empty.any():
        return None
    for _ in range(2):
        # Each axis in turn, by windows of twice the size until they are as wide as wanted.
        empty, size = empty.T, 1
        while (step := min(size, 2 * halo + 1 - size)) > 0:
            empty, size = empty[:-step] & empty[step:], size + step
    return empty


def reach(steps: Sequence[Step]) -> int:
    """How many pixels beyond a block the functions of all steps see together."""
    return sum(step.halo for step in steps if isinstance(step, Apply))


@dataclass(frozen=True)
class Clip:
    """Only what lies in a geometry is kept: pixels whose centre is inside."""

    geometry: Geometry

    def after(self, axis: Axis) -> Axis:
        """Nothing changes but pixels."""
        return axis

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """Layers without what lies outside; none where the block does not meet the geometry."""
        outside = self._outside(geobox)
        if outside.all():
            return
        everything = not outside.any()
        for layer in upstream(geobox, positions):
            yield layer if everything else layer.hide(outside)

    def meets(self, geobox: GeoBox) -> bool:
        """Whether anything of a grid is kept."""
        return bool(projected(self.geometry, geobox).intersects(geobox.extent.geom))

    def _outside(self, geobox: GeoBox) -> Array:
        shape = projected(self.geometry, geobox)
        if not shape.intersects(geobox.extent.geom):
            return np.ones(tuple(geobox.shape), bool)
        return ~inside(shape, geobox)

    def words(self) -> dict[str, Any]:
        """The bounds of the geometry in degrees."""
        box = self.geometry.to_crs("EPSG:4326").boundingbox
        return {"clip": [round(number, 6) for number in (*box.bbox,)]}


def where(geobox: GeoBox) -> str:
    """Where a block lies, for messages."""
    box = geobox.boundingbox
    return f"x {box.left:.10g} to {box.right:.10g}, y {box.bottom:.10g} to {box.top:.10g}"
