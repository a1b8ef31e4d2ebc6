"""Raster files: their headers, and clear errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import rasterio
from odc.geo.crs import CRS, CRSError
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from rsdat.errors import CredentialError, DataError
from rsdat.raster import handles
from rsdat.raster.handles import Opened
from rsdat.raster.settings import settings
from rsdat.raster.sources import Source
from rsdat.storage import gdal, is_remote, scrubbed, shown

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
    return attempt(lambda: describe(borrow(source), source), source)


def describe(file: Opened, source: Source) -> Header:
    """The header of an open file, as one source sees it."""
    asked = source.band, source.declared
    if asked not in file.headers:
        # Overviews are looked for only now, which may take requests.
        with settings(file.href):
            file.headers[asked] = _described(file.dataset, source)
    found: Header = file.headers[asked]
    return found


def _described(opened: Any, source: Source) -> Header:
    if source.band > opened.count:
        raise DataError(
            f"{_place(source)} has {opened.count} bands, and its item means band {source.band}",
            hint="the item does not describe this file: correct the item or the href",
        )
    index = source.band - 1
    if opened.dtypes[index].startswith("complex"):
        raise DataError(
            f"{_place(source)} holds complex numbers, of which no image is made here",
            hint="take amplitude or backscatter instead: GRD or RTC products, not SLC",
        )
    scale, offset = float(opened.scales[index]), float(opened.offsets[index])
    plain = scale == 1.0 and offset == 0.0
    return Header(
        geobox=_grid(opened, source),
        dtype=opened.dtypes[index],
        nodata=opened.nodatavals[index],
        blocks=tuple(opened.block_shapes[index]),
        overviews=tuple(opened.overviews(source.band)),
        scale=None if plain else scale,
        offset=None if plain else offset,
    )


def _grid(opened: Any, source: Source) -> GeoBox:
    """The grid of an open dataset; what it does not say of itself is taken from its item."""
    declared = source.declared
    if not opened.crs and opened.gcps[0]:
        raise DataError(
            f"{_place(source)} lies in the geometry of its radar: it has ground control points, "
            "and no grid",
            hint="use a terrain-corrected product (RTC), or correct it first (gdalwarp, SNAP)",
        )
    crs = opened.crs.to_wkt() if opened.crs else declared and declared.crs
    if not crs:
        raise DataError(
            f"{_place(source)} has no CRS, and its item declares none",
            hint="a file beside it (.aux.xml, .prj) may be missing; or add proj:code to the item",
        )
    try:
        known = CRS(crs)
    except CRSError:
        raise DataError(
            f"{_place(source)} has no CRS that is known: {crs[:80]}",
            hint="correct proj:code of the item, or the file",
        ) from None
    transform = opened.transform
    if not opened.crs and transform.is_identity:  # neither of them is in the file
        if declared is None or declared.shape != tuple(opened.shape):
            raise DataError(
                f"{_place(source)} does not say where it lies, and its item declares a grid of "
                f"another size",
                hint="a file beside it (.aux.xml, .tfw) may be missing: fetch it as well",
            )
        transform = Affine(*declared.transform)
    return GeoBox(opened.shape, transform, known)


def borrow(source: Source, level: int | None = None) -> Opened:
    """A source's file, open, inside :func:`attempt`; ``level``: one of its overviews."""
    return handles.borrow(source.href, level)


def attempt(work: Callable[[], T], source: Source, geobox: GeoBox | None = None) -> T:
    """Do what reads a source; its errors name item, asset, file and place.

    Raises
    ------
    DataError
        What GDAL said, in one message.
    """
    try:
        with handles.borrowing():
            return work()
    except CredentialError as error:
        message, hint = f"{_place(source)} cannot be read: {error.message}", error.hint
        raise CredentialError(message, hint=hint, asset=source.asset) from None
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
    raise kind(message, hint=_remedy(source), asset=source.asset)


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
