"""The tasks: which scenes, which grid, which variants, and whose result is the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

#: A small block cache for what reads each block once; the libraries' own default takes 5 % of RAM.
CACHE = {"gdal": {"GDAL_CACHEMAX": 64}}
FLOOR = "rasterio, 2 threads"


@dataclass(frozen=True)
class Variant:
    """One way to do a task: ``module.function`` in ``variants``, and what it is given."""

    label: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    #: Scenes, where it is not all of the task's; compared with the reference of the same number.
    count: int | None = None


@dataclass(frozen=True)
class Task:
    """A row of variants on the same scenes and grid.

    ``window`` is the side, in pixels, of the part in the middle of the first scene that is
    computed (None: all of it). ``server``: the scenes are read from a range server.
    """

    name: str
    title: str
    scenes: str | None
    count: int
    variants: tuple[Variant, ...]
    window: int | None = None
    server: bool = False


def work(variant: str) -> Any:
    """The function of a variant, with its libraries imported."""
    module, function = variant.rsplit(".", 1)
    return getattr(import_module(f"benchmarks.raster.variants.{module}"), function)


def _with_peers(function: str, *more: Variant, best: bool = True) -> tuple[Variant, ...]:
    peers = [
        Variant("odc-stac, the usual way", f"odc.{function}"),
        Variant("odc-stac, at its best", f"odc.{function}_best", CACHE),
        Variant("stackstac, the usual way", f"stackstac.{function}"),
    ]
    if best:
        peers.append(Variant("stackstac, at its best", f"stackstac.{function}_best", CACHE))
    return (
        Variant(FLOOR, f"floor.{function}", CACHE),
        Variant("rsdat chain", f"chain.{function}"),
        *more,
        *peers,
    )


def _counts(*counts: int) -> tuple[Variant, ...]:
    memory = {"memory": 400e6}
    rows = []
    for count in counts:
        rows.append(Variant(f"{FLOOR}, {count} scenes", "floor.median", CACHE, count))
        rows.append(Variant(f"rsdat chain, {count} scenes", "chain.median", memory, count))
    return tuple(rows)


_LOAD = {name: Variant("rsdat load", f"load.{name}") for name in ("ndvi", "median")}

TASKS = {
    task.name: task
    for task in (
        Task(
            "ndvi",
            "NDVI of one scene to a COG, int16, ZSTD-1",
            "one",
            1,
            _with_peers("ndvi", _LOAD["ndvi"]),
        ),
        Task(
            "median",
            "masked median of 12 scenes, red and nir, uint16, ZSTD-1",
            "stack",
            12,
            _with_peers("median", _LOAD["median"]),
        ),
        Task(
            "maxndvi",
            "max-NDVI with its date, 12 scenes of two UTM zones",
            "zones",
            12,
            _with_peers("max_ndvi", best=False),
        ),
        Task(
            "dates",
            "max-NDVI with its date: memory over the number of scenes",
            "zones",
            24,
            tuple(
                Variant(f"rsdat chain, {count} scenes", "chain.max_ndvi", {}, count)
                for count in (6, 12, 24)
            ),
        ),
        Task(
            "hundred",
            "masked median of up to 100 scenes within 400 MB",
            "hundred",
            100,
            _counts(25, 50, 100),
        ),
        Task(
            "build",
            "building the computation for many items and tiles",
            "one",
            1,
            (
                Variant("rsdat chain", "building.chain", {"items": 10_000, "tiles": 100}),
                Variant("odc-stac", "building.odc", {"items": 100, "tiles": 30}),
            ),
        ),
        Task(
            "http-ndvi",
            "NDVI of 2048² of one scene, 50 ms a request",
            "one",
            1,
            _with_peers("ndvi", _LOAD["ndvi"]),
            window=2048,
            server=True,
        ),
        Task(
            "http-median",
            "masked median of 12 scenes, 1024², 50 ms a request",
            "stack",
            12,
            _with_peers("median", _LOAD["median"]),
            window=1024,
            server=True,
        ),
    )
}
