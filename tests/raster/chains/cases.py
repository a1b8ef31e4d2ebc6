"""Generated stacks of small scenes: what the parity tests of chains are given."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pystac
import rasterio
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from tests.raster.chains import reference
from tests.raster.conftest import Scenes

ORIGIN = (600_000, 5_000_000)
_names = itertools.count()


@dataclass
class Stack:
    """Items, and for each of them the files of its bands as the reference takes them."""

    items: list[pystac.Item] = field(default_factory=list)
    files: list[dict[str, reference.File]] = field(default_factory=list)

    def add(
        self,
        scenes: Scenes,
        bands: dict[str, np.ndarray],
        *,
        day: int,
        numbers: dict[str, tuple[float, float]] | None = None,
        nodata: dict[str, float | None] | None = None,
        told: str = "file",
        **options,
    ) -> pystac.Item:
        """One item. ``numbers``: scale and offset; ``told``: who names nodata, file or item."""
        name = f"item{next(_names)}"
        paths, fields, files = {}, {}, {}
        for band, pixels in bands.items():
            fill = (nodata or {}).get(band)
            scale, offset = (numbers or {}).get(band, (1.0, 0.0))
            more = {**options, **({"edge": 20} if band == "scl" else {})}
            paths[band] = scenes.write(
                f"{name}-{band}", pixels, nodata=fill if told == "file" else None, **more
            )
            entry = {} if (scale, offset) == (1, 0) else {"scale": scale, "offset": offset}
            if fill is not None and told == "item":
                entry["nodata"] = "nan" if np.isnan(fill) else fill
            fields[band] = {"raster:bands": [entry]} if entry else {}
            files[band] = reference.File(paths[band], scale, offset, fill)
        item = scenes.item(name, paths, day=day, bands=fields)
        self.items.append(item)
        self.files.append(files)
        return item

    def values(self, bands: list[str], grid: GeoBox, masked: bool = False) -> np.ndarray:
        """(time, band, y, x) by the reference."""
        layers = []
        for files in self.files:
            layer = np.stack([reference.physical(files[band], grid) for band in bands])
            if masked:
                layer[:, reference.cloudy(files["scl"], grid)] = np.nan
            layers.append(layer)
        return np.stack(layers)


def numbers_of(draw, rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """Numbers of a type: reflectances, or from all over its range with both its limits."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = rng.normal(0.2, 0.3, shape).astype(dtype)
        values[rng.random(shape) < 0.1] = np.nan
        return values
    limits = np.iinfo(dtype)
    if draw(st.booleans()):
        few = [limits.min, limits.max, 0, 1, *rng.integers(limits.min, limits.max, 6)]
        return rng.choice(np.array(few, dtype), shape)
    return rng.integers(0, min(9000, limits.max), shape).astype(dtype)


DTYPES = ("uint8", "int16", "uint16", "int32", "float32")
CALIBRATIONS = ((1.0, 0.0), (0.0001, -0.1), (0.0001, 0.0), (2.75e-5, -0.2), (-0.5, 3.0))


@st.composite
def stacks(draw, bands=("red", "nir"), dtypes=DTYPES, most=4, clouds=False, one_edge=False):
    """A function of :class:`Scenes` that makes a :class:`Stack`: offsets, overlaps, types mixed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(dtypes))
    same = draw(st.booleans())
    calibration = draw(st.sampled_from(CALIBRATIONS))
    fill = draw(st.sampled_from([None, "limit", "zero"]))
    if np.dtype(dtype).kind == "f":
        fills = {None: None, "limit": float("nan"), "zero": -9999.0}
    else:
        fills = {None: None, "limit": float(np.iinfo(dtype).max), "zero": 0.0}
    plans = []
    for day in range(1, draw(st.integers(1, most)) + 1):
        shape = draw(st.tuples(st.integers(1, 35), st.integers(1, 35)))
        step = 20 if clouds else 10
        origin = (
            ORIGIN[0] + step * draw(st.integers(-8, 8)),
            ORIGIN[1] + step * draw(st.integers(-8, 8)),
        )
        size = (2 * shape[0], 2 * shape[1]) if clouds else shape
        pixels = {band: numbers_of(draw, rng, dtype, size) for band in bands}
        numbers = dict.fromkeys(bands, calibration if same else draw(st.sampled_from(CALIBRATIONS)))
        nodata = dict.fromkeys(bands, fills[fill])
        if clouds:
            share = draw(st.sampled_from([0.0, 0.4, 1.0]))
            clear = rng.choice(np.array([2, 4, 5, 6, 7, 11], "uint8"), shape)
            cloud = rng.choice(np.array([0, 1, 3, 8, 9, 10, 12], "uint8"), shape)
            pixels["scl"] = np.where(rng.random(shape) < share, cloud, clear)
            nodata["scl"] = 0.0
        options = {
            "origin": origin,
            "block": draw(st.sampled_from([None, 16, 32])),
            "up": draw(st.booleans()),
            "edge": 10 if one_edge or clouds else draw(st.sampled_from([10, 10, 20, 60])),
        }
        told = draw(st.sampled_from(["file", "item"]))
        plans.append((pixels, day, numbers, nodata, told, options))

    def make(scenes: Scenes) -> Stack:
        made = Stack()
        for pixels, day, numbers, nodata, told, options in plans:
            made.add(scenes, pixels, day=day, numbers=numbers, nodata=nodata, told=told, **options)
        return made

    return make


@st.composite
def parts(draw):
    """A function of a grid that cuts a part out of it: a slice, a single pixel among them."""
    a, b, c, d = (draw(st.integers(0, 10_000)) / 10_000 for _ in range(4))

    def cut(grid: GeoBox) -> tuple[slice, slice]:
        result = []
        for size, one, other in zip(grid.shape, (a, c), (b, d), strict=True):
            low, high = sorted((int(one * size), int(other * size)))
            low = min(low, size - 1)
            result.append(slice(low, max(high, low + 1)))
        return result[0], result[1]

    return cut


def grid_of(path: Path) -> GeoBox:
    """The grid of a file."""
    with rasterio.open(path) as opened:
        return GeoBox.from_rio(opened)
