"""The notebook API of rsdat: open, search, load, compute and write, on the session's workers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name -> the module that defines it. Resolved on first use: importing rsdat stays cheap, so that
# `rsdat --help` never pays for Dask or rasterio.
_EXPORTS = {
    "chain": "rsdat.raster",
    "client": "rsdat.cluster",
    "composite": "rsdat.raster",
    "copy_catalog": "rsdat.catalog",
    "get_asset": "rsdat.raster",
    "get_cluster": "rsdat.cluster",
    "index": "rsdat.raster",
    "load": "rsdat.raster",
    "make_catalog": "rsdat.catalog",
    "mask_clouds": "rsdat.raster",
    "ndvi": "rsdat.raster",
    "open_catalog": "rsdat.catalog",
    "search": "rsdat.catalog",
    "write_cog": "rsdat.raster",
    "write_zarr": "rsdat.raster",
}

__all__ = [
    "chain",
    "client",
    "composite",
    "copy_catalog",
    "get_asset",
    "get_cluster",
    "index",
    "load",
    "make_catalog",
    "mask_clouds",
    "ndvi",
    "open_catalog",
    "search",
    "write_cog",
    "write_zarr",
]

if TYPE_CHECKING:
    from rsdat.catalog import copy_catalog, make_catalog, open_catalog, search
    from rsdat.cluster import client, get_cluster
    from rsdat.raster import (
        chain,
        composite,
        get_asset,
        index,
        load,
        mask_clouds,
        ndvi,
        write_cog,
        write_zarr,
    )


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rsdat' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
