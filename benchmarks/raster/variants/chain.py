"""The tasks with rsdat's chain."""

from __future__ import annotations

from typing import Any

from benchmarks.raster.job import Job
from rsdat import chain


def ndvi(job: Job) -> dict[str, Any]:
    scenes = chain(job.items, ["red", "nir"], geobox=job.window)
    scenes.index("ndvi").to_cog(job.output, dtype="int16", **_writer(job))
    return {}


def median(job: Job) -> dict[str, Any]:
    scenes = chain(job.items, ["red", "nir"], geobox=job.window)
    masked = scenes.mask_clouds("scl").composite("median")
    masked.to_cog(job.output, dtype="uint16", **_writer(job))
    return {}


def max_ndvi(job: Job) -> dict[str, Any]:
    scenes = chain(job.items, ["red", "nir"], geobox=job.window)
    masked = scenes.mask_clouds("scl").composite("max_ndvi")
    masked.to_cog(job.output, dtype="int16", **_writer(job))
    return {}


def _writer(job: Job) -> dict[str, Any]:
    return {"memory": job.options["memory"]} if "memory" in job.options else {}
