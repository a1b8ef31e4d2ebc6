"""Reading, masks, indices, composites and writers on grids."""

from rsdat.raster.chains import Chain, chain
from rsdat.raster.cog import write_cog
from rsdat.raster.indices import index, ndvi
from rsdat.raster.loading import load
from rsdat.raster.masks import mask_clouds
from rsdat.raster.preview import preview
from rsdat.raster.reducers import composite
from rsdat.raster.writers.zarr import write_zarr

__all__ = [
    "Chain",
    "chain",
    "composite",
    "index",
    "load",
    "mask_clouds",
    "ndvi",
    "preview",
    "write_cog",
    "write_zarr",
]
