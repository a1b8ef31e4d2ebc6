"""What a variant is given: items, the result's grid, where to write, the task's options."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pystac
from odc.geo.geobox import GeoBox

#: Stored NDVI: value / 0.0001, and this where there is none.
UNIT, NDVI_VOID = 1e-4, -32768
#: Reflectance is (number - OFFSET) / 10000.
OFFSET = 1000
#: Scene classes that are masked.
MASKED = (0, 1, 3, 8, 9, 10)
THREADS = 2
#: How every variant writes.
ENCODING = {"compress": "zstd", "zstd_level": 1, "predictor": 2}


@dataclass(frozen=True)
class Job:
    """A task's inputs, ready before the clock starts."""

    items: list[pystac.Item]
    geobox: GeoBox | None
    output: Path
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Job:
        grid = params.get("geobox")
        return cls(
            items=_items(params) if "items" in params else [],
            geobox=GeoBox(grid["shape"], _affine(grid["transform"]), grid["crs"]) if grid else None,
            output=Path(params["output"]),
            options=params.get("options", {}),
        )

    @property
    def window(self) -> GeoBox:
        """The grid of the result; a task that has none has no pixels."""
        if self.geobox is None:
            raise ValueError("this task has no grid")
        return self.geobox


def grid_params(geobox: GeoBox) -> dict[str, Any]:
    """A grid as JSON."""
    return {
        "shape": list(geobox.shape),
        "transform": list(geobox.transform)[:6],
        "crs": f"EPSG:{geobox.crs.epsg}",
    }


def _affine(numbers: list[float]) -> Any:
    from affine import Affine

    return Affine(*numbers)


def _items(params: dict[str, Any]) -> list[pystac.Item]:
    listed = json.loads(Path(params["items"]).read_text())["items"][: params["count"]]
    items = [pystac.Item.from_dict(one) for one in listed]
    if server := params.get("server"):
        root = str(Path(params["items"]).parents[1])
        for item in items:
            for asset in item.assets.values():
                asset.href = server + asset.href.removeprefix(root)
    return items
