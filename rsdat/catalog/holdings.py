"""What a search looked through, counted while it goes: for the answer that nothing was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rsdat.catalog.order import time_of


@dataclass
class Holdings:
    """Number, time span, extent and collections of the items that were seen."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    edges: list[float] | None = None
    collections: set[str] = field(default_factory=set)

    def add(self, item: Mapping[str, Any]) -> None:
        """Count an item, as JSON."""
        self.count += 1
        time = time_of(item)
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)
        if item.get("collection"):
            self.collections.add(str(item["collection"]))
        bbox = item.get("bbox")
        if isinstance(bbox, list | tuple) and len(bbox) in (4, 6):
            half = len(bbox) // 2
            old = self.edges or [180.0, 90.0, -180.0, -90.0]
            self.edges = [
                min(old[0], bbox[0]),
                min(old[1], bbox[1]),
                max(old[2], bbox[half]),
                max(old[3], bbox[half + 1]),
            ]

    def text(self, asked: Sequence[float] | None) -> str:
        """What there is; and the likeliest slip, where it would explain that nothing met.

        Parameters
        ----------
        asked
            The bbox of the search.
        """
        text = f"it holds {self.count} items from {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"
        if self.edges:
            text += ", bbox " + ",".join(f"{edge:.4f}" for edge in self.edges)
        if self.collections:
            text += f", collections {', '.join(sorted(self.collections))}"
        if self.edges and asked is not None and len(asked) == 4:
            south, west, north, east = asked
            edges = self.edges
            within = edges[0] <= east and west <= edges[2]
            within = within and edges[1] <= north and south <= edges[3]
            if within and west <= east and south <= north:
                text += "; latitude and longitude look exchanged: a bbox is west,south,east,north"
        return text
