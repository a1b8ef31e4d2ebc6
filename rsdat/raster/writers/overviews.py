"""Halving an image for its overviews, without taking "no data" for numbers.

Each pixel of the result stands for two by two pixels, counted from the image's origin, so that it
does not depend on how the image was cut into tiles. At an odd edge the last row or column counts
for two, which changes none of the methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError

Array = NDArray[Any]

METHODS = ("average", "nearest", "mode", "min", "max")
#: Rows worked on at once. Fewer would fit the processor's cache better, but threads then do little
#: but hand each other the interpreter's lock: of two, each takes 1.3 ms a megapixel with 64 rows,
#: and 0.5 ms with these.
_STRIP = 256


def check_method(name: str) -> None:
    """Refuse a way of making overviews that is not known."""
    if name not in METHODS:
        raise ConfigError(
            f"overview resampling {name!r} is not known", hint=f"use one of {', '.join(METHODS)}"
        )


def usual_method(dtype: str, scales: tuple[float, ...]) -> str:
    """``average`` for measured values, ``nearest`` for what may be classes."""
    kind = np.dtype(dtype).kind
    scaled = any(scale != 1.0 for scale in scales)
    return "average" if kind == "f" or (kind in "iu" and scaled) else "nearest"


def halve(values: Array, nodata: float | None, method: str) -> Array:
    """An image (…, y, x) at half the resolution; its shape is rounded up.

    Pixels of "no data" (``nodata``, and NaN among floats) take no part, and a pixel that has no
    others becomes ``nodata``. An average of integers is rounded to the nearest, halves up; where
    it would be ``nodata`` by chance, it moves by one.
    """
    if method == "nearest":
        return np.ascontiguousarray(values[..., ::2, ::2])
    values = _even(values)
    *leading, height, width = values.shape
    out = np.empty((*leading, height // 2, width // 2), values.dtype)
    fill = _stored(nodata, values.dtype)
    reduce = _REDUCERS[method]
    for index in np.ndindex(*leading):
        for top in range(0, height, _STRIP):
            strip = values[index][top : top + _STRIP]
            reduce(strip, fill, out[index][top // 2 : top // 2 + strip.shape[0] // 2])
    return out


def _even(values: Array) -> Array:
    height, width = values.shape[-2:]
    if height % 2 == 0 and width % 2 == 0:
        return values
    edges = [(0, 0)] * (values.ndim - 2) + [(0, height % 2), (0, width % 2)]
    return np.pad(values, edges, mode="edge")


def _stored(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """The value for "no data" as a number of the type; None where the type has none."""
    if dtype.kind == "f":
        return dtype.type(np.nan if nodata is None else nodata)
    if nodata is None or nodata != nodata:
        return None
    limits = np.iinfo(dtype)
    fits = limits.min <= nodata <= limits.max and nodata == int(nodata)
    return dtype.type(int(nodata)) if fits else None


def _quarters(strip: Array) -> Array:
    """The four pixels under each pixel of the result, as (4, y, x)."""
    return np.stack([strip[::2, ::2], strip[::2, 1::2], strip[1::2, ::2], strip[1::2, 1::2]])


def _valid(values: Array, fill: Any) -> NDArray[np.bool_]:
    if fill is None:
        return np.ones(values.shape, bool)
    known: NDArray[np.bool_] = values != fill
    if values.dtype.kind == "f":
        known &= ~np.isnan(values)
    return known


def _average(strip: Array, fill: Any, out: Array) -> None:
    if strip.dtype.kind == "f":
        _average_of_floats(strip, fill, out)
    else:
        _average_of_integers(strip, fill, out)
    if fill is not None and not np.isnan(fill):
        _step_aside(strip, fill, out)


def _average_of_floats(strip: Array, fill: Any, out: Array) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        sums = strip[::2] + strip[1::2]
        np.add(sums[:, ::2], sums[:, 1::2], out=out)
        out *= strip.dtype.type(0.25)
        if np.isnan(fill):
            touched: NDArray[np.bool_] = np.isnan(out)
        else:
            missing = ~_valid(strip, fill)
            touched = np.any(_quarters(missing), axis=0)
        if touched.any():
            parts = _quarters(strip)[:, touched]
            valid = _valid(parts, fill)
            sums = np.where(valid, parts, 0)
            count = valid.sum(axis=0).astype(strip.dtype)
            mean = ((sums[0] + sums[2]) + (sums[1] + sums[3])) / count
            out[touched] = np.where(count > 0, mean, fill)


def _average_of_integers(strip: Array, fill: Any, out: Array) -> None:
    if strip.itemsize == 8:
        out[...] = _average_of_long_integers(_quarters(strip), fill)
        return
    wide = "int32" if strip.itemsize <= 2 else "int64"
    missing = None if fill is None else strip == fill
    if missing is None or not missing.any():
        sums = _sum_of_four(strip, wide)
        sums += 2
        np.right_shift(sums, 2, out=out, casting="unsafe")
        return
    sums = _sum_of_four(np.where(missing, strip.dtype.type(0), strip), wide)
    count = _sum_of_four((~missing).view("uint8"), "uint8")
    # Exact: sums have far fewer digits than a double, and thirds are never near a half.
    divisor = np.maximum(count, 1).astype("float64")
    np.copyto(out, np.floor(sums / divisor + 0.5), casting="unsafe")
    out[count == 0] = fill


def _sum_of_four(strip: Array, dtype: str) -> Array:
    # Rows first: their sum runs through memory without gaps, and halves what has gaps.
    pairs = np.add(strip[::2], strip[1::2], dtype=dtype)
    total: Array = pairs[:, ::2] + pairs[:, 1::2]
    return total


def _average_of_long_integers(parts: Array, fill: Any) -> Array:
    """floor(mean + 1/2) of the valid ones, in the type itself: 64 bits have no wider type."""
    valid = _valid(parts, fill)
    divisor = np.maximum(valid.sum(axis=0), 1).astype(parts.dtype)
    floors, remainders = np.divmod(np.where(valid, parts, parts.dtype.type(0)), divisor)
    whole: Array = floors.sum(axis=0, dtype=parts.dtype)
    rest = remainders.sum(axis=0, dtype=parts.dtype)
    whole += (2 * rest + divisor) // (2 * divisor)
    return whole if fill is None else np.where(valid.any(axis=0), whole, fill)


def _step_aside(strip: Array, fill: Any, out: Array) -> None:
    """Averages that are ``nodata`` by chance move to a number beside it."""
    chance = out == fill
    if not chance.any():
        return
    chance &= _valid(_quarters(strip), fill).any(axis=0)
    if strip.dtype.kind == "f":
        out[chance] = np.nextafter(fill, strip.dtype.type(0 if fill else 1))
    else:
        out[chance] = fill - 1 if fill == np.iinfo(strip.dtype).max else fill + 1


def _extreme(strip: Array, fill: Any, out: Array, *, lowest: bool) -> None:
    parts = _quarters(strip)
    valid = _valid(parts, fill)
    info = np.finfo(strip.dtype) if strip.dtype.kind == "f" else np.iinfo(strip.dtype)
    neutral = strip.dtype.type(info.max if lowest else info.min)
    found = np.where(valid, parts, neutral)
    found = found.min(axis=0) if lowest else found.max(axis=0)
    out[...] = found if fill is None else np.where(valid.any(axis=0), found, fill)


def _lowest(strip: Array, fill: Any, out: Array) -> None:
    _extreme(strip, fill, out, lowest=True)


def _highest(strip: Array, fill: Any, out: Array) -> None:
    _extreme(strip, fill, out, lowest=False)


def _mode(strip: Array, fill: Any, out: Array) -> None:
    """The most frequent; of equally frequent ones the first, row by row."""
    parts = _quarters(strip)
    valid = _valid(parts, fill)
    votes = np.zeros(parts.shape, "int8")
    for one in range(4):
        for other in range(one):
            same = parts[one] == parts[other]
            votes[one] += same
            votes[other] += same
    votes[~valid] = -1
    best, out[...] = votes[0], parts[0]
    for one in range(1, 4):
        more = votes[one] > best
        np.copyto(out, parts[one], where=more)
        best = np.maximum(best, votes[one])
    if fill is not None:
        np.copyto(out, fill, where=best < 0)


_REDUCERS: dict[str, Callable[[Array, Any, Array], None]] = {
    "average": _average,
    "mode": _mode,
    "min": _lowest,
    "max": _highest,
}
