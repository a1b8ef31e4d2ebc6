"""Reading, masks, indices, composites and writers on grids."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not by name below: once it is imported, its module would stand for it.
from rsdat.raster.preview import preview

# Name -> the module that defines it. A chain needs neither xarray nor Dask, which would double the
# memory that a process begins with.
_EXPORTS = {
    "Chain": "rsdat.raster.chains",
    "chain": "rsdat.raster.chains",
    "get_asset": "rsdat.raster.assets",
    "composite": "rsdat.raster.reducers",
    "index": "rsdat.raster.indices",
    "load": "rsdat.raster.loading",
    "mask_clouds": "rsdat.raster.masks",
    "ndvi": "rsdat.raster.indices",
    "write_cog": "rsdat.raster.cog",
    "write_zarr": "rsdat.raster.writers.zarr",
}

__all__ = [
    "Chain",
    "chain",
    "composite",
    "get_asset",
    "index",
    "load",
    "mask_clouds",
    "ndvi",
    "preview",
    "write_cog",
    "write_zarr",
]

if TYPE_CHECKING:
    from rsdat.raster.assets import get_asset
    from rsdat.raster.chains import Chain, chain
    from rsdat.raster.cog import write_cog
    from rsdat.raster.indices import index, ndvi
    from rsdat.raster.loading import load
    from rsdat.raster.masks import mask_clouds
    from rsdat.raster.reducers import composite
    from rsdat.raster.writers.zarr import write_zarr


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rsdat.raster' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
