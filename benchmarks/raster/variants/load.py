"""The tasks with rsdat's plain xarray door: load, mask_clouds, ndvi, composite, write_cog."""

from __future__ import annotations

from typing import Any

from benchmarks.raster.job import Job
from rsdat import composite, load, mask_clouds, write_cog
from rsdat import ndvi as index


def ndvi(job: Job) -> dict[str, Any]:
    ds = load(job.items, ["red", "nir"], geobox=job.window)
    return _write(job, index(ds), "int16", -32768)


def median(job: Job) -> dict[str, Any]:
    edge = job.options.get("best_edge", 1024)
    ds = load(
        job.items,
        ["red", "nir", "scl"],
        geobox=job.window,
        chunks={"time": -1, "y": edge, "x": edge},
    )
    return _write(job, composite(mask_clouds(ds), "median"), "uint16", 0)


def _write(job: Job, data: Any, dtype: str, nodata: int) -> dict[str, Any]:
    found = {"tasks": len(dict(data.__dask_graph__()))}
    write_cog(data, job.output, dtype=dtype, nodata=nodata)
    return found
