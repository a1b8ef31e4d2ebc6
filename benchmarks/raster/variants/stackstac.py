"""The tasks with stackstac: the usual way, as its documentation does it, and at its best.

The usual way: its defaults (float64 reflectance, chunks of 1024 pixels and one date), xarray's
arithmetic, rioxarray's ``to_raster``. At its best: the numbers as stored, one fused function per
chunk, all dates of a composite in a chunk, and a small GDAL cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the accessor .rio)
import stackstac
import xarray as xr
from rasterio.enums import Resampling

from benchmarks.raster.job import MASKED, NDVI_VOID, THREADS, UNIT, Job
from benchmarks.raster.variants import kernels


def ndvi(job: Job) -> dict[str, Any]:
    stack = _stack(job, ["red", "nir"]).isel(time=0)
    index = _index(stack.sel(band="red"), stack.sel(band="nir"))
    return _write(job, [(index / UNIT).round().fillna(NDVI_VOID).astype("int16")], NDVI_VOID)


def ndvi_best(job: Job) -> dict[str, Any]:
    stack = _stored(job, ["red", "nir"], (1, 1, 2048, 2048)).isel(time=0)
    index = xr.apply_ufunc(
        kernels.ndvi_stored,
        stack.sel(band="red", drop=True),
        stack.sel(band="nir", drop=True),
        dask="parallelized",
        output_dtypes=["int16"],
    )
    return _write(job, [index], NDVI_VOID)


def median(job: Job) -> dict[str, Any]:
    stack = _stack(job, ["red", "nir", "scl"])
    # Classes come as 0 where the file says no data is NaN: both are masked.
    scl = stack.sel(band="scl")
    valid = ~scl.isin(list(MASKED)) & scl.notnull()
    middle = stack.sel(band=["red", "nir"]).where(valid).median("time")
    numbers = (middle / UNIT).round().clip(1, 65535).fillna(0).astype("uint16")
    return _write(job, [numbers.sel(band=band) for band in ("red", "nir")], 0)


def median_best(job: Job) -> dict[str, Any]:
    edge = job.options.get("best_edge", 1024)
    stack = _stored(job, ["red", "nir", "scl"], (-1, 1, edge, edge))
    bands = xr.apply_ufunc(
        kernels.median_block,
        *(stack.sel(band=band, drop=True) for band in ("red", "nir", "scl")),
        input_core_dims=[["time"]] * 3,
        output_core_dims=[["result"]],
        dask="parallelized",
        output_dtypes=["uint16"],
        dask_gufunc_kwargs={"output_sizes": {"result": 2}},
    )
    return _write(job, [bands.isel(result=0), bands.isel(result=1)], 0)


def max_ndvi(job: Job) -> dict[str, Any]:
    stack = _stack(job, ["red", "nir", "scl"])
    scl = stack.sel(band="scl")
    valid = ~scl.isin(list(MASKED)) & scl.notnull()
    index = _index(stack.sel(band="red"), stack.sel(band="nir")).where(valid).fillna(-2)
    best = index.max("time")
    when = xr.DataArray(kernels.days(job.items), dims="time")[index.argmax("time").compute()]
    stored = (best / UNIT).round().where(best > -2, NDVI_VOID).astype("int16")
    return _write(job, [stored, when.where(best > -2, NDVI_VOID).astype("int16")], NDVI_VOID)


def _stack(job: Job, bands: list[str], **options: Any) -> xr.DataArray:
    box = job.window.boundingbox
    return stackstac.stack(
        job.items,
        assets=bands,
        epsg=job.window.crs.epsg,
        resolution=10,
        bounds=(box.left, box.bottom, box.right, box.top),
        xy_coords="center",
        **options,
    )


def _stored(job: Job, bands: list[str], chunks: tuple[int, ...]) -> xr.DataArray:
    cache = job.options.get("gdal", {})
    return _stack(
        job,
        bands,
        chunksize=chunks,
        dtype=np.dtype("uint16"),
        fill_value=np.uint16(0),
        rescale=False,
        gdal_env=stackstac.DEFAULT_GDAL_ENV.updated(always=cache),
    )


def _index(red: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    total = nir + red
    return ((nir - red) / total).where(total > 0).clip(-1, 1)


def _write(job: Job, bands: list[xr.DataArray], nodata: int) -> dict[str, Any]:
    layers = [band.drop_vars([c for c in band.coords if c not in ("x", "y")]) for band in bands]
    image = layers[0] if len(layers) == 1 else xr.concat(layers, dim="band")
    image = image.rename(None)  # stackstac-7c32…, which would become the name of each band
    found = {"tasks": len(dict(image.__dask_graph__()))}
    image = image.compute(num_workers=THREADS)
    image = image.rio.write_crs(job.window.crs.to_wkt()).rio.write_nodata(nodata)
    image.rio.to_raster(
        job.output,
        driver="COG",
        compress="ZSTD",
        level=1,
        predictor="STANDARD",
        num_threads=THREADS,
        overview_resampling=Resampling.nearest.name,
    )
    return found
