"""The names of the composites, what they give back, and what they keep in memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from rsdat.errors import ConfigError
from rsdat.raster.kernels.greenest import ADDED, MaxNdvi
from rsdat.raster.kernels.medoid import Medoid
from rsdat.raster.kernels.order import Median, Percentile
from rsdat.raster.kernels.streams import Count, Extreme, First, Mean, MostRecent

_KINDS: dict[str, Any] = {
    "median": Median,
    "mean": Mean,
    "min": Extreme,
    "max": Extreme,
    "count": Count,
    "first": First,
    "most_recent": MostRecent,
    "max_ndvi": MaxNdvi,
    "medoid": Medoid,
}

#: What can be asked for; besides, ``pNN`` and ``percentile:NN.N``.
METHODS = tuple(_KINDS)

_PERCENTILE = re.compile(r"(?:p|percentile:)(\d+(?:\.\d+)?)")


def check_method(method: str) -> None:
    """Refuse a method that is not known."""
    kind_of(method)


def kind_of(method: str) -> Any:
    """The class of a method.

    Raises
    ------
    ConfigError
        When there is no such method.
    """
    if method in _KINDS:
        return _KINDS[method]
    percent_of(method)
    return Percentile


def percent_of(method: str) -> float:
    """The number in ``p10`` or ``percentile:12.5``."""
    found = _PERCENTILE.fullmatch(method)
    if not found:
        raise ConfigError(
            f"composite method {method!r} is not known",
            hint=f"use one of {', '.join(METHODS)}, or a percentile: p10, percentile:12.5",
        )
    percent = float(found[1])
    if percent > 100:
        raise ConfigError(
            f"composite method {method!r}: there is no percentile above 100",
            hint="give a number from 0 to 100",
        )
    return percent


def maker_of(method: str, red: str, nir: str) -> Callable[..., Any]:
    """What makes the reducer of a method from :class:`~.stored.Stored`."""
    kind = kind_of(method)
    if kind is Percentile:
        return partial(Percentile, percent=percent_of(method))
    if kind is Extreme:
        return partial(Extreme, largest=method == "max")
    if kind is MaxNdvi:
        return partial(MaxNdvi, red=red, nir=nir)
    maker: Callable[..., Any] = kind
    return maker


def by_order(method: str) -> bool:
    """Whether a method asks which of two numbers is larger."""
    return kind_of(method) in (Median, Percentile, Extreme)


def result_bands(method: str, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the bands of a composite: ``max_ndvi`` adds ``ndvi`` and ``date``."""
    if kind_of(method) is not MaxNdvi:
        return bands
    taken = [name for name in ADDED if name in bands]
    if taken:
        raise ConfigError(
            f"max_ndvi adds a band {taken[0]}, and there is one already",
            hint=f"leave {taken[0]} out of the bands",
        )
    return (*bands, *ADDED)
