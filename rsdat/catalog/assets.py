"""Assets of items: which there are, what kind of file each is, and those that are no rasters."""

from __future__ import annotations

import posixpath
from typing import Any, Literal
from urllib.parse import urlsplit

import pystac

from rsdat.errors import CredentialError, DataError, RsdatError
from rsdat.storage import absolute, is_remote, read_text, scrubbed, shown, storage_options
from rsdat.storage.transfer_places import place_of

Kind = Literal["raster", "netcdf", "zarr", "text", "bytes"]

_ENDINGS: dict[str, Kind] = {
    **dict.fromkeys((".tif", ".tiff", ".jp2", ".vrt", ".img"), "raster"),
    **dict.fromkeys((".nc", ".nc4", ".h5", ".hdf5"), "netcdf"),
    ".zarr": "zarr",
    **dict.fromkeys((".json", ".geojson", ".xml", ".txt", ".csv", ".html", ".md"), "text"),
}


def asset_href(item: pystac.Item, key: str) -> str:
    """Where an asset of an item lies, absolute.

    Raises
    ------
    DataError
        The item has no such asset, or does not say where it lies.
    """
    asset = item.assets.get(key)
    if asset is None:
        raise DataError(
            f"item {item.id} has no asset {key!r}",
            hint=f"it has {', '.join(sorted(item.assets)) or 'none'}",
        )
    href = asset.get_absolute_href()
    if href is None:
        raise DataError(
            f"item {item.id}: asset {key} has a relative href, {asset.href}, and the item no place",
            hint="open the item from its file, or make its hrefs absolute",
        )
    return absolute(href)


def kind_of(asset: pystac.Asset) -> Kind:
    """What kind of file an asset is, by its media type, else by its name."""
    media = (asset.media_type or "").lower()
    if "tiff" in media or media == "image/jp2":
        return "raster"
    if "zarr" in media:
        return "zarr"
    if "netcdf" in media or "hdf" in media:
        return "netcdf"
    if "json" in media or "xml" in media or media.startswith("text/"):
        return "text"
    name = urlsplit(asset.href).path if is_remote(asset.href) else asset.href
    if media and not media.startswith("application/octet"):
        return "bytes"
    return _ENDINGS.get(posixpath.splitext(name.rstrip("/").lower())[1], "bytes")


def open_asset(item: pystac.Item, key: str, mode: str = "rb") -> Any:
    """The file of an asset, open for reading; whoever opens it closes it.

    Parameters
    ----------
    mode
        ``rb``, or ``r`` for a text.

    Raises
    ------
    DataError
        There is no such asset, or its file cannot be opened.
    """
    href = asset_href(item, key)
    try:
        if not is_remote(href):
            return open(href, mode)
        # Not fsspec.open: it takes the "?" of an address for a pattern.
        place = place_of(href)
        return place.fs.open(place.path, mode)
    except Exception as error:
        raise _unreadable(item, key, href, error) from error


def read_asset(item: pystac.Item, key: str, *, chunks: Any = None) -> Any:
    """What is in an asset that is no raster: xarray for netCDF and Zarr, else text or bytes.

    Raises
    ------
    DataError
        There is no such asset, or it cannot be read.
    """
    href, kind = asset_href(item, key), kind_of(item.assets[key])
    try:
        if kind == "text":
            return read_text(href)
        if kind == "zarr":
            return _zarr(href, chunks)
        if kind == "netcdf":
            return _netcdf(href, chunks)
        with open_asset(item, key) as stream:
            return stream.read()
    except Exception as error:
        raise _unreadable(item, key, href, error) from error


def _zarr(href: str, chunks: Any) -> Any:
    import warnings

    import xarray as xr

    options = storage_options(href) if is_remote(href) else None
    with warnings.catch_warnings():
        # Stores of Zarr 3 need no consolidated metadata.
        warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
        return xr.open_zarr(href, chunks=chunks or {}, storage_options=options)


def _netcdf(href: str, chunks: Any) -> Any:
    import xarray as xr

    if not is_remote(href):
        return xr.open_dataset(href, chunks=chunks or {})
    place = place_of(href)
    # A file that is opened again where a block is needed; it holds references to credentials.
    return xr.open_dataset(place.fs.open(place.path), engine="h5netcdf", chunks=chunks or {})


def _unreadable(item: pystac.Item, key: str, href: str, error: Exception) -> RsdatError:
    place = f"item {item.id}, asset {key}"
    cause = error.__cause__ if isinstance(error.__cause__, RsdatError) else error
    if isinstance(cause, RsdatError):
        if cause.message.startswith(place):
            return cause
        kind = CredentialError if isinstance(cause, PermissionError) else DataError
        return kind(f"{place}: {cause.message}", hint=cause.hint)
    if isinstance(cause, FileNotFoundError):
        return DataError(f"{place}: {shown(href)} does not exist", hint="correct its href")
    words = scrubbed(str(cause), href) or type(cause).__name__
    hint = "check the address, and your credentials for it"
    if isinstance(cause, ImportError) or "engine" in words:
        hint = "install what reads it: h5netcdf for netCDF and HDF5"
    return DataError(f"{place}: {shown(href)} cannot be read: {words}", hint=hint)
