"""How much two rasters differ: pixels without data in one only, and differing numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window


@dataclass(frozen=True)
class Difference:
    """Counts over all bands; ``largest`` is in stored units."""

    pixels: int
    differing: int
    masked: int
    largest: float

    def text(self) -> str:
        if not (self.differing or self.masked):
            return "equal"
        parts = []
        if self.differing:
            parts.append(f"{_share(self.differing, self.pixels)} by ≤ {self.largest:g}")
        if self.masked:
            parts.append(f"{_share(self.masked, self.pixels)} masked in one")
        return ", ".join(parts)


def _share(count: int, total: int) -> str:
    return f"{count} px" if count < 1000 else f"{100 * count / total:.2g} %"


def compare(one: Path, other: Path) -> Difference:
    """Two images of one shape, whatever their blocks and nodata values are.

    The first one's bands; by name where both files name them, else in their order.
    """
    pixels = differing = masked = 0
    largest = 0.0
    with rasterio.open(one) as a, rasterio.open(other) as b:
        if a.shape != b.shape:
            raise ValueError(f"{one.name} is {a.shape}, {other.name} is {b.shape}")
        for band, there in _pairs(a, b):
            for row in range(0, a.height, 1024):
                window = Window(0, row, a.width, min(1024, a.height - row))
                first = a.read(band, window=window).astype("float32")
                second = b.read(there, window=window).astype("float32")
                void = _void(first, a.nodata), _void(second, b.nodata)
                step = np.where(void[0] | void[1], 0, np.abs(first - second))
                pixels += first.size
                masked += int(np.count_nonzero(void[0] != void[1]))
                differing += int(np.count_nonzero(step))
                largest = max(largest, float(step.max()))
    return Difference(pixels, differing, masked, largest)


def _pairs(one: Any, other: Any) -> list[tuple[int, int]]:
    if all(one.descriptions) and all(other.descriptions):
        if missing := [name for name in one.descriptions if name not in other.descriptions]:
            raise ValueError(f"the other has no band {missing[0]}: {', '.join(other.descriptions)}")
        return [(i, other.descriptions.index(n) + 1) for i, n in enumerate(one.descriptions, 1)]
    if one.count != other.count:
        raise ValueError(f"one has {one.count} bands, the other {other.count}")
    return [(band, band) for band in range(1, one.count + 1)]


def _void(values: np.ndarray, nodata: float | None) -> np.ndarray:
    if nodata is None:
        return np.zeros(values.shape, bool)
    return np.isnan(values) if np.isnan(nodata) else values == nodata
