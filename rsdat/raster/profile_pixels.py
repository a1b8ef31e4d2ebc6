"""What a profile takes of one block of a chain: statistics of places, date by date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.raster.chains.geometry import inside
from rsdat.raster.chains.layers import Layer
from rsdat.raster.chains.plan import Plan
from rsdat.raster.image import Computed, Skipped, Span
from rsdat.raster.profile_places import Target, Window

Array = NDArray[Any]

#: A line of what a block hands on: statistics of one band of one date at one place. With the date
#: -1: how many pixels of the place the block has.
ROW = np.dtype(
    [
        ("place", "i4"),
        ("time", "i4"),
        ("band", "i4"),
        ("count", "i8"),
        ("mean", "f8"),
        ("squares", "f8"),
        ("min", "f4"),
        ("max", "f4"),
        ("median", "f4"),
    ]
)

#: Parts of places in one block: the place and its window.
Parts = tuple[tuple[int, Window], ...]


def blocks(targets: Mapping[int, Target], cell: int, tile: int, whole: int) -> dict[Window, Parts]:
    """The blocks to compute, and the parts of places that each holds.

    Near places are computed together, so that a file's block is decoded once for all of them.

    Parameters
    ----------
    targets
        Places by their number.
    cell
        Edge, in pixels, of the squares of the grid at which small places are cut, and which are
        computed together.
    tile
        The same for places larger than these squares.
    whole
        Edge up to which a place is not cut.
    """
    groups: dict[tuple[int, ...], list[tuple[int, Window]]] = {}
    for place, target in targets.items():
        top, bottom, left, right = target.window
        small = max(target.size) <= cell
        if max(target.size) > whole:
            edge = cell if small else tile
            for row, column, window in _cut(target.window, edge):
                groups.setdefault((edge, row, column), []).append((place, window))
        elif small:
            key = (0, (top + bottom) // 2 // cell, (left + right) // 2 // cell)
            groups.setdefault(key, []).append((place, target.window))
        else:
            groups[(place,)] = [(place, target.window)]
    found: dict[Window, Parts] = {}
    for parts in groups.values():
        around = _around(window for _, window in parts)
        found[around] = (*found.get(around, ()), *parts)
    # Row by row, so that blocks of files that two of them need are still in the cache.
    return dict(sorted(found.items()))


def _cut(window: Window, tile: int) -> Iterator[tuple[int, int, Window]]:
    """The tiles of the grid that a window meets, each with its part of the window."""
    top, bottom, left, right = window
    for row in range(top // tile, -(-bottom // tile)):
        for column in range(left // tile, -(-right // tile)):
            yield (
                row,
                column,
                (
                    max(top, row * tile),
                    min(bottom, (row + 1) * tile),
                    max(left, column * tile),
                    min(right, (column + 1) * tile),
                ),
            )


def _around(windows: Iterable[Window]) -> Window:
    tops, bottoms, lefts, rights = zip(*windows, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)


@dataclass(frozen=True, eq=False)
class Sampler:
    """The function of a block that a profile is made of; goes to each worker once."""

    plan: Plan
    shapes: Mapping[int, Any]
    """For each place its polygon (shapely) in the CRS of the grid; None: all of its window."""
    blocks: Mapping[Window, Parts]
    wanted: frozenset[str]

    def __call__(self, span: Span) -> Computed:
        """The statistics of all parts of one block, as an array of :data:`ROW`."""
        rows, columns = span
        window = (rows.start, rows.stop, columns.start, columns.stop)
        geobox = self.plan.geobox[rows, columns]
        pixels = self._pixels(window)
        result = [_sizes(pixels)]
        skipped: dict[Skipped, None] = {}
        if pixels.places.size:
            times = self.plan.axis.times
            positions = range(1 if times is None else len(times))
            layers = self._layers(geobox, positions, skipped)
            result.extend(self._statistics(layer, pixels) for layer in layers)
        return Computed(np.concatenate(result), tuple(skipped))

    def _layers(
        self, geobox: GeoBox, positions: Sequence[int], skipped: dict[Skipped, None]
    ) -> Iterator[Layer]:
        return self.plan.layers(len(self.plan.steps), geobox, positions, skipped.setdefault)

    def _pixels(self, block: Window) -> _Pixels:
        top, _, left, right = block
        found: list[Array] = []
        places, empty = [], []
        for place, window in self.blocks[block]:
            within = _within(self.shapes[place], window, self.plan.geobox)
            rows, columns = np.nonzero(within)
            flat = (rows + (window[0] - top)) * (right - left) + columns + (window[2] - left)
            if flat.size:
                places.append(place)
                found.append(flat)
            else:
                empty.append(place)
        sizes = np.array([flat.size for flat in found], "int64")
        return _Pixels(
            np.array(places, "int32"),
            sizes,
            np.cumsum(sizes) - sizes,
            np.concatenate(found) if found else np.empty(0, "int64"),
            np.array(empty, "int32"),
        )

    def _statistics(self, layer: Layer, pixels: _Pixels) -> Array:
        planes = layer.computed().physical()
        tables = []
        for band, plane in enumerate(planes):
            values = plane.reshape(-1)[pixels.flat]
            table = _band(values, pixels, self.wanted)
            table["place"], table["time"], table["band"] = pixels.places, layer.index, band
            tables.append(table[table["count"] > 0])
        return np.concatenate(tables)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """The pixels of all parts in a block, one part after the other."""

    places: NDArray[np.int32]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    flat: Array
    """Positions in the block, row by row."""
    empty: NDArray[np.int32]
    """Places without the centre of any pixel here."""


def _within(shape: Any, window: Window, geobox: GeoBox) -> Array:
    top, bottom, left, right = window
    if shape is None:
        return np.ones((bottom - top, right - left), bool)
    return inside(shape, geobox[top:bottom, left:right])


def _sizes(pixels: _Pixels) -> Array:
    table = np.zeros(len(pixels.places) + len(pixels.empty), ROW)
    table["place"] = np.concatenate([pixels.places, pixels.empty])
    table["count"][: len(pixels.places)] = pixels.sizes
    table["time"] = -1
    return table


def _band(values: Array, pixels: _Pixels, wanted: frozenset[str]) -> Array:
    """A row for each part, of the pixels of one band and date."""
    starts = pixels.starts
    table = np.zeros(len(starts), ROW)
    valid = ~np.isnan(values)
    count = table["count"] = np.add.reduceat(valid, starts, dtype="int64")
    seen = np.maximum(count, 1)
    total = np.add.reduceat(np.where(valid, values, np.float32(0)), starts, dtype="float64")
    table["mean"] = total / seen
    if "std" in wanted:
        away = np.where(valid, values - np.repeat(table["mean"], pixels.sizes), 0.0)
        table["squares"] = np.add.reduceat(np.square(away, out=away), starts)
    if "min" in wanted:
        table["min"] = np.minimum.reduceat(np.where(valid, values, np.float32(np.inf)), starts)
    if "max" in wanted:
        table["max"] = np.maximum.reduceat(np.where(valid, values, np.float32(-np.inf)), starts)
    if "median" in wanted:
        for part, (start, size) in enumerate(zip(starts, pixels.sizes, strict=True)):
            known = values[start : start + size][valid[start : start + size]]
            table["median"][part] = np.median(known) if known.size else np.nan
    return table
