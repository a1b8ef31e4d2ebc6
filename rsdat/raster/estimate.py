"""What a chain would take, before it is begun: bytes to read, tasks, memory, bytes to store."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.raster.chains.sizes import program
from rsdat.raster.image import Image
from rsdat.raster.masks import mask_text
from rsdat.raster.scratch import place
from rsdat.raster.tiles import current_client

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.writers.tiling import Tiling

#: Overviews add a third to what the full resolution takes.
_OVERVIEWS = 4 / 3


@dataclass(frozen=True)
class Estimate:
    """What will be read, computed and written. Printed, it is a short table."""

    items: int
    span: str
    """From when to when the items are."""
    dates: int | None
    """Of the result; None: one image without a time."""
    steps: tuple[str, ...]
    geobox: GeoBox
    bands: tuple[str, ...]
    dtype: str
    source_files: int
    bytes_to_read: int
    measured: bool
    """Whether it is made of the sizes of files, or partly of what such files usually take."""
    tile: tuple[int, int]
    tasks: int
    workers: int
    """Of the Dask cluster; 0: this process computes."""
    threads: int
    """Tiles in work at once, in this process or in each worker."""
    memory_per_tile: int
    memory_of_program: int
    """The libraries, GDAL's cache of blocks and the files that are kept open, at the most."""
    bytes_stored: int
    """An upper bound: with overviews, without compression."""
    outputs: int = 1
    disk_per_tile: int = 0
    """What each thread keeps of the dates on a disk; 0: nothing."""
    scratch: str = ""
    """Where, in words."""

    @property
    def memory_per_worker(self) -> int:
        """Bytes at the most, in this process or in each worker: the program and its tiles."""
        return self.memory_of_program + self.threads * self.memory_per_tile

    def words(self) -> dict[str, Any]:
        """As plain JSON values."""
        box = self.geobox
        return {
            "items": self.items,
            "span": self.span,
            "dates": self.dates,
            "steps": list(self.steps),
            "grid": {
                "crs": crs_words(box),
                "shape": list(box.shape),
                "resolution": abs(box.resolution.x),
                "bounds": list(box.boundingbox.bbox),
            },
            "bands": list(self.bands),
            "dtype": self.dtype,
            "source_files": self.source_files,
            "bytes_to_read": self.bytes_to_read,
            "measured": self.measured,
            "tile": list(self.tile),
            "tasks": self.tasks,
            "workers": self.workers,
            "threads": self.threads,
            "memory_per_worker": self.memory_per_worker,
            "disk_per_worker": self.threads * self.disk_per_tile,
            "bytes_stored": self.bytes_stored,
            "outputs": self.outputs,
        }

    def __str__(self) -> str:
        where = f"{_many(self.workers, 'worker')}, each with " if self.workers else ""
        dates = "" if self.dates is None else f" of {_many(self.dates, 'date')}"
        grid = grid_words(self.geobox) + (", each its own" if self.outputs > 1 else "")
        rows = {
            "items": f"{self.items} ({self.span}), {_many(self.source_files, 'file')} to read",
            "steps": ", ".join(self.steps) or "none",
            "grid": grid,
            "reads": f"{'' if self.measured else 'about '}{size_words(self.bytes_to_read)}",
            "computes": f"{_many(self.tasks, 'task')}, tiles of up to "
            f"{self.tile[0]} × {self.tile[1]} pixels",
            "takes": f"{where}{_many(self.threads, 'thread')}, "
            f"up to {size_words(self.memory_per_worker)} of memory{' each' if where else ''}",
            "keeps": f"up to {size_words(self.threads * self.disk_per_tile)} of the dates on disk"
            f"{' each' if where else ''}, in {self.scratch}",
            "writes": f"{_many(self.outputs, 'output')}{dates}, up to "
            f"{size_words(self.bytes_stored)}: {', '.join(self.bands)} ({self.dtype})",
        }
        if not self.disk_per_tile:
            del rows["keeps"]
        return "\n".join(f"{name:<9} {value}" for name, value in rows.items())


def explain(
    chain: Chain,
    *,
    dtype: str | None = None,
    memory: float | str | None = None,
    client: Any | None = None,
    zarr: bool = False,
    beside: str | None = None,
) -> Estimate:
    """What a chain would take; see :meth:`Chain.explain`.

    ``beside`` is the output's directory; default the current one.
    """
    from rsdat.raster.chains.ends import image_of

    beside = beside or os.getcwd()
    image = image_of(chain, dtype, flat=not zarr)
    client = client or current_client()
    nthreads: Mapping[str, int] = client.nthreads() if client is not None else {}
    cut = (_in_shards if zarr else _in_tiles)(chain, image, memory, client, beside)
    threads, tile = cut.threads, cut.shape
    if client is not None:
        threads = max(nthreads.values(), default=1)
    height, width = image.geobox.shape
    shape = (min(tile[0], height), min(tile[1], width))
    tasks = math.ceil(height / tile[0]) * math.ceil(width / tile[1])
    kept = image.on_disk if cut.on_disk else None
    each = kept.bytes_per_pixel if kept else image.bytes_per_pixel
    pixel = len(image.bands) * len(image.times or (0,)) * np.dtype(image.dtype).itemsize
    reads = to_read(chain)
    return Estimate(
        items=reads.items,
        span=span_words(chain.dates),
        dates=None if image.times is None else len(image.times),
        steps=(
            *(f"mask {mask_text(one.band, one.decide, one.options)}" for one in chain.masks),
            *(step_words(step.words()) for step in chain.steps),
        ),
        geobox=image.geobox,
        bands=image.bands,
        dtype=image.dtype,
        source_files=reads.files,
        bytes_to_read=reads.bytes,
        measured=reads.measured,
        tile=tile,
        tasks=tasks,
        workers=len(nthreads),
        threads=max(1, min(threads, tasks)),
        # Beside what the pixels take while they are computed, a tile's numbers are there twice.
        memory_per_tile=shape[0] * shape[1] * (each + 2 * pixel) + (kept.strip if kept else 0),
        memory_of_program=program(chain.plan),
        bytes_stored=int(height * width * pixel * _OVERVIEWS),
        disk_per_tile=shape[0] * shape[1] * kept.bytes_on_disk if kept else 0,
        scratch=_where(client, beside) if kept else "",
    )


def together(estimates: Sequence[Estimate], of: int) -> Estimate:
    """One estimate for ``of`` outputs, from those of some of them."""
    first, times = estimates[0], of / len(estimates)
    days = sorted(day for one in estimates for day in one.span.split(" to "))
    return replace(
        first,
        items=round(sum(one.items for one in estimates) * times),
        source_files=round(sum(one.source_files for one in estimates) * times),
        bytes_to_read=round(sum(one.bytes_to_read for one in estimates) * times),
        tasks=round(sum(one.tasks for one in estimates) * times),
        bytes_stored=round(sum(one.bytes_stored for one in estimates) * times),
        span=" to ".join(dict.fromkeys((days[0], days[-1]))),
        measured=all(one.measured for one in estimates) and of == len(estimates),
        memory_per_tile=max(one.memory_per_tile for one in estimates),
        disk_per_tile=max(one.disk_per_tile for one in estimates),
        scratch=max(one.scratch for one in estimates),
        threads=max(one.threads for one in estimates),
        outputs=of,
    )


def _in_tiles(
    chain: Chain, image: Image, memory: float | str | None, client: Any | None, beside: str | None
) -> Tiling:
    from rsdat.raster.chains.ends import tiling
    from rsdat.raster.writers.run import tiles

    given: dict[str, Any] = {"tile": None, "memory": None, **tiling(chain, image, memory, client)}
    return tiles(image, client, given["tile"], given["memory"], beside)


def _in_shards(
    chain: Chain, image: Image, memory: float | str | None, client: Any | None, beside: str | None
) -> Tiling:
    from rsdat.raster.chains.ends import tiles_memory
    from rsdat.raster.writers.tiling import Tiling
    from rsdat.raster.writers.zarr_layout import CHUNK, cut

    share = tiles_memory(chain, memory, client)
    found = cut(image, None, CHUNK, True, share, client, beside)
    return Tiling(found.threads, found.levels[0].shard, found.on_disk)


def _where(client: Any | None, beside: str) -> str:
    """Where dates are kept on a disk, in words."""
    if client is not None:
        return "the workers' local directories"
    return place(0, beside) or tempfile.gettempdir()


# --- what is read


@dataclass(frozen=True)
class Reads:
    """How much is read, at the most: of masked or hidden pixels less may be."""

    items: int
    files: int
    bytes: int
    measured: bool


#: Local files that are asked for their size; the others are taken to be like them.
_ASKED = 1000

#: Bytes in a file for each byte of pixels: images, as DEFLATE and ZSTD leave them, and classes.
_TYPICAL = {False: 0.7, True: 0.1}


def to_read(chain: Chain) -> Reads:
    """Bytes that a chain reads: of each file that the grid meets, the part that lies on it."""
    from rsdat.raster.chains.stack import first_headers

    heads, _ = first_headers(chain.sources, skip=chain.request.skip)
    parts = overlaps(chain)
    near = np.flatnonzero(parts > 0)
    shares = np.array([_share(head, chain.geobox) for head in heads])
    sizes, files, measured = _sizes(chain, near.tolist(), heads)
    total = float((sizes * shares * parts[near, None]).sum())
    return Reads(len(near), files, round(total), measured)


def overlaps(chain: Chain) -> NDArray[np.float64]:
    """(item,) which part of each item's extent lies on the grid, and in what it is clipped to."""
    from rsdat.raster.chains.steps import Clip

    plan = chain.plan
    area = plan.geobox.boundingbox
    for step in chain.steps:
        if isinstance(step, Clip):
            area = area & step.geometry.to_crs(plan.geobox.crs).boundingbox
    reach = 4 * max(abs(plan.geobox.resolution.x), abs(plan.geobox.resolution.y))
    left, bottom, right, top = (
        plan.reader.stack.bounds + np.array([reach, reach, -reach, -reach])
    ).T
    turns = (0, -360, 360) if plan.geobox.crs and plan.geobox.crs.geographic else (0,)
    wide = sum(
        (np.minimum(right + turn, area.right) - np.maximum(left + turn, area.left)).clip(0)
        for turn in turns
    )
    high = (np.minimum(top, area.top) - np.maximum(bottom, area.bottom)).clip(0)
    whole = np.maximum((right - left) * (top - bottom), 1e-12)
    return np.asarray(np.minimum(wide * high / whole, 1.0))


def _share(head: Any, geobox: GeoBox) -> float:
    """Which share of a file's bytes the pixels are that are read where all of it is wanted."""
    from rsdat.raster.coordinates import overview_level

    if not head.overviews:
        return 1.0
    pixel = geobox.center_pixel.footprint(head.geobox.crs, npoints=2).area
    own = abs(head.geobox.resolution.x * head.geobox.resolution.y)
    level = overview_level(head.overviews, math.sqrt(pixel / own))
    factor = 1 if level is None else head.overviews[level]
    return float(1 / _OVERVIEWS / factor**2)


def _sizes(
    chain: Chain, near: list[int], heads: Sequence[Any]
) -> tuple[NDArray[np.float64], int, bool]:
    """(near, band) bytes of the files, a file that holds several bands once; and how many."""
    sizes = np.zeros((len(near), len(heads)))
    pixels = np.zeros_like(sizes)
    first = [(row, band) for row in range(len(near)) for band in range(len(heads))]
    first = [(row, band) for row, band in first if _not_before(chain.sources[near[row]], band)]
    step = max(1, len(first) // _ASKED)
    asked = set(first[::step])
    for row, band in first:
        source = chain.sources[near[row]][band]
        declared = source.declared
        height, width = declared.shape if declared else heads[band].geobox.shape
        pixels[row, band] = height * width
        asset = chain.items[near[row]].assets[source.asset]
        size = asset.extra_fields.get("file:size")
        if not isinstance(size, int | float) and (row, band) in asked:
            size = _of_file(source.href)
        sizes[row, band] = size or 0
    known = sizes > 0
    for band, head in enumerate(heads):
        there = known[:, band]
        usual = np.dtype(head.dtype).itemsize * _TYPICAL[chain.sources[0][band].categorical]
        rate = sizes[there, band].sum() / pixels[there, band].sum() if there.any() else usual
        sizes[~there, band] = pixels[~there, band] * rate
    return sizes, len(first), bool((known | (pixels == 0)).all())


def _not_before(row: Sequence[Any], band: int) -> bool:
    return all(row[band].href != one.href for one in row[:band])


def _of_file(href: str) -> int | None:
    try:
        return os.stat(href).st_size
    except (OSError, ValueError):
        return None


# --- words


def grid_words(geobox: GeoBox) -> str:
    """A grid in words."""
    height, width = geobox.shape
    edges = dict.fromkeys(f"{abs(one):.6g}" for one in (geobox.resolution.x, geobox.resolution.y))
    crs, unit = geobox.crs, ""
    if crs is not None:
        unit = "°" if crs.geographic else " m" if "metre" in crs.units else ""
    return f"{crs_words(geobox)}, {height} × {width} pixels of {' × '.join(edges)}{unit}"


def crs_words(geobox: GeoBox) -> str:
    """A CRS by its number, else by its name."""
    if geobox.crs is None:
        return "no CRS"
    return f"EPSG:{geobox.crs.epsg}" if geobox.crs.epsg else str(geobox.crs.proj.name)


def step_words(words: Mapping[str, Any]) -> str:
    """A step in words: ``composite median by month``."""
    from rsdat.raster.indices import INDICES

    if "formula" in words:  # a known index needs none, and one without a name is its own
        name, formula = words["index"], words["formula"]
        told = name in INDICES or name == formula
        rest = {key: of for key, of in words.items() if key not in ("index", "formula")}
        words = {"index": name if told else f"{name} = {formula}", **rest}
    return " ".join(f"{name} {value}" for name, value in words.items())


def span_words(times: NDArray[np.datetime64]) -> str:
    """From when to when, in days."""
    days = times.astype("datetime64[D]")
    return " to ".join(dict.fromkeys((str(days.min()), str(days.max())))) if len(days) else "never"


def size_words(size: float) -> str:
    """Bytes in a unit that leaves few digits."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 100 or unit == "bytes" else f"{size:.2g} {unit}"


def _many(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"
