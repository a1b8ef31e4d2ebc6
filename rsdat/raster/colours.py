"""Which colours numbers are shown in: indices by ramps, classes by tables, the rest as it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.sources import CATEGORICAL

Array = NDArray[Any]
Rgb = tuple[int, int, int]
Ramp = tuple[tuple[float, Rgb], ...]

# Bare soil to dense vegetation; water and cloud shadow stand apart in blue and grey.
_VEGETATION: Ramp = (
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
# Dry to wet, either side of nothing.
_WATER: Ramp = (
    (-1.0, (84, 48, 5)),
    (-0.4, (191, 140, 60)),
    (0.0, (244, 240, 228)),
    (0.3, (104, 172, 208)),
    (1.0, (8, 48, 107)),
)
_SNOW: Ramp = (
    (-1.0, (60, 46, 38)),
    (0.0, (150, 132, 110)),
    (0.4, (150, 196, 222)),
    (1.0, (250, 253, 255)),
)
# Burnt ground is low, healthy vegetation high.
_BURNT: Ramp = (
    (-1.0, (40, 0, 30)),
    (-0.3, (150, 30, 40)),
    (0.0, (240, 180, 110)),
    (0.2, (240, 232, 190)),
    (0.6, (90, 160, 80)),
    (1.0, (2, 60, 32)),
)
# Never to always water.
_OFTEN: Ramp = (
    (0.0, (222, 222, 222)),
    (0.1, (186, 214, 235)),
    (0.5, (86, 155, 205)),
    (0.9, (20, 90, 160)),
    (1.0, (8, 48, 107)),
)
_RAMPS = {
    **dict.fromkeys(("ndvi", "evi", "savi", "ndre"), _VEGETATION),
    **dict.fromkeys(("ndwi", "mndwi", "ndmi"), _WATER),
    "ndsi": _SNOW,
    "nbr": _BURNT,
    "water": _OFTEN,
    "water_frequency": _OFTEN,
}

# The scene classes of Sentinel-2 L2A, in the colours that ESA shows them in.
_SCENE: tuple[Rgb, ...] = (
    (0, 0, 0),
    (255, 0, 0),
    (47, 47, 47),
    (100, 50, 0),
    (0, 160, 0),
    (255, 230, 90),
    (0, 0, 255),
    (128, 128, 128),
    (192, 192, 192),
    (255, 255, 255),
    (100, 200, 255),
    (255, 150, 255),
)
# Twelve that are told apart, also by most who do not see all colours alike.
_CLASSES: tuple[Rgb, ...] = (
    (222, 222, 222),
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
    (213, 94, 0),
    (90, 90, 90),
    (153, 112, 171),
    (127, 188, 65),
    (140, 81, 10),
)

#: Reflectance that is shown as white: above land, below cloud.
_BRIGHT = 0.3


def choice(names: Sequence[str]) -> list[int]:
    """Bands to show: true colour, else false colour, else a known index, else the first."""
    for wanted in (("red", "green", "blue"), ("nir", "red", "green"), ("nir", "red", "red")):
        if all(name in names for name in wanted):
            return [names.index(name) for name in wanted]
    return next(([names.index(name)] for name in _RAMPS if name in names), [0])


def are_classes(name: str) -> bool:
    """Whether the integers of a band are names, by what it is called."""
    return bool(CATEGORICAL.match(name)) or name.endswith("class")


def coloured(values: Array, names: Sequence[str], *, classes: bool = False) -> NDArray[np.uint8]:
    """Pixels as red, green, blue and opacity (y, x, 4).

    Parameters
    ----------
    values
        (band, y, x), one band or three; float32, NaN where there is no data: that is transparent.
    names
        Of these bands. A known index has its ramp; near infrared first means false colour.
    classes
        Whether the numbers are names.
    """
    valid: Array = np.all(np.isfinite(values), axis=0)
    if classes:
        colours = _by_class(values[0], _SCENE if names[0] == "scl" else _CLASSES)
    elif len(values) == 1 and names[0] in _RAMPS:
        colours = _by_ramp(values[0], _RAMPS[names[0]])
    else:
        colours = _stretched(values, valid, false=len(values) == 3 and names[0] == "nir")
    return np.dstack([colours, np.where(valid, 255, 0).astype("uint8")])


def _by_ramp(values: Array, ramp: Ramp) -> NDArray[np.uint8]:
    stops = [stop for stop, _ in ramp]
    known = np.nan_to_num(values, nan=0.0)
    bands = [np.interp(known, stops, [c[i] for _, c in ramp]) for i in range(3)]
    return np.dstack(bands).round().astype("uint8")


def _by_class(values: Array, table: Sequence[Rgb]) -> NDArray[np.uint8]:
    codes = np.nan_to_num(values, nan=0.0).astype("int64") % len(table)
    result: NDArray[np.uint8] = np.array(table, "uint8")[codes]
    return result


def _stretched(values: Array, valid: Array, *, false: bool) -> NDArray[np.uint8]:
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
