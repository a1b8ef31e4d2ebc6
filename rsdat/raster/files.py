"""Raster files: opening them (one dataset a thread), headers, GDAL's settings, clear errors."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.session import DummySession

from rsdat.errors import CredentialError, DataError
from rsdat.raster.sources import Source
from rsdat.storage import gdal, is_remote, scrubbed, shown

#: Open datasets that a thread keeps. Opening takes a millisecond from disk, requests elsewhere.
KEPT_DATASETS = 64
#: Seconds after which a remote file is opened anew (two requests): it may have been replaced.
KEPT_SECONDS = 60

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
    kept: OrderedDict[tuple[Any, ...], tuple[float, Any]] | None
    kept = getattr(_local, "datasets", None)
    if kept is None:
        kept = _local.datasets = OrderedDict()
    # Asked each time: a secret that has changed is handed on to the datasets that are open.
    path = gdal.gdal_path(source.href)
    key = (path, level, _version(source.href))
    now = time.monotonic()
    if is_remote(source.href):
        _leave(kept, path, now)
    if key in kept:
        kept.move_to_end(key)
        return kept[key][1]
    options = {} if level is None else {"overview_level": level}
    opened = rasterio.open(path, **options)
    kept[key] = now, opened
    while len(kept) > KEPT_DATASETS:
        kept.popitem(last=False)[1][1].close()
    return opened


def _leave(kept: OrderedDict[tuple[Any, ...], tuple[float, Any]], path: str, now: float) -> None:
    """Let go of a remote file where one of its datasets is old: all, so that none mixes states."""
    own = [key for key in kept if key[0] == path]
    if any(now - kept[key][0] > KEPT_SECONDS for key in own):
        for key in own:
            # Not closed here: the caller may still hold it. The last reference closes it.
            del kept[key]


def _version(href: str) -> tuple[int, int, int] | None:
    if is_remote(href):
        return None
    try:
        status = os.stat(href)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@contextmanager
def settings(href: str | None = None) -> Iterator[None]:
    """GDAL's settings for reading a file; what the user has set in the environment stands.

    Only what belongs to the credential of a remote file does not give way.
    """
    remote = href is not None and is_remote(href)
    wanted = {**_EVERYWHERE, **(_REMOTE if remote else {})}
    wanted = {key: value for key, value in wanted.items() if key not in os.environ}
    if href is not None:
        wanted |= gdal.options(href)
    # Not rasterio's own session: it would copy AWS keys of the environment into the settings.
    with rasterio.Env(DummySession(), **wanted):
        yield


def attempt(work: Callable[[], T], source: Source, geobox: GeoBox | None = None) -> T:
    """Do what reads a source, with GDAL's settings; its errors name item, asset, file and place.

    Raises
    ------
    DataError
        What GDAL said, in one message.
    """
    try:
        with settings(source.href):
            return work()
    except CredentialError as error:
        message, hint = f"{_place(source)} cannot be read: {error.message}", error.hint
        raise CredentialError(message, hint=hint) from None
    except (RasterioError, rasterio._err.CPLE_BaseError, OSError) as error:
        where = f", at {_bounds(geobox)}" if geobox is not None else ""
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        # The place names the file already; and a signed address is a secret.
        cause = gdal.scrub(cause.removeprefix(f"{source.href}: "), source.href)
        cause = scrubbed(cause, source.href)
        refused = _refused(source)
        message = f"{_place(source)} cannot be read{where}: {refused.words if refused else cause}"
    # Raised outside the handler: with GDAL's exception as its context, which cannot be unpickled,
    # it would not arrive from a worker.
    kind = CredentialError if refused and refused.denied else DataError
    raise kind(message, hint=_remedy(source))


def _refused(source: Source) -> gdal.Refusal | None:
    """What the server says where it is asked again; GDAL keeps it for itself when it reads."""
    try:
        return gdal.refusal(source.href)
    except CredentialError as error:
        return gdal.Refusal(error.message, denied=True)


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
