"""What a chain ends in: an xarray object on Dask, an image for the writers, a picture."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.config.units import parse_memory
from rsdat.errors import ConfigError
from rsdat.raster.chains.composites import Composite, Mosaic
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.planning import announced
from rsdat.raster.chains.sizes import (
    MEMORY,
    USUAL,
    blocks_of,
    bytes_per_pixel,
    cut,
    dates_of,
    far,
    memory_of_tiles,
    takes,
    tile_edge,
)
from rsdat.raster.chains.stack import first_headers
from rsdat.raster.chains.steps import Apply, Clip
from rsdat.raster.chains.water import FREQUENCY_BANDS, WaterMask
from rsdat.raster.encoding import Encoding, encoding
from rsdat.raster.grids import asked_chunks
from rsdat.raster.handles import version
from rsdat.raster.image import Computed, Image, OnDisk, Span
from rsdat.raster.kernels import stacks
from rsdat.raster.provenance import Beside, check_free, finish
from rsdat.raster.scratch import Scratch
from rsdat.raster.skips import warn_of
from rsdat.raster.tiles import cores
from rsdat.storage import is_remote

if TYPE_CHECKING:
    import xarray as xr

    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.files import Header
    from rsdat.raster.writers.written import Written

Array = NDArray[Any]


def image_of(
    chain: Chain,
    dtype: str | None = None,
    scale: float | Mapping[str, float] | None = None,
    nodata: float | None = None,
    *,
    flat: bool = False,
) -> Image:
    """A chain as an image for a writer, its numbers stored as asked for.

    ``flat`` leaves out the time axis of a single date.
    """
    times = chain.times
    if flat and times is not None and len(times) == 1:
        times = None
    plan = replace(chain.plan, flat=times is None)
    if dtype is not None or scale is not None or nodata is not None:
        plan = plan.stored_as(_asked(chain, plan, dtype, scale, nodata))
    head = _first_header(chain)
    stored = plan.encoding
    return Image(
        geobox=plan.geobox,
        bands=plan.axis.bands,
        dtype=stored.dtype,
        nodata=stored.nodata,
        scales=stored.units,
        offsets=(0.0,) * len(stored.units),
        pixels=plan.pixels,
        token=token(chain, plan),
        times=None if times is None else tuple(times),
        blocks=blocks_of(plan, head) or (USUAL, USUAL),
        waits=far(plan),
        inputs=partial(inputs_of, plan) if plan.reader.skip else None,
        bytes_per_pixel=bytes_per_pixel(plan, head.dtype),
        on_disk=_on_disk(plan, head.dtype),
    )


def _on_disk(plan: Plan, dtype: str) -> OnDisk | None:
    """How a chain is computed with the dates of its composites on a disk."""
    if not any(isinstance(step, Composite) and stacks(step.method) for step in plan.steps):
        return None
    needed = takes(plan, dtype, scratch=True)
    return OnDisk(partial(_with_scratch, plan), needed.memory, needed.strip, needed.disk)


def _with_scratch(plan: Plan, beside: str | None) -> Callable[[Span], Computed]:
    scratch = Scratch(beside)
    steps = tuple(
        replace(step, scratch=scratch, depth=dates_of(step, plan))
        if isinstance(step, Composite) and stacks(step.method)
        else step
        for step in plan.steps
    )
    return replace(plan, steps=steps).pixels


def inputs_of(plan: Plan, span: Span) -> list[str]:
    """Ids of the items that can have pixels in a tile."""
    stack = plan.reader.stack
    return [stack.sources[one][0].item for one in stack.meeting(plan.geobox[span])]


def _asked(
    chain: Chain,
    plan: Plan,
    dtype: str | None,
    scale: float | Mapping[str, float] | None,
    nodata: float | None,
) -> Encoding:
    """The encoding asked for; integers that a step has stored stay so where nothing is said."""
    bands, own = plan.axis.bands, plan.encoding
    if own.plain:
        return encoding(bands, dtype, scale, nodata, whole=_whole(chain))
    if scale is None and nodata is None and dtype in (None, own.dtype):
        return own
    whole = frozenset(bands) if scale is None else _whole(chain)
    return encoding(bands, dtype or own.dtype, scale, nodata, whole=whole)


def _first_header(chain: Chain) -> Header:
    heads, _ = first_headers(chain.sources, skip=chain.request.skip)
    return heads[0]


def _whole(chain: Chain) -> frozenset[str]:
    """Bands of whole numbers: counts, days and classes."""
    last = [step for step in chain.steps if isinstance(step, Composite)][-1:]
    if last and last[0].method == "count":
        return frozenset(chain.bands)
    if chain.steps and isinstance(chain.steps[-1], WaterMask):
        return frozenset(chain.bands)
    if announced(chain.steps) is not None:
        return frozenset(chain.bands)
    classes = {
        band
        for band, one in zip(chain.source_bands, chain.sources[0], strict=False)
        if one.categorical
    }
    return frozenset(classes | {"date", FREQUENCY_BANDS[1]})


def token(chain: Chain, plan: Plan) -> str:
    """The same text for the same computation, in every process: what a resumed run compares.

    A local file that was written anew makes it another computation.
    """
    from dask.base import tokenize

    hashed = hashlib.sha256()
    for row in chain.sources:
        versions = [None if is_remote(one.href) else version(one.href) for one in row]
        hashed.update(repr((row, versions)).encode())
    hashed.update(repr((chain.words(), plan.geobox, plan.encoding)).encode())
    if chain.times is not None:
        hashed.update(chain.times.tobytes())
    for step in chain.steps:
        if isinstance(step, Apply):
            hashed.update(_code(step.function))
            parameters = tokenize(sorted(step.parameters.items()))  # arrays to their last number
            hashed.update(repr((step.bands, step.halo, step.dtype, parameters)).encode())
        elif isinstance(step, Composite | Mosaic):
            hashed.update(repr(step.groups).encode())
        elif isinstance(step, Clip):  # its words are only where it lies
            hashed.update(step.geometry.geom.wkb + str(step.geometry.crs).encode())
        elif isinstance(step, WaterMask):
            hashed.update(repr(step.limits).encode())
    for mask in chain.masks:
        hashed.update(_code(mask.decide) + repr(mask.options).encode())
    return hashed.hexdigest()


def _code(function: Any) -> bytes:
    """What a function does: its text, its instructions, and the values that it has taken along."""
    import cloudpickle

    try:
        text = inspect.getsource(function)
        code, cells = function.__code__, function.__closure__ or ()
        taken = (
            [cell.cell_contents for cell in cells],
            function.__defaults__,
            function.__kwdefaults__,
        )
        names = code.co_names, [c for c in code.co_consts if isinstance(c, str | int | float)]
        return f"{text}{names}".encode() + bytes(code.co_code) + bytes(cloudpickle.dumps(taken))
    except (OSError, TypeError, AttributeError, ValueError):  # of a prompt, a callable object
        return bytes(cloudpickle.dumps(function))


def to_xarray(chain: Chain, chunks: Mapping[str, int] | int | None = None) -> xr.DataArray:
    """A chain as a lazy DataArray: (band, y, x) or (time, band, y, x), one task a tile."""
    import dask.array as da
    import xarray as xr
    from dask._task_spec import Task, TaskRef
    from dask.highlevelgraph import HighLevelGraph
    from odc.geo.xr import xr_coords

    image = image_of(chain)
    plan = chain.plan
    rows, columns = _chunks(chunks, chain, image)
    leading = (len(image.bands),) if image.times is None else (len(image.times), len(image.bands))
    name, shared = f"chain-{image.token[:16]}", f"plan-{image.token[:16]}"
    graph: dict[Any, Any] = {shared: plan}
    for i, row in enumerate(_spans(rows)):
        for j, column in enumerate(_spans(columns)):
            key = (name, *(0 for _ in leading), i, j)
            graph[key] = Task(key, block, TaskRef(shared), *row, *column)
    layer = HighLevelGraph.from_collections(name, graph)
    sizes = (*((size,) for size in leading), rows, columns)
    data = da.Array(layer, name, sizes, dtype=image.dtype)
    coordinates: dict[Any, Any] = dict(xr_coords(image.geobox, dims=("y", "x")))
    coordinates["band"] = list(image.bands)
    dims: tuple[str, ...] = ("band", "y", "x")
    if image.times is not None:
        coordinates["time"] = ("time", np.array(image.times))
        dims = ("time", *dims)
    attributes = {"nodata": image.nodata, "grid_mapping": "spatial_ref"}
    return xr.DataArray(data, coordinates, dims, attrs=attributes)


#: Sources that were missing from a tile of a plan, and of which this process has warned.
_TOLD: WeakKeyDictionary[Plan, set[tuple[str, str]]] = WeakKeyDictionary()


def block(plan: Plan, top: int, bottom: int, left: int, right: int) -> Array:
    """The pixels of one tile: what a Dask task of :func:`to_xarray` does."""
    computed = plan.pixels((slice(top, bottom), slice(left, right)))
    if computed.skipped:
        told = _TOLD.setdefault(plan, set())
        new = [one for one in computed.skipped if (one.item, one.asset) not in told]
        told.update((one.item, one.asset) for one in new)
        warn_of(new)
    return computed.values


def _chunks(
    chunks: Mapping[str, int] | int | None, chain: Chain, image: Image
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    edge = usual_tile(chain, image)
    asked = asked_chunks(chunks, ("y", "x"))
    cut = []
    for name, size in zip(("y", "x"), image.geobox.shape, strict=True):
        step = asked.get(name) or edge
        step = size if step == -1 else int(step)
        cut.append((*([step] * (size // step)), *([size % step] if size % step else [])))
    return cut[0], cut[1]


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    ends = np.cumsum(sizes).tolist()
    return [(end - size, end) for size, end in zip(sizes, ends, strict=True)]


@dataclass(frozen=True)
class Stored:
    """How numbers are stored, as asked for."""

    dtype: str | None
    scale: float | Mapping[str, float] | None
    nodata: float | None


def to_cog(
    chain: Chain,
    path: str | os.PathLike[str],
    stored: Stored,
    beside: Beside,
    memory: float | str | None,
    tile: int | tuple[int, int] | None,
    options: Mapping[str, Any],
) -> Written:
    """A chain as a cloud optimised GeoTIFF, ``beside`` it what is wanted there."""
    from rsdat.raster.cog import write_image

    def write(image: Image) -> Written:
        client = options.get("client")
        cut = tiling(chain, image, memory, client) if tile is None else {"tile": tile}
        return write_image(image, path, **cut, **options)

    return _written(chain, path, stored, beside, write, flat=True)


def to_zarr(
    chain: Chain,
    store: str | os.PathLike[str],
    stored: Stored,
    beside: Beside,
    memory: float | str | None,
    options: Mapping[str, Any],
) -> Written:
    """A chain as a Zarr store, ``beside`` it what is wanted there."""
    from rsdat.raster.writers.zarr import write_image

    def write(image: Image) -> Written:
        share = tiles_memory(chain, memory, options["client"])
        return write_image(image, store, memory=share, **options)

    return _written(chain, store, stored, beside, write, flat=False)


def _written(
    chain: Chain,
    place: str | os.PathLike[str],
    stored: Stored,
    beside: Beside,
    write: Callable[[Image], Written],
    *,
    flat: bool,
) -> Written:
    check_free(chain.items, place, beside)
    image = image_of(chain, stored.dtype, stored.scale, stored.nodata, flat=flat)
    return finish(chain, image, write(image), beside)


def tiling(
    chain: Chain, image: Image, memory: float | str | None, client: Any | None
) -> dict[str, Any]:
    """How the writer of COGs is to cut a chain: by the memory named, else as usual.

    Where a usual tile would cut the blocks of its sources because of its many dates, the usual
    memory is named, so that they go to a disk.
    """
    from rsdat.raster.writers.tiling import better_on_disk

    if memory is not None:
        return {"memory": tiles_memory(chain, memory, client)}
    edge = usual_tile(chain, image)
    if not better_on_disk(image, edge):
        return {"tile": edge}
    return {"memory": MEMORY * (1 if client is not None else cores())}


def tiles_memory(chain: Chain, memory: float | str | None, client: Any | None) -> int | None:
    """Bytes that tiles may take: of this process's memory what its program leaves.

    With a client the memory named is that of the tiles alone, in each thread of a worker.

    Raises
    ------
    ConfigError
        The memory is no size.
    """
    size = bytes_of(memory)
    return size if size is None or client is not None else memory_of_tiles(chain.plan, size)


def bytes_of(memory: float | str | None) -> int | None:
    """Bytes of a number, or of a text such as ``2GB``; None of None.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if memory is None:
        return None
    try:
        return parse_memory(memory if isinstance(memory, str) else int(memory))
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"memory {memory!r} is no size", hint="give bytes, as 2e9, or a text such as 2GB"
        ) from None


def usual_tile(chain: Chain, image: Image) -> int:
    """Edge of the tiles of a chain where no memory is named."""
    plan = chain.plan
    head = _first_header(chain)
    # A block at the edge of a tile is fetched again for the neighbour: from afar, larger tiles.
    memory = 2 * MEMORY if image.waits else None
    again = cut(plan, head) > 0
    return tile_edge(image.bytes_per_pixel, blocks_of(plan, head), memory, again=again)


def coarse(geobox: GeoBox, longest: int) -> GeoBox:
    """The same place with so many pixels along its longer edge, or as it is."""
    factor = max(geobox.shape) / longest
    return geobox.zoom_out(factor) if factor > 1 else geobox
