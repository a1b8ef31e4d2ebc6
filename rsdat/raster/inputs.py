"""What a computation is given: items in order of time, checked, and the grids they lie on."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from numbers import Real
from typing import Any

import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from rsdat.catalog import search
from rsdat.catalog.antimeridian import bounding_area
from rsdat.errors import ConfigError, DataError
from rsdat.raster.files import Header, header
from rsdat.raster.grids import Bounds, declared_geobox
from rsdat.raster.sources import Source

# Nanoseconds since 1970 in 64 bits end within the years next to these.
_FIRST_YEAR, _LAST_YEAR = 1678, 2261

Items = Iterable[pystac.Item] | pystac.Item | pystac.Catalog


def ordered(items: Items) -> list[pystac.Item]:
    """Items sorted by time, each once: what is given twice would count twice in a composite.

    Raises
    ------
    DataError
        There are none, or what was given are no items.
    """
    listed = _listed(items)
    if not listed:
        raise DataError("there are no items to load", hint="search with a wider bbox or datetime")
    for item in listed:
        if not isinstance(item, pystac.Item):
            raise _not_items(item)
    return sorted(_once(listed), key=lambda item: (item_time(item), item.id))


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names as they may be given: one, or several."""
    try:
        return (given,) if isinstance(given, str) else tuple(given)
    except TypeError:
        raise ConfigError(f"{given!r} are no names", hint='give some, as ["red"]') from None


def _once(items: list[pystac.Item]) -> list[pystac.Item]:
    """Items without those that have the id, the collection and the files of one before."""
    ids = [(item.id, item.collection_id) for item in items]
    if len(set(ids)) == len(ids):
        return items
    found: dict[Any, pystac.Item] = {}
    for key, item in zip(ids, items, strict=True):
        files = frozenset((name, asset.href) for name, asset in item.assets.items())
        found.setdefault((key, files), item)
    if len(found) < len(items):
        warnings.warn(
            f"{len(items) - len(found)} of {len(items)} items were given twice, and count once",
            stacklevel=5,  # of chain() and of load()
        )
    return list(found.values())


def _listed(items: Any) -> list[Any]:
    if isinstance(items, pystac.Item):
        return [items]
    if isinstance(items, pystac.Catalog):
        if hasattr(items, "conforms_to"):  # an API: what it holds has no end
            raise DataError(
                f"{items.id} is a STAC API, and load takes items",
                hint="search it first: rsdat.search(catalog, bbox=…, datetime=…, collections=…)",
            )
        return search(items)
    if isinstance(items, str | os.PathLike | Mapping) or not isinstance(items, Iterable):
        raise _not_items(items)
    return list(items)


def _not_items(given: Any) -> DataError:
    return DataError(
        f"load takes STAC items, and was given {type(given).__name__}",
        hint="use what rsdat.search() returns",
    )


def item_time(item: pystac.Item) -> np.datetime64:
    """When an item was taken (UTC): its datetime, else the start of its interval."""
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise DataError(f"item {item.id} has no datetime", hint="correct the item, or leave it out")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        # Some catalogs write such a year for "always" or "not known".
        raise DataError(
            f"item {item.id} is of the year {moment.year}, which times do not hold",
            hint=f"correct its datetime (from {_FIRST_YEAR} to {_LAST_YEAR}), or leave it out",
        )
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def check_request(
    bands: Sequence[str],
    geobox: GeoBox | None,
    bbox: Bounds | None,
    resolution: float | None,
    crs: Any,
    resampling: str,
) -> None:
    """Refuse bands, grids and resamplings that cannot be meant."""
    if not bands or not all(isinstance(band, str) and band for band in bands):
        raise ConfigError(
            f"bands {list(bands)!r} are no names" if bands else "no bands were named",
            hint='name some, as ["red", "nir"]',
        )
    if len(set(bands)) < len(bands):
        raise ConfigError(f"a band is named twice in {', '.join(bands)}", hint="name each once")
    if geobox is not None and not (bbox is None and resolution is None and crs is None):
        raise ConfigError(
            "a geobox already says the extent, resolution and CRS",
            hint="give either geobox, or bbox, resolution and crs",
        )
    check_grid(geobox)
    _check_part(bbox, resolution)
    if resampling not in Resampling.__members__:
        raise ConfigError(
            f"resampling {resampling!r} is not known",
            hint=f"use one of {', '.join(Resampling.__members__)}",
        )


def check_grid(geobox: Any) -> None:
    """Refuse what is given as a grid and is none; None is one that is to be decided.

    Raises
    ------
    ConfigError
    """
    if geobox is not None and not (isinstance(geobox, GeoBox) and geobox.crs is not None):
        raise ConfigError(
            f"{type(geobox).__name__} is no grid with a CRS",
            hint="give an odc.geo.geobox.GeoBox, as chain.geobox or dataset.odc.geobox",
        )


def _check_part(bbox: Any, resolution: Any) -> None:
    if bbox is not None:
        try:
            west, south, east, north = (float(number) for number in bbox)
        except (TypeError, ValueError):
            raise ConfigError(
                f"bbox {bbox!r} is not four numbers", hint="give (west, south, east, north)"
            ) from None
        turn = 360.0 if west < -180 else 0.0  # another way to write what crosses the antimeridian
        bounding_area((west + turn, south, east + turn, north))
    if resolution is not None and not (
        isinstance(resolution, Real) and 0 < float(resolution) < math.inf
    ):
        raise ConfigError(
            f"resolution {resolution!r} is not a positive number",
            hint="give the edge of a pixel in the CRS's own unit",
        )


def grids_of(sources: Sequence[Source], first: Header, *, skip: bool = False) -> list[GeoBox]:
    """The grid of each source, opening as few files as the truth allows.

    Where the first file is as its item declares, the others' declarations are believed; where it
    is not (a thinned copy, say), every file is asked. With ``skip``, one that does not open is
    taken to lie where the first does: its pixels are left out when they are read.
    """
    declared = [one.declared for one in sources]
    claimed = None if declared[0] is None else declared_geobox(declared[0])
    if claimed is not None and _agree(claimed, first.geobox):
        # Many items share a grid: one object each, which is quick to compare.
        known = {one: declared_geobox(one) for one in dict.fromkeys(declared) if one is not None}
        rest = [None if one is None else known[one] for one in declared[1:]]
    else:
        rest = [None] * (len(sources) - 1)

    def asked(one: Source) -> GeoBox:
        try:
            return header(one).geobox
        except DataError:
            if not skip:
                raise
            return first.geobox

    unknown = [one for one, grid in zip(sources[1:], rest, strict=True) if grid is None]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = iter(list(pool.map(asked, unknown)))
    return [first.geobox, *(grid if grid is not None else next(found) for grid in rest)]


def _agree(one: GeoBox, other: GeoBox) -> bool:
    return bool(
        one.shape == other.shape
        and one.crs == other.crs
        and one.transform.almost_equals(other.transform, 1e-6)
    )
