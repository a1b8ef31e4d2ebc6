"""Building a computation of many items and tiles, without computing it."""

from __future__ import annotations

import datetime as dt
import pickle
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pystac
from odc.geo.geobox import GeoBox

from benchmarks.raster.job import MASKED, Job

TILE = 1024


def chain(job: Job) -> dict[str, Any]:
    from rsdat import chain as make

    def build(items: list[pystac.Item], grid: GeoBox) -> Any:
        scenes = make(items, ["red", "nir"], geobox=grid).mask_clouds("scl")
        return scenes.composite("median").to_xarray({"y": TILE, "x": TILE})

    return _measured(job, build)


def odc(job: Job) -> dict[str, Any]:
    import odc.stac

    def build(items: list[pystac.Item], grid: GeoBox) -> Any:
        ds = odc.stac.load(
            items,
            bands=["red", "nir", "scl"],
            geobox=grid,
            chunks={"time": -1, "y": TILE, "x": TILE},
            groupby="id",
        )
        valid = ~ds.scl.isin(list(MASKED))
        return ds[["red", "nir"]].where(valid).median("time").to_dataarray("band")

    return _measured(job, build)


def _measured(job: Job, build: Callable[[list[pystac.Item], GeoBox], Any]) -> dict[str, Any]:
    count, side = job.options["items"], job.options["tiles"]
    items, grid = _many(job.items[0], count, side)
    began = time.perf_counter()
    array = build(items, grid)
    (optimised,) = _optimised(array)
    seconds = time.perf_counter() - began
    graph = dict(optimised)
    whole = len(cloudpickle.dumps(graph))
    sizes = [len(_pickled(task)) for task in list(graph.values())[:: max(1, len(graph) // 500)]]
    return {
        "build s": seconds,
        "tiles": side * side,
        "tasks": len(graph),
        "graph MB": whole / 1e6,
        "graph B/task": whole / len(graph),
        "single task B": float(np.median(sizes)),
    }


def _optimised(array: Any) -> list[Any]:
    import dask

    (done,) = dask.optimize(array)
    return [done.__dask_graph__()]


def _pickled(task: Any) -> bytes:
    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError):
        return cloudpickle.dumps(task)


def _many(item: pystac.Item, count: int, side: int) -> tuple[list[pystac.Item], GeoBox]:
    """Items spread over a grid of tiles; the first is the real one, the others name no files."""
    fields = item.assets["red"].extra_fields
    step, _, west, _, _, north = fields["proj:transform"][:6]
    size = fields["proj:shape"][0]
    from affine import Affine

    grid = GeoBox(
        (side * TILE, side * TILE),
        Affine(step, 0, west, 0, -step, north),
        item.properties["proj:code"],
    )
    reach = max(1, side * TILE - size)
    rng = np.random.default_rng(7)
    found = [item]
    for number in range(1, count):
        one = item.clone()
        one.id = f"item-{number:05d}"
        one.datetime = item.datetime + dt.timedelta(minutes=17 * number)
        right, down = (int(n) // 2 * 2 for n in rng.integers(0, reach, 2))
        for key, asset in one.assets.items():
            place = list(asset.extra_fields["proj:transform"])
            place[2], place[5] = west + right * step, north - down * step
            asset.extra_fields["proj:transform"] = place
            asset.href = f"/absent/{one.id}/{key}.tif"
        found.append(one)
    return found, grid
