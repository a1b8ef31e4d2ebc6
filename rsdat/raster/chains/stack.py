"""The sources of a chain, item by item, and which of them a block can meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import DataError
from rsdat.raster.files import Header, header
from rsdat.raster.grids import extent_in
from rsdat.raster.image import Skipped
from rsdat.raster.inputs import grids_of, item_time
from rsdat.raster.sources import Source, source
from rsdat.raster.waiting import side_by_side

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Stack:
    """Items in order of time, the sources of their bands, and where each lies."""

    bands: tuple[str, ...]
    sources: tuple[tuple[Source, ...], ...]
    """For each item, one source a band."""
    times: NDArray[np.datetime64]
    """(item,) UTC, nanoseconds."""
    bounds: Array
    """(item, 4) float64: left, bottom, right, top in the CRS of the output; a little generous."""

    def __len__(self) -> int:
        return len(self.sources)

    def meeting(self, geobox: GeoBox) -> list[int]:
        """The items that can have pixels in a block, in order of time."""
        box = geobox.boundingbox
        left, bottom, right, top = self.bounds.T
        meets = (left < box.right) & (right > box.left)
        if geobox.crs is not None and geobox.crs.geographic:  # 181 degrees east lie at -179
            for turn in (-360, 360):
                meets |= (left + turn < box.right) & (right + turn > box.left)
        meets &= (bottom < box.top) & (top > box.bottom)
        found: list[int] = np.flatnonzero(meets).tolist()
        return found


def usable(
    items: Sequence[pystac.Item], bands: Sequence[str], *, skip: bool
) -> tuple[list[pystac.Item], list[tuple[Source, ...]], list[Skipped]]:
    """Items with the sources of their bands; with ``skip``, without those that lack one.

    Raises
    ------
    DataError
        An item lacks a band (or, with ``skip``, every item).
    """
    kept: list[pystac.Item] = []
    sources: list[tuple[Source, ...]] = []
    skipped: list[Skipped] = []
    for item in items:
        try:
            row = tuple(source(item, band) for band in bands)
        except DataError as error:
            if not skip or (len(skipped) + 1 == len(items)):
                raise
            asset = error.asset or ",".join(bands)
            skipped.append(Skipped(item.id, asset, error.message))
            continue
        kept.append(item)
        sources.append(row)
    return kept, sources, skipped


def first_headers(
    sources: Sequence[tuple[Source, ...]], *, skip: bool
) -> tuple[tuple[Header, ...], list[int]]:
    """Headers of the first item whose files open, and with ``skip`` the items before it."""
    broken: list[int] = []
    for index, row in enumerate(sources):
        try:
            return tuple(side_by_side(header, row)), broken
        except DataError:
            if not skip or index + 1 == len(sources):
                raise
            broken.append(index)
    raise DataError("there are no items to read", hint="search with a wider bbox or datetime")


def grids(
    sources: Sequence[tuple[Source, ...]], heads: tuple[Header, ...], first: int, *, skip: bool
) -> list[list[GeoBox]]:
    """For each band, the grid of each item's source."""
    result = []
    for band, head in enumerate(heads):
        column = [row[band] for row in sources]
        # The item whose header is known goes first; the rest is believed or asked.
        order = [column[first], *column[:first], *column[first + 1 :]]
        found = grids_of(order, head, skip=skip)
        result.append([*found[1 : first + 1], found[0], *found[first + 1 :]])
    return result


def distinct(
    by_band: Sequence[Sequence[GeoBox]],
) -> tuple[tuple[GeoBox, ...], NDArray[np.int32]]:
    """The different grids, and which of them is whose, (band, item)."""
    seen: dict[GeoBox, int] = {}
    # Comparing grids is slow, and most are the same object.
    objects: dict[int, int] = {}
    places = np.empty((len(by_band), len(by_band[0])), "int32")
    for band, column in enumerate(by_band):
        for item, grid in enumerate(column):
            place = objects.get(id(grid))
            if place is None:
                place = objects[id(grid)] = seen.setdefault(grid, len(seen))
            places[band, item] = place
    return tuple(seen), places


def bounds_in(
    grids: Sequence[GeoBox], places: NDArray[np.int32], geobox: GeoBox
) -> NDArray[np.float64]:
    """(item, 4) bounds of the items in the CRS of a grid: around all their bands."""
    boxes = np.array([_bounds(grid, geobox.crs) for grid in grids], dtype="float64")[places]
    low, high = boxes[..., :2].min(axis=0), boxes[..., 2:].max(axis=0)
    # What a kernel of resampling reaches, and the bend of edges between the points looked at.
    reach = 4 * max(abs(geobox.resolution.x), abs(geobox.resolution.y))
    return np.concatenate([low - reach, high + reach], axis=1)


def _bounds(grid: GeoBox, crs: Any) -> tuple[float, float, float, float]:
    box = extent_in(grid, crs, pad=0 if grid.crs == crs else 4)
    return box.left, box.bottom, box.right, box.top


def times_of(items: Sequence[pystac.Item]) -> NDArray[np.datetime64]:
    """When the items were taken (UTC)."""
    return np.array([item_time(item) for item in items], dtype="datetime64[ns]")
