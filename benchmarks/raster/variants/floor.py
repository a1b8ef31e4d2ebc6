"""The floor: loops over rasterio in two threads, with nothing between the pixels and numpy.

A thread has its own datasets and reads windows at the edges of the blocks; a lock is held for the
writes. Plain tiled GeoTIFF, no overviews.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from benchmarks.raster.job import ENCODING, NDVI_VOID, THREADS, Job
from benchmarks.raster.variants import kernels

Array = NDArray[Any]
Read = Callable[[Any, str, Window], Array]


def ndvi(job: Job) -> dict[str, Any]:
    (item,) = job.items

    def compute(read: Read, window: Window) -> Array:
        return kernels.ndvi_stored(read(item, "red", window), read(item, "nir", window))[None]

    return _loop(
        job,
        compute,
        edge=job.options.get("edge", 2048),
        bands=("ndvi",),
        dtype="int16",
        nodata=NDVI_VOID,
    )


def median(job: Job) -> dict[str, Any]:
    def dates(read: Read, window: Window) -> Iterator[tuple[Array, Array]]:
        for item in job.items:
            invalid = kernels.masked(read(item, "scl", window))
            if not invalid.all():
                yield np.stack([read(item, band, window) for band in ("red", "nir")]), invalid

    def compute(read: Read, window: Window) -> Array:
        return kernels.median_stored(dates(read, window), (window.height, window.width))

    return _loop(
        job,
        compute,
        edge=job.options.get("edge", 1024),
        bands=("red", "nir"),
        dtype="uint16",
        nodata=0,
    )


def max_ndvi(job: Job) -> dict[str, Any]:
    def compute(read: Read, window: Window) -> Array:
        best = np.full((window.height, window.width), NDVI_VOID, "int16")
        when = np.full_like(best, NDVI_VOID)
        for item in job.items:
            invalid = kernels.masked(read(item, "scl", window))
            if invalid.all():
                continue
            index = kernels.ndvi_stored(read(item, "red", window), read(item, "nir", window))
            index[invalid] = NDVI_VOID
            better = index > best
            best[better] = index[better]
            when[better] = kernels.day(item)
        return np.stack([best, when])

    return _loop(job, compute, edge=1024, bands=("ndvi", "date"), dtype="int16", nodata=NDVI_VOID)


def _loop(
    job: Job,
    compute: Callable[[Read, Window], Array],
    *,
    edge: int,
    bands: tuple[str, ...],
    dtype: str,
    nodata: int,
) -> dict[str, Any]:
    own, lock = threading.local(), threading.Lock()
    opened: list[Any] = []

    def read(item: Any, band: str, window: Window) -> Array:
        sources = own.__dict__.setdefault("sources", {})
        key = (item.id, band)
        if key not in sources:
            sources[key] = _Source(item.assets[band].href, job.window)
            opened.append(sources[key])
        return sources[key].read(window)

    profile = {
        "driver": "GTiff",
        "dtype": dtype,
        "count": len(bands),
        "height": job.window.height,
        "width": job.window.width,
        "crs": job.window.crs.to_wkt(),
        "transform": job.window.transform,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "interleave": "band",
        **ENCODING,
        **job.options.get("creation", {}),
    }

    with rasterio.Env(**job.options.get("gdal", {})):
        with rasterio.open(job.output, "w", **profile) as target:
            target.descriptions = bands

            def work(window: Window) -> None:
                with rasterio.Env(**job.options.get("gdal", {})):
                    values = compute(read, window)
                    with lock:
                        target.write(values, window=window)

            with ThreadPoolExecutor(THREADS) as pool:
                for _ in pool.map(work, _windows(job, edge)):
                    pass
        for source in opened:
            source.close()
    return {}


class _Source:
    """One band of one item on the grid of the result."""

    def __init__(self, href: str, grid: Any) -> None:
        self._file = rasterio.open(href)
        self._warped = None
        self._step = round(abs(self._file.transform.a / grid.transform.a))
        if self._file.crs != rasterio.crs.CRS.from_user_input(grid.crs.to_wkt()):
            self._warped = WarpedVRT(
                self._file,
                crs=grid.crs.to_wkt(),
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=Resampling.nearest,
                # GDAL's own 1/8 pixel picks other neighbours in places.
                tolerance=1e-4,
            )
            return
        column, row = ~self._file.transform * (grid.transform.c, grid.transform.f)
        self._column, self._row = round(column * self._step), round(row * self._step)

    def read(self, window: Window) -> Array:
        if self._warped is not None:
            return self._warped.read(1, window=window)
        s = self._step
        there = Window(
            (self._column + window.col_off) // s,
            (self._row + window.row_off) // s,
            window.width // s,
            window.height // s,
        )
        inside = there.col_off >= 0 and there.row_off >= 0
        # With `fill_value`, rasterio reads the mask as well, and each block is decoded twice.
        values = self._file.read(1, window=there, boundless=not inside)
        return values.repeat(s, 0).repeat(s, 1) if s > 1 else values

    def close(self) -> None:
        if self._warped is not None:
            self._warped.close()
        self._file.close()


def _windows(job: Job, edge: int) -> Iterator[Window]:
    height, width = job.window.shape
    for row in range(0, height, edge):
        for column in range(0, width, edge):
            yield Window(column, row, min(edge, width - column), min(edge, height - row))
