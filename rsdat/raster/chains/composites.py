"""The steps of a chain that make few dates of many: composite and mosaic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import ConfigError
from rsdat.raster.chains.layers import PLAIN, Layer, floats
from rsdat.raster.chains.steps import Axis, Upstream
from rsdat.raster.kernels import Disk, Reducer, reducer, result_bands
from rsdat.raster.scratch import Scratch

Array = NDArray[Any]
Groups = tuple[tuple[int, ...], ...]

# Types that reducers take as they are stored; others are turned to physical numbers first.
_DIRECT = ("uint8", "int16", "uint16", "float32")


class _Mixed(Exception):
    """Two layers mean different things by their stored numbers."""


@dataclass(frozen=True, eq=False)
class Composite:
    """Dates to one image, or to one a group.

    ``groups`` holds, for each result, the positions on the axis before that go into it; ``times``
    are the results' (None: one result, without a time).
    """

    method: str
    groups: Groups
    times: NDArray[np.datetime64] | None
    by: str | None = None
    scratch: Scratch | None = None
    """Where the dates of a block are kept, if not in memory."""
    depth: int = 1
    """About how many dates lie over one another, where there is ``scratch``."""

    def after(self, axis: Axis) -> Axis:
        """The bands of the method, and the groups as times."""
        refuse_without_dates(axis, "composite")
        return Axis(result_bands(self.method, axis.bands), self.times)

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """One layer for each group wanted that has any date in the block."""
        bands = self.after(axis).bands
        for position in positions:
            members = self.groups[position]
            if self.method == "most_recent":  # the first one, looked for from the end
                members = members[::-1]
            with nullcontext() if self.scratch is None else self.scratch.lend() as files:
                disk = None if files is None else Disk(files, min(len(members), self.depth))
                values = self._image(upstream, geobox, axis, members, disk)
            if values is not None:
                yield floats(position, bands, values)

    def _image(
        self,
        upstream: Upstream,
        geobox: GeoBox,
        axis: Axis,
        members: Sequence[int],
        disk: Disk | None,
    ) -> Array | None:
        shape = tuple(geobox.shape)
        try:
            return self._reduced(upstream(geobox, members), axis, shape, disk)
        except _Mixed:
            if disk is not None:
                disk.files.again()
            layers = (_as_floats(layer) for layer in upstream(geobox, members))
            return self._reduced(layers, axis, shape, disk)

    def _reduced(
        self, layers: Iterator[Layer], axis: Axis, shape: tuple[int, int], disk: Disk | None
    ) -> Array | None:
        made: Reducer | None = None
        meaning: tuple[Any, ...] | None = None
        assert axis.times is not None
        for layer in layers:
            given = layer.computed()
            if given.values.dtype.name not in _DIRECT:
                given = _as_floats(given)
            if made is None:
                meaning, made = _meaning(given), self._reducer(given.bands, shape, given, disk)
            elif _meaning(given) != meaning:
                raise _Mixed
            made.add(given.values, given.missing, _day(axis.times[given.index]))
            if made.complete:
                break
            del layer, given  # no block of the last date beside the result
        if made is None and self.method == "count":  # nothing seen is a number, too
            made = self._reducer(axis.bands, shape, None, disk)
        return None if made is None else made.result()

    def _reducer(
        self,
        bands: tuple[str, ...],
        shape: tuple[int, int],
        layer: Layer | None,
        disk: Disk | None,
    ) -> Reducer:
        numbers = layer.numbers if layer else (PLAIN,) * len(bands)
        return reducer(
            "first" if self.method == "most_recent" else self.method,
            bands=bands,
            shape=shape,
            dtype=layer.values.dtype.name if layer else "float32",
            scales=tuple(scale for scale, _ in numbers),
            offsets=tuple(offset for _, offset in numbers),
            disk=disk,
        )

    def words(self) -> dict[str, Any]:
        """The method and the period."""
        return {"composite": self.method, **({"by": self.by} if self.by else {})}


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Items of one period, most often neighbours of one pass, as one image: the first valid."""

    groups: Groups
    times: NDArray[np.datetime64]
    by: str

    def after(self, axis: Axis) -> Axis:
        """The same bands, and the groups as times."""
        refuse_without_dates(axis, "mosaic")
        return Axis(axis.bands, self.times)

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """One layer for each group wanted that has any item in the block."""
        owner = {member: position for position in positions for member in self.groups[position]}
        # One request for all, so that what is remote is read ahead over the groups.
        layers = upstream(geobox, list(owner))
        for position, members in groupby(layers, key=lambda layer: owner[layer.index]):
            yield replace(_first_valid(members), index=position)

    def words(self) -> dict[str, Any]:
        """The period."""
        return {"mosaic": self.by}


def refuse_without_dates(axis: Axis, name: str) -> None:
    """Refuse to reduce what has no time axis any more."""
    if axis.times is None:
        raise ConfigError(
            f"there are no dates left for {name}: a composite before it has made one image",
            hint="composite last, or by a period (by='month') and then again",
        )


def _first_valid(layers: Iterable[Layer]) -> Layer:
    listed = iter(layers)
    result = next(listed)
    for layer in listed:
        result = _filled(result.computed(), layer.computed())
    return result


def _filled(upper: Layer, lower: Layer) -> Layer:
    if _meaning(upper) != _meaning(lower):
        upper, lower = _as_floats(upper), _as_floats(lower)
    hidden = _unknown(upper)
    if hidden is None:
        return upper
    unknown = _unknown(lower)
    missing = None if unknown is None else hidden & unknown
    return replace(upper, values=np.where(hidden, lower.values, upper.values), missing=missing)


def _unknown(layer: Layer) -> Array | None:
    if layer.values.dtype.kind != "f":
        return layer.missing
    unknown: Array = np.isnan(layer.values)
    return unknown if layer.missing is None else unknown | layer.missing


def _as_floats(layer: Layer) -> Layer:
    return floats(layer.index, layer.bands, layer.physical())


def _meaning(layer: Layer) -> tuple[Any, ...]:
    return layer.values.dtype, layer.numbers


def _day(time: np.datetime64) -> float:
    return float(time.astype("datetime64[ns]").astype("int64") // 86_400_000_000_000)
