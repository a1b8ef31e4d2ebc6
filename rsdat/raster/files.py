"""Raster files: opening them (one dataset a thread), headers, GDAL's settings, clear errors."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from rsdat.errors import DataError
from rsdat.raster.sources import Source
from rsdat.storage import is_remote, scrubbed, shown

#: Open datasets that a thread keeps. Opening takes a millisecond from disk, requests elsewhere.
KEPT_DATASETS = 64

_EVERYWHERE = {
    # The blocks we want are read once, in order: a large cache only keeps what is not asked again.
    "GDAL_CACHEMAX": 128,
    "GDAL_NUM_THREADS": 1,
}
# Not for local files: EMPTY_DIR would hide the .aux.xml beside them.
_REMOTE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "VSI_CACHE": True,
}

_local = threading.local()
T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """What a file says of one of its bands."""

    geobox: GeoBox
    dtype: str
    nodata: float | None
    blocks: tuple[int, int]
    """Rows and columns of a block."""
    overviews: tuple[int, ...]
    scale: float | None
    offset: float | None


def header(source: Source) -> Header:
    """The header of a source's file, its grid taken from the file itself.

    Only where the file has no CRS, the one its item declares is taken.

    Raises
    ------
    DataError
        When the file cannot be opened, has no such band, or neither it nor its item has a CRS.
    """
    return attempt(lambda: describe(dataset(source), source), source)


def describe(opened: Any, source: Source) -> Header:
    """The header of an open dataset, as one source sees it."""
    if source.band > opened.count:
        raise DataError(
            f"{_place(source)} has {opened.count} bands, and its item means band {source.band}",
            hint="the item does not describe this file: correct the item or the href",
        )
    crs = opened.crs.to_wkt() if opened.crs else source.declared and source.declared.crs
    if not crs:
        raise DataError(
            f"{_place(source)} has no CRS, and its item declares none",
            hint="a file beside it (.aux.xml, .prj) may be missing; or add proj:code to the item",
        )
    index = source.band - 1
    scale, offset = float(opened.scales[index]), float(opened.offsets[index])
    plain = scale == 1.0 and offset == 0.0
    return Header(
        geobox=GeoBox(opened.shape, opened.transform, CRS(crs)),
        dtype=opened.dtypes[index],
        nodata=opened.nodatavals[index],
        blocks=tuple(opened.block_shapes[index]),
        overviews=tuple(opened.overviews(source.band)),
        scale=None if plain else scale,
        offset=None if plain else offset,
    )


def dataset(source: Source, level: int | None = None) -> Any:
    """This thread's open dataset of a source's file; ``level`` opens one of its overviews.

    GDAL datasets may not be shared between threads. A local file that was replaced meanwhile is
    opened anew.
    """
    kept: OrderedDict[tuple[Any, ...], Any] | None = getattr(_local, "datasets", None)
    if kept is None:
        kept = _local.datasets = OrderedDict()
    key = (source.href, level, _version(source.href))
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    options = {} if level is None else {"overview_level": level}
    opened = kept[key] = rasterio.open(source.href, **options)
    while len(kept) > KEPT_DATASETS:
        kept.popitem(last=False)[1].close()
    return opened


def _version(href: str) -> tuple[int, int, int] | None:
    if is_remote(href):
        return None
    try:
        status = os.stat(href)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@contextmanager
def settings(remote: bool = False) -> Iterator[None]:
    """GDAL's settings for reading; what the user has set in the environment stands."""
    wanted = {**_EVERYWHERE, **(_REMOTE if remote else {})}
    with rasterio.Env(**{k: v for k, v in wanted.items() if k not in os.environ}):
        yield


def attempt(work: Callable[[], T], source: Source, geobox: GeoBox | None = None) -> T:
    """Do what reads a source, with GDAL's settings; its errors name item, asset, file and place.

    Raises
    ------
    DataError
        What GDAL said, in one message.
    """
    try:
        with settings(is_remote(source.href)):
            return work()
    except (RasterioError, rasterio._err.CPLE_BaseError, OSError) as error:
        where = f", at {_bounds(geobox)}" if geobox is not None else ""
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        # The place names the file already; and a signed address is a secret.
        cause = scrubbed(cause.removeprefix(f"{source.href}: "), source.href)
        message = f"{_place(source)} cannot be read{where}: {cause}"
    # Raised outside the handler: with GDAL's exception as its context, which cannot be unpickled,
    # it would not arrive from a worker.
    raise DataError(message, hint=_remedy(source))


def _remedy(source: Source) -> str:
    if is_remote(source.href):
        return "check the network and your credentials for this address, then run again"
    if not os.path.exists(source.href):
        return "the file is missing: correct the item's href, or leave this item out"
    if not os.access(source.href, os.R_OK):
        return "you may not read this file: ask its owner"
    return "the file is damaged or not a raster: fetch it again, or leave this item out"


def _place(source: Source) -> str:
    return f"item {source.item}: asset {source.asset} ({shown(source.href)})"


def _bounds(geobox: GeoBox) -> str:
    box = geobox.boundingbox
    return f"x {box.left:.10g} to {box.right:.10g}, y {box.bottom:.10g} to {box.top:.10g}"
