"""A made-up landscape for the sample catalog: fields through a season, river, woods, town, clouds.

Everything is a function of a seed and a date, in reflectances and Sentinel-2's scene classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

#: Bands, in the order of the spectra below.
BANDS = ("blue", "green", "red", "nir")
_SOIL = np.array([0.075, 0.105, 0.150, 0.235], "float32")
_LEAF = np.array([0.022, 0.056, 0.028, 0.475], "float32")
_WOOD = np.array([0.020, 0.036, 0.022, 0.330], "float32")
_WATER = np.array([0.042, 0.046, 0.030, 0.014], "float32")
_ROOF = np.array([0.120, 0.128, 0.145, 0.205], "float32")
_CLOUD = np.array([0.66, 0.64, 0.63, 0.66], "float32")

# Share of green cover at the days of the year 90, 130, 170, 210, 250, 290, crop by crop.
_DAYS = (90, 130, 170, 210, 250, 290)
_CROPS = np.array(
    [
        (0.50, 0.90, 0.75, 0.12, 0.06, 0.20),  # winter wheat: ripe in July, stubble after
        (0.62, 0.92, 0.45, 0.10, 0.15, 0.40),  # rapeseed
        (0.04, 0.10, 0.55, 0.95, 0.85, 0.15),  # maize
        (0.05, 0.20, 0.80, 0.97, 0.90, 0.55),  # sugar beet
        (0.05, 0.12, 0.85, 0.80, 0.25, 0.06),  # potatoes
        (0.70, 0.85, 0.80, 0.72, 0.78, 0.75),  # grass
        (0.06, 0.08, 0.10, 0.12, 0.30, 0.35),  # late vegetables, bare until autumn
    ]
)


@dataclass(frozen=True)
class Ground:
    """What does not change with the date. Arrays (y, x)."""

    crop: NDArray[np.intp]
    vigour: Image
    wetness: Image
    wood: NDArray[np.bool_]
    water: NDArray[np.bool_]
    town: NDArray[np.bool_]
    track: NDArray[np.bool_]
    grain: Image


def ground(size: int, seed: int) -> Ground:
    """The landscape of a seed, ``size`` × ``size`` pixels of 10 m."""
    rng = np.random.default_rng([seed, 1])
    y, x = np.mgrid[0:size, 0:size].astype("float32")
    wetness = fractal(size, rng, 380, 4)
    block, gap, angle, wide, long = _blocks(x, y, rng)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    strip, piece = np.floor(across / wide), np.floor(along / long)
    field = (block * 7919 + strip * 104729 + piece * 1299709).astype("int64")
    draw = _hashed(field, seed)
    crop = np.searchsorted(np.cumsum([0.24, 0.08, 0.20, 0.13, 0.11, 0.17]), draw)
    edge = np.minimum(across - strip * wide, along - piece * long)
    wood = fractal(size, rng, 150, 5) > 0.66
    meander = 0.10 * np.sin(y / size * 7 + 0.6) + 0.035 * np.sin(y / size * 19 + 2.1)
    bend = np.abs(x / size - 0.63 - meander - 0.02 * (wetness - 0.5)) * size
    town = _town(x, y, size, rng)
    return Ground(
        crop=crop,
        vigour=(0.78 + 0.3 * _hashed(field, seed + 5)).astype("float32"),
        wetness=wetness,
        wood=(wood | ((bend < 14) & (fractal(size, rng, 24, 2) > 0.5))) & (bend >= 5),
        water=bend < 5 + 2 * np.sin(y / size * 31),
        town=town & (bend >= 9),
        track=(gap < 1.1) | (edge < 0.75),
        grain=rng.standard_normal((size, size)).astype("float32"),
    )


def reflectance(land: Ground, day: int) -> tuple[Image, NDArray[np.uint8]]:
    """Cloudless reflectances (band, y, x) and scene classes (y, x) on a day of the year."""
    cover = np.array([np.interp(day, _DAYS, curve) for curve in _CROPS], "float32")[land.crop]
    cover = np.clip(cover * land.vigour + 0.16 * (land.wetness - 0.5) + 0.02 * land.grain, 0, 0.98)
    cover = np.where(land.track, 0.35 + 0.06 * land.grain, cover).clip(0, 1)
    dryness = 1.12 - 0.3 * land.wetness + 0.025 * land.grain
    image = np.empty((len(BANDS), *cover.shape), "float32")
    for band in range(len(BANDS)):
        layer = _SOIL[band] * dryness * (1 - cover) + _LEAF[band] * cover
        season = 0.75 + 0.25 * np.interp(day, (90, 150, 250, 300), (0.3, 1, 0.9, 0.4))
        shade = 0.09 * land.grain if band == 3 else 0.16 * land.grain[::-1]
        wood = _WOOD[band] * (0.8 + 0.5 * land.wetness + shade) * (season if band == 3 else 1)
        layer = np.where(land.wood, wood, layer)
        layer = np.where(land.town, _ROOF[band] * (1 + 0.28 * land.grain), layer)
        image[band] = np.where(land.water, _WATER[band] * (1 + 0.05 * land.grain), layer)
    classes = np.where(cover > 0.32, 4, 5)
    classes = np.where(land.wood, 4, np.where(land.town, 5, classes))
    return image.clip(0.001, 1), np.where(land.water, 6, classes).astype("uint8")


def clouded(
    image: Image, classes: NDArray[np.uint8], share: float, seed: int
) -> tuple[Image, NDArray[np.uint8]]:
    """The same under clouds that cover about ``share`` of it, with their shadows."""
    if share <= 0:
        return image, classes
    size = classes.shape[0]
    shift = max(2, size // 70), max(3, size // 45)
    rng = np.random.default_rng([seed, 2])
    field = fractal(size + shift[1], rng, 300, 6)
    level = np.quantile(field, 1 - share)
    thick = np.clip((field - level) / 0.10, 0, 1).astype("float32")
    cloud = thick[:size, :size]
    # The sun stands in the south-east: shadows fall to the north-west.
    shadow = thick[shift[0] : shift[0] + size, shift[1] : shift[1] + size] * (1 - cloud)
    veil = np.clip((field - level + 0.03) / 0.05, 0, 1)[:size, :size] * 0.12
    alpha = np.maximum(cloud**0.7, veil).astype("float32")
    lit = image * (1 - 0.62 * shadow)
    billow = 1 + 0.14 * (fractal(size, rng, 40, 4) - 0.5) * 2
    result = lit * (1 - alpha) + _CLOUD[:, None, None] * billow * (0.55 + 0.45 * cloud) * alpha
    out = np.where(shadow > 0.12, 3, classes)
    out = np.where(alpha > 0.06, 10, out)
    out = np.where(cloud > 0.12, 8, out)
    return result.astype("float32"), np.where(cloud > 0.45, 9, out).astype("uint8")


def fractal(size: int, rng: np.random.Generator, cell: int, octaves: int) -> Image:
    """Smooth noise (y, x) in [0, 1]: octaves from ``cell`` pixels down, each half as strong."""
    total, weight = np.zeros((size, size), "float32"), 0.0
    for octave in range(octaves):
        step = max(2, cell >> octave)
        total += 0.55**octave * _upsampled(rng, size, step)
        weight += 0.55**octave
    low, high = float(total.min()), float(total.max())
    return ((total - low) / max(high - low, 1e-9)).astype("float32")


def _upsampled(rng: np.random.Generator, size: int, step: int) -> Image:
    knots = rng.random((size // step + 3, size // step + 3), dtype="float32")
    place = np.arange(size) / step
    left = place.astype("int64")
    part = (place - left).astype("float32")
    part = part * part * (3 - 2 * part)
    across = knots[:, left] * (1 - part) + knots[:, left + 1] * part
    result: Image = across[left] * (1 - part)[:, None] + across[left + 1] * part[:, None]
    return result


def _blocks(x: Image, y: Image, rng: np.random.Generator) -> tuple[Any, ...]:
    """Which block of fields a pixel is in, how far its edge is, and how its fields lie."""
    cell = 110.0
    count = int(max(x.max(), y.max()) // cell) + 4
    seeds = rng.random((count, count, 2), dtype="float32") * 0.7 + 0.15
    column, row = (x // cell).astype("int64") + 1, (y // cell).astype("int64") + 1
    best = np.full(x.shape, np.inf, "float32")
    second, owner = best.copy(), np.zeros(x.shape, "int64")
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = row + dy, column + dx
            px = (c - 1 + seeds[r, c, 0]) * cell
            py = (r - 1 + seeds[r, c, 1]) * cell
            distance = np.hypot(x - px, y - py).astype("float32")
            nearer = distance < best
            second = np.where(nearer, best, np.minimum(second, distance))
            owner = np.where(nearer, r * count + c, owner)
            best = np.minimum(best, distance)
    kinds = rng.random((3, count * count), dtype="float32")
    angle = (0.35 + (kinds[0] - 0.5) * 1.5)[owner]
    wide = (11 + 21 * kinds[1] ** 2)[owner]
    long = (26 + 48 * kinds[2])[owner]
    return owner, second - best, angle, wide, long


def _town(x: Image, y: Image, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    near = np.zeros(x.shape, bool)
    ragged = fractal(size, rng, 90, 5)
    for place, reach in (((0.30, 0.34), 0.075), ((0.80, 0.70), 0.05), ((0.16, 0.78), 0.03)):
        away = np.hypot(x / size - place[0], y / size - place[1])
        near |= away < reach * (0.1 + 1.9 * ragged)
    gardens = fractal(size, rng, 9, 3) > 0.6
    return near & ~gardens


def _hashed(values: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) that depends on nothing but the value and the seed."""
    mixed = values.astype("uint64") + np.uint64(seed * 0x9E3779B9 + 0x7F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
