"""What a catalog holds, collection by collection, counted while its items go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from rsdat.catalog.antimeridian import bounds
from rsdat.catalog.filters import area_of, times
from rsdat.catalog.opening import Opened
from rsdat.catalog.sources import found_in
from rsdat.catalog.walking import OnError, counted
from rsdat.errors import DataError


@dataclass
class Summary:
    """The items of one collection.

    Parameters
    ----------
    collection
        Its id; None of items that name none.
    first, last
        UTC.
    areas
        Outlines in degrees, cut at the antimeridian.
    assets
        Keys of assets and the number of items that have them.
    codes
        CRSs, as ``EPSG:32633``.
    size
        Bytes, of the assets that say so.
    """

    collection: str | None
    items: int = 0
    first: datetime | None = None
    last: datetime | None = None
    areas: list[BaseGeometry] = field(default_factory=list)
    assets: dict[str, int] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    size: int = 0

    @property
    def bbox(self) -> list[float] | None:
        """West, south, east, north in degrees; west > east across the antimeridian."""
        return bounds(shapely.union_all(self.areas)) if self.areas else None

    def add(self, item: Mapping[str, Any]) -> None:
        """Count an item, as JSON. Raises DataError where its times or geometry cannot be read."""
        start, end = times(item)
        area = area_of(item)
        self.items += 1
        if start is not None and end is not None:
            self.first = start if self.first is None else min(self.first, start)
            self.last = end if self.last is None else max(self.last, end)
        if area is not None:
            self.areas.append(area)
        for key, asset in (item.get("assets") or {}).items():
            self.assets[key] = self.assets.get(key, 0) + 1
            self._code(asset)
            size = asset.get("file:size")
            self.size += size if isinstance(size, int) else 0
        self._code(item["properties"])

    def _code(self, fields: Mapping[str, Any]) -> None:
        code = fields.get("proj:code")
        if code is None and fields.get("proj:epsg"):
            code = f"EPSG:{fields['proj:epsg']}"
        if code:
            self.codes.add(str(code))


def summarise(
    opened: Opened,
    *,
    on_error: OnError = None,
    progress: Callable[[int], object] | None = None,
) -> Sequence[Summary]:
    """What a static catalog or a file of items holds, in the order of the collections' ids.

    Parameters
    ----------
    opened
        As :func:`rsdat.open_catalog` gives it; not an API.
    on_error
        Called with the error of each file that cannot be used; without it, the first is raised.
    progress
        Told after each item how many there were.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    found: dict[str | None, Summary] = {}
    for one in counted(found_in(opened, on_error=on_error), progress):
        content = one.as_json()
        name = content.get("collection")
        try:
            found.setdefault(name, Summary(name)).add(content)
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
    return sorted(found.values(), key=lambda summary: summary.collection or "")
