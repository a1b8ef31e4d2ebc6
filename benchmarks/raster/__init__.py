"""The raster engine's speed and memory, beside rasterio, odc-stac and stackstac."""
