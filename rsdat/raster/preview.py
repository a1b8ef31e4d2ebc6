"""A small PNG of an image: an index in colours, three bands as they look, one band in grey."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsdat.raster.files import attempt
from rsdat.raster.sources import Source
from rsdat.storage import absolute, write_atomically

Array = NDArray[Any]

# Bare soil to dense vegetation; water and cloud shadow stand apart in blue and grey.
_NDVI = (
    (-1.0, (12, 44, 92)),
    (-0.2, (47, 104, 160)),
    (0.0, (196, 190, 182)),
    (0.15, (226, 205, 158)),
    (0.3, (222, 219, 126)),
    (0.5, (148, 190, 86)),
    (0.7, (58, 143, 61)),
    (0.9, (9, 88, 42)),
    (1.0, (2, 60, 32)),
)

#: Reflectance that is shown as white: above land, below cloud.
_BRIGHT = 0.3


def preview(
    path: str | os.PathLike[str], png: str | os.PathLike[str], *, max_size: int = 1024
) -> Path:
    """Write a PNG of a raster file, its longer edge at most ``max_size`` pixels.

    A band named ``ndvi`` gets colours from blue (water) over sand to green; red, green and blue
    (or nir, red, green) become a colour image, any other first band a grey one; brightness runs
    from the 2nd to the 98th percentile, the same for all bands of true colour; of reflectances it
    runs from 0 to 0.3, so that clouds do not darken the land. In false colour (nir, red and green,
    or nir and red alone) each band has its own. No data is transparent.
    """
    source = Source(item=Path(path).stem, asset="data", href=absolute(path))
    names, chosen, image, numbers = attempt(lambda: _read_small(source.href, max_size), source)
    values = image.data.astype("float32") * np.float32(numbers[0]) + np.float32(numbers[1])
    valid = ~np.ma.getmaskarray(image).any(axis=0) & np.isfinite(values).all(axis=0)
    index = names[chosen[0]] == "ndvi"
    false = len(values) == 3 and names[chosen[0]] == "nir"
    colours = ndvi_colours(values[0]) if index else _stretched(values, valid, false)
    rgba = np.dstack([colours, np.where(valid, 255, 0).astype("uint8")])
    return write_atomically(png, png_bytes(rgba))


def _read_small(href: str, max_size: int) -> tuple[list[str], list[int], Any, tuple[float, float]]:
    """Names of all bands, the bands to show, their pixels, and their scale and offset."""
    with rasterio.open(href) as opened:
        factor = max(1.0, max(opened.shape) / max_size)
        size = tuple(max(1, round(edge / factor)) for edge in opened.shape)
        names = [str(name or "").lower() for name in opened.descriptions]
        chosen = _choice(names)
        kind = Resampling.average if opened.dtypes[0].startswith("float") else Resampling.nearest
        image = opened.read(
            [index + 1 for index in chosen],
            out_shape=(len(chosen), *size),
            masked=True,
            resampling=kind,
        )
        return names, chosen, image, (opened.scales[chosen[0]], opened.offsets[chosen[0]])


def _choice(names: list[str]) -> list[int]:
    """Bands to show: true colour, else false colour, else the index, else the first."""
    for wanted in (("red", "green", "blue"), ("nir", "red", "green"), ("nir", "red", "red")):
        if all(name in names for name in wanted):
            return [names.index(name) for name in wanted]
    return [names.index("ndvi")] if "ndvi" in names else [0]


def ndvi_colours(values: Array) -> NDArray[np.uint8]:
    """NDVI (y, x) as red, green and blue (y, x, 3)."""
    stops = [stop for stop, _ in _NDVI]
    known = np.nan_to_num(values, nan=0.0)
    bands = [np.interp(known, stops, [c[i] for _, c in _NDVI]) for i in range(3)]
    return np.dstack(bands).round().astype("uint8")


def _stretched(values: Array, valid: Array, false: bool) -> NDArray[np.uint8]:
    layers = values if len(values) == 3 else np.stack([values[0]] * 3)
    if false:
        # Near infrared is several times brighter than red over plants: one stretch for all would
        # show nothing but red.
        low, high = np.array([_range(layer[valid]) for layer in layers]).T[..., None, None]
    else:
        inside = layers[:, valid]
        low, high = _range(inside)
        if len(values) == 3 and inside.size and 0 < np.median(inside) < _BRIGHT:
            low, high = 0.0, min(high, _BRIGHT)
    grey = np.clip((np.nan_to_num(layers) - low) / np.maximum(high - low, 1e-12), 0, 1)
    result: NDArray[np.uint8] = (255 * grey ** (1 / 1.4)).round().astype("uint8")
    return np.moveaxis(result, 0, -1)


def _range(values: Array) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (2, 98))
    return float(low), float(high)


def png_bytes(rgba: NDArray[np.uint8]) -> bytes:
    """An array (y, x, 4) as a PNG file (W3C PNG specification; filter Up on each row)."""
    height, width, _ = rgba.shape
    rows = rgba.reshape(height, width * 4)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, "uint8"), rows - above])

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6))
        + chunk(b"IEND", b"")
    )
