"""``get_asset``: an asset of an item as what it is: a raster as xarray, others as text or bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pystac

from rsdat.arguments import checked
from rsdat.catalog.assets import asset_href, kind_of, read_asset
from rsdat.errors import ConfigError

if TYPE_CHECKING:
    from rsdat.raster.sources import Source

#: Rows and columns of a task's part: whole blocks of nearly all files.
_CHUNK = 2048


@checked
def get_asset(item: pystac.Item, key: str, *, chunks: Any = None) -> Any:
    """Open an asset of an item, with the credentials that are configured for its address.

    Parameters
    ----------
    item
        As :func:`rsdat.search` gives it.
    key
        The asset's key.
    chunks
        Rows and columns of a Dask task's part of a raster (2048), as a number; for netCDF and Zarr
        what xarray takes.

    Returns
    -------
    xarray.DataArray
        Of a raster: (band, y, x), the numbers that the file stores, on its own grid; ``nodata``,
        ``scale`` and ``offset`` are attributes. Nothing but the header is read yet.
    xarray.Dataset
        Of netCDF, HDF5 and Zarr; read when it is computed.
    str
        Of JSON, XML and other text.
    bytes
        Of everything else. :func:`rsdat.catalog.open_asset` gives the open file instead.

    Raises
    ------
    DataError
        The item has no such asset (the message names those that it has), or its file cannot be
        read.
    """
    asset_href(item, key)  # says what is wrong with it
    if kind_of(item.assets[key]) != "raster":
        return read_asset(item, key, chunks=chunks)
    size = _CHUNK if chunks is None else chunks
    if not isinstance(size, int) or size < 1:
        raise ConfigError(f"chunks {chunks!r} is not possible", hint="give rows and columns, 2048")
    return _raster(item, key, size)


def _names(source: Source) -> tuple[str | None, ...]:
    from rsdat.raster.files import borrow

    with borrow(source).by_gdal() as dataset:
        return tuple(dataset.descriptions)


def _raster(item: pystac.Item, key: str, size: int) -> Any:
    import xarray as xr
    from odc.geo.xr import xr_coords

    from rsdat.raster.files import attempt, header
    from rsdat.raster.loading import variable_of
    from rsdat.raster.sources import source

    first = source(item, key)
    head = header(first)
    names = attempt(lambda: _names(first), first)
    bands = [replace(first, band=number) for number in range(1, len(names) + 1)]
    rows, columns = (_parts(length, size) for length in head.geobox.shape)
    variable = variable_of(
        bands, head, head.geobox, ((len(bands),), rows, columns), "nearest", scale=False
    )
    coordinates: dict[Any, Any] = dict(xr_coords(head.geobox, dims=("y", "x")))
    coordinates["band"] = [name or f"band {n}" for n, name in enumerate(names, 1)]
    return xr.DataArray(
        variable.data,
        coords=coordinates,
        dims=("band", "y", "x"),
        name=key,
        attrs={**variable.attrs, "grid_mapping": "spatial_ref"},
    )


def _parts(length: int, size: int) -> tuple[int, ...]:
    return tuple(min(size, length - start) for start in range(0, length, size))
