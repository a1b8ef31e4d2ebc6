"""The tasks with odc-stac: the usual way, as its example notebooks do it, and at its best.

The usual way: chunks of 2048 pixels and one date, bands to float32 with NaN for no data (the
notebooks' ``to_float``), xarray's arithmetic, ``.odc.write_cog``. At its best: the numbers as
stored, one fused function per chunk, all dates of a composite in a chunk, and a small GDAL cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import odc.geo.xr
import odc.stac
import xarray as xr

from benchmarks.raster.job import ENCODING, MASKED, NDVI_VOID, OFFSET, THREADS, UNIT, Job
from benchmarks.raster.variants import kernels

CHUNK = 2048


def ndvi(job: Job) -> dict[str, Any]:
    ds = _load(job, ["red", "nir"], {"x": CHUNK, "y": CHUNK}).isel(time=0)
    return _write_index(job, _index(_floats(ds.red), _floats(ds.nir)))


def ndvi_best(job: Job) -> dict[str, Any]:
    ds = _load(job, ["red", "nir"], {"x": CHUNK, "y": CHUNK}).isel(time=0)
    index = xr.apply_ufunc(
        kernels.ndvi_stored, ds.red, ds.nir, dask="parallelized", output_dtypes=["int16"]
    )
    return _write(job, index.to_dataset(name="ndvi"), NDVI_VOID)


def median(job: Job) -> dict[str, Any]:
    ds = _load(job, ["red", "nir", "scl"], {"x": CHUNK, "y": CHUNK})
    valid = ~ds.scl.isin(list(MASKED))
    middle = xr.Dataset({band: _floats(ds[band]).where(valid).median("time") for band in BANDS})
    numbers = (middle - OFFSET).round().clip(1, 65535).fillna(0).astype("uint16")
    return _write(job, numbers, 0)


def median_best(job: Job) -> dict[str, Any]:
    edge = job.options.get("best_edge", 1024)
    ds = _load(job, ["red", "nir", "scl"], {"x": edge, "y": edge, "time": -1})
    bands = xr.apply_ufunc(
        kernels.median_block,
        ds.red,
        ds.nir,
        ds.scl,
        input_core_dims=[["time"]] * 3,
        output_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=["uint16"],
        dask_gufunc_kwargs={"output_sizes": {"band": 2}},
    )
    return _write(job, xr.Dataset({b: bands.isel(band=i) for i, b in enumerate(BANDS)}), 0)


def max_ndvi(job: Job) -> dict[str, Any]:
    ds = _load(job, ["red", "nir", "scl"], {"x": CHUNK, "y": CHUNK})
    valid = ~ds.scl.isin(list(MASKED))
    index = _index(_floats(ds.red), _floats(ds.nir)).where(valid)
    filled = index.fillna(-2)
    best = filled.max("time")
    when = xr.DataArray(kernels.days(job.items), dims="time")[filled.argmax("time").compute()]
    stored = (best / UNIT).round().where(best > -2, NDVI_VOID).astype("int16")
    days = when.where(best > -2, NDVI_VOID).astype("int16")
    return _write(job, xr.Dataset({"ndvi": stored, "day": days}), NDVI_VOID)


def max_ndvi_best(job: Job) -> dict[str, Any]:
    edge = job.options.get("best_edge", 1024)
    ds = _load(job, ["red", "nir", "scl"], {"x": edge, "y": edge, "time": -1})
    bands = xr.apply_ufunc(
        _max_block,
        ds.red,
        ds.nir,
        ds.scl,
        kwargs={"days": kernels.days(job.items)},
        input_core_dims=[["time"]] * 3,
        output_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=["int16"],
        dask_gufunc_kwargs={"output_sizes": {"band": 2}},
    )
    both = xr.Dataset({"ndvi": bands.isel(band=0), "day": bands.isel(band=1)})
    return _write(job, both, NDVI_VOID)


BANDS = ("red", "nir")


def _load(job: Job, bands: list[str], chunks: dict[str, int]) -> xr.Dataset:
    odc.stac.configure_rio(**job.options.get("gdal", {}))
    return odc.stac.load(job.items, bands=bands, geobox=job.window, chunks=chunks, groupby="id")


def _floats(band: xr.DataArray) -> xr.DataArray:
    return band.astype("float32").where(band != 0)


def _index(red: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    total = nir + red - 2 * OFFSET
    return ((nir - red) / total).where(total > 0).clip(-1, 1)


def _max_block(red: np.ndarray, nir: np.ndarray, scl: np.ndarray, days: np.ndarray) -> np.ndarray:
    best = np.full(red.shape[:-1], NDVI_VOID, "int16")
    when = np.full_like(best, NDVI_VOID)
    for date, number in enumerate(days):
        index = kernels.ndvi_stored(red[..., date], nir[..., date])
        index[kernels.masked(scl[..., date])] = NDVI_VOID
        better = index > best
        best[better], when[better] = index[better], number
    return np.stack([best, when], axis=-1)


def _write_index(job: Job, index: xr.DataArray) -> dict[str, Any]:
    stored = (index / UNIT).round().fillna(NDVI_VOID).astype("int16")
    return _write(job, stored.to_dataset(name="ndvi"), NDVI_VOID)


def _write(job: Job, ds: xr.Dataset, nodata: int) -> dict[str, Any]:
    """All pixels into memory, then ``.odc.write_cog``."""
    found = {"tasks": len(dict(ds.__dask_graph__()))}
    ds = ds.compute(num_workers=THREADS)
    bands = [ds[name] for name in ds.data_vars]
    image = bands[0] if len(bands) == 1 else xr.concat(bands, dim="band")
    image.odc.write_cog(job.output, overwrite=True, nodata=nodata, num_threads=THREADS, **ENCODING)
    return found
