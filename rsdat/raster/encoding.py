"""How numbers are stored: as they are, or as integers with a scale and a value for no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError

Array = NDArray[Any]

#: Unit of stored integers where none is given: reflectance and indices to four digits.
UNIT = 1e-4

#: Types of whole numbers that float32 holds exactly.
INTEGERS = ("int8", "uint8", "int16", "uint16")


@dataclass(frozen=True)
class Encoding:
    """The type of stored numbers, their unit for each band, and what stands for "no data"."""

    dtype: str
    units: tuple[float, ...]
    nodata: float
    exact: bool = False
    """Whether numbers are classes or bits of files, of which each means itself."""
    whole: tuple[bool, ...] = ()
    """For each band, whether its numbers count or name something: none is moved to fit."""

    @property
    def plain(self) -> bool:
        """Whether numbers are stored as they are computed."""
        return np.dtype(self.dtype).kind == "f"

    def store(self, values: Array, out: Array) -> None:
        """Write physical float32 (band, …), NaN where there is no data, into stored numbers.

        Rounded to the nearest, halves to even; clipped to the type's range without its nodata
        value, so that no number can be taken for it. ``values`` is overwritten.

        Raises
        ------
        DataError
            A number that counts or names something does not fit, or is the nodata value.
        """
        if self.plain:
            out[...] = values
            if not np.isnan(self.nodata):
                out[np.isnan(values)] = self.nodata
            return
        if self.exact:
            values[np.isnan(values)] = self.nodata
            np.copyto(out, values, casting="unsafe")
            return
        limits = np.iinfo(self.dtype)
        low, high = float(limits.min), float(limits.max)
        low, high = low + (self.nodata == low), high - (self.nodata == high)
        unknown = np.isnan(values)
        for plane, whole in zip(values, self.whole, strict=False):
            if whole and (misfit := unfit(plane, self.dtype, self.nodata)):
                raise DataError(
                    f"the number {misfit} cannot be stored",
                    hint="name another nodata, or a dtype that holds more numbers",
                )
        for plane, unit in zip(values, self.units, strict=True):
            if unit != 1.0:
                with np.errstate(over="ignore"):  # what is too large is clipped, as infinity is
                    np.divide(plane, np.float32(unit), out=plane)
        np.rint(values, out=values)
        np.clip(values, np.float32(low), np.float32(high), out=values)
        np.putmask(values, unknown, np.float32(self.nodata))
        np.copyto(out, values, casting="unsafe")


def encoding(
    bands: tuple[str, ...],
    dtype: str | None = None,
    scale: float | Mapping[str, float] | None = None,
    nodata: float | None = None,
    *,
    whole: frozenset[str] = frozenset(),
) -> Encoding:
    """The encoding asked for; ``whole`` are bands of whole numbers, whose unit is 1.

    Raises
    ------
    ConfigError
        A type that holds no numbers, or a nodata value outside it.
    """
    try:
        kind = np.dtype(dtype or "float32")
    except TypeError:
        raise ConfigError(
            f"dtype {dtype!r} is not known", hint="use float32, int16, uint16 or uint8"
        ) from None
    check_number("nodata", nodata)
    if kind.kind == "f":
        return Encoding(kind.name, (1.0,) * len(bands), float("nan") if nodata is None else nodata)
    if kind.name not in INTEGERS:
        raise ConfigError(
            f"dtype {kind.name} cannot store what is computed in float32",
            hint="use float32, int16, uint16 or uint8",
        )
    limits = np.iinfo(kind)
    if nodata is not None:
        fill = float(nodata)
    else:
        # The lowest number of the type; but 0 is a count or a class among others.
        fill = float(limits.min) if whole.isdisjoint(bands) else fill_of(kind.name)
    if not (limits.min <= fill <= limits.max and fill == int(fill)):
        raise ConfigError(
            f"nodata {nodata} is no number of {kind.name}",
            hint=f"use a whole number from {limits.min} to {limits.max}",
        )
    units = tuple(_unit(band, scale, whole) for band in bands)
    counts = tuple(band in whole and unit == 1.0 for band, unit in zip(bands, units, strict=True))
    if kind.itemsize == 1 and UNIT in units:
        band = bands[units.index(UNIT)]
        raise ConfigError(
            f"dtype {kind.name} holds too few numbers for band {band} in units of {UNIT}",
            hint="use int16, or give a unit that fits, such as scale=0.01",
        )
    return Encoding(kind.name, units, fill, whole=counts)


def check_number(what: str, given: Any) -> None:
    """Refuse what is given for a number and is none; None is nothing given.

    Raises
    ------
    ConfigError
    """
    if given is not None and not isinstance(given, Real):
        raise ConfigError(f"{what} {given!r} is no number", hint="give a number, or leave it out")


def unfit(values: Array, dtype: str, nodata: float) -> str | None:
    """A rounded number that an integer type cannot hold beside its nodata value, and why."""
    numbers = np.rint(values)
    limits = np.iinfo(dtype)
    with np.errstate(invalid="ignore"):
        beyond = (numbers < limits.min) | (numbers > limits.max)
        taken = numbers == nodata
    if beyond.any():
        return f"{numbers[beyond][0]:g}, beyond {dtype},"
    return f"{nodata:g}, which stands for no data," if taken.any() else None


def fill_of(dtype: str) -> float:
    """What stands for no data among whole numbers: the highest (unsigned) or lowest number."""
    limits = np.iinfo(dtype)
    return float(limits.max if limits.min == 0 else limits.min)


def _unit(band: str, scale: float | Mapping[str, float] | None, whole: frozenset[str]) -> float:
    default = 1.0 if band in whole else UNIT
    if isinstance(scale, Mapping):
        unit = float(scale.get(band, default))
    else:
        unit = default if scale is None or band in whole else float(scale)
    if not unit > 0:
        raise ConfigError(f"scale {unit} is not positive", hint="give the unit, such as 0.0001")
    return unit
