"""What a Zarr store cannot hold: refused before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rsdat.errors import ConfigError
from rsdat.raster.image import Image

#: Names that the coordinates have.
_TAKEN = ("x", "y", "time", "spatial_ref")


def check_image(image: Image, attributes: Mapping[str, Any] | None) -> None:
    """Refuse names, nodata values and attributes that a store cannot hold.

    Raises
    ------
    ConfigError
    """
    _check_bands(image)
    _check_nodata(image)
    _check_attributes(attributes)


def _check_bands(image: Image) -> None:
    for band in image.bands:
        if not band or "/" in band or band.startswith(("_", ".")) or band in _TAKEN:
            raise ConfigError(
                f"band {band!r} cannot be a variable of a Zarr store",
                hint="rename it: letters, digits, - and _ are fine",
            )
    if len(set(image.bands)) < len(image.bands):
        raise ConfigError(
            f"bands have the same name: {', '.join(image.bands)}", hint="rename one of them"
        )


def _check_nodata(image: Image) -> None:
    kind, nodata = np.dtype(image.dtype), image.nodata
    if nodata is None or kind.kind not in "iu":
        return
    limits = np.iinfo(kind)
    if not (limits.min <= nodata <= limits.max and nodata == int(nodata)):
        raise ConfigError(
            f"nodata {nodata} is no number of type {image.dtype}",
            hint=f"name one from {limits.min} to {limits.max}, or another dtype",
        )


def _check_attributes(attributes: Mapping[str, Any] | None) -> None:
    try:
        json.dumps(dict(attributes or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"attrs cannot be stored: {error}", hint="give a dict of texts, numbers and lists"
        ) from None
