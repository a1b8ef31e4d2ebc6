"""Writing the parts of a Zarr store: its metadata once, and the shards of a tile where it is made.

A tile covers whole shards of level 0 and of the first overviews, so that workers write side by side
without a lock; what is coarser is read back from these and halved again, a shard at a time.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import DataError, RsdatError
from rsdat.raster.image import Computed, Image, Span
from rsdat.raster.tiles import place
from rsdat.raster.writers.overviews import halve
from rsdat.raster.writers.workroom import cannot_write, reachable
from rsdat.raster.writers.zarr_conventions import (
    array_attributes,
    coordinates,
    level_attributes,
    root_attributes,
    time_coordinate,
)
from rsdat.raster.writers.zarr_layout import Level
from rsdat.raster.writers.zarr_shards import Encoding, encode
from rsdat.storage import is_remote, scrubbed, shown, storage_options
from rsdat.storage.transfer_places import place_of


@dataclass(frozen=True)
class Shard:
    """A file of the store."""

    key: str
    size: int
    content: bytes | None = None
    """Its bytes, where whoever made it could not reach the store."""


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know to write a tile; small, and picklable."""

    target: str
    """The store's name, for messages."""
    root: str
    """Where it is built."""
    mark: str
    """By which a worker knows that it sees the place where it is built, and not one like it."""
    bands: tuple[str, ...]
    times: int | None
    nodata: float | None
    encoding: Encoding
    levels: tuple[Level, ...]
    multiscales: bool
    resampling: str

    def group(self, level: Level) -> str:
        """The group of a level, as the start of a key."""
        return f"{level.number}/" if self.multiscales else ""

    def extended(self, along: tuple[int, int], times: int) -> tuple[int, ...]:
        """A shape along y and x, with time in front where the image has times."""
        return along if self.times is None else (times, *along)


def metadata(plan: Plan, image: Image, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a store without pixels: its groups and arrays, consolidated, and coordinates.

    By key; the root's own metadata comes last, which is what makes a store of the others.
    """
    import zarr
    from zarr.storage import MemoryStore

    made: dict[str, Any] = {}
    store = MemoryStore(made)
    own = root_attributes(image.geobox, plan.levels, plan.resampling) if plan.multiscales else {}
    top = zarr.create_group(store, zarr_format=3, attributes={**own, **attributes})
    for level in plan.levels:
        grid = level.geobox(image.geobox)
        group = top.create_group(str(level.number)) if plan.multiscales else top
        group.update_attributes(level_attributes(grid))
        _coordinates(group, image, grid)
        for number, band in enumerate(plan.bands):
            _band(group, plan, level, band, array_attributes(image, number))
    _consolidate(store, [str(level.number) for level in plan.levels] if plan.multiscales else [])
    files = {key: value.to_bytes() for key, value in made.items()}
    return {**files, "zarr.json": files.pop("zarr.json")}


def put_metadata(plan: Plan, files: Mapping[str, bytes]) -> None:
    """Write what :func:`metadata` has made, over what is there of it."""
    for key, content in files.items():
        _put(plan.root, key, content)


def _coordinates(group: Any, image: Image, grid: GeoBox) -> None:
    entries = {
        name: (values, attributes, (name,) if values.ndim else ())
        for name, (values, attributes) in coordinates(grid).items()
    }
    if image.times is not None:
        entries["time"] = (*time_coordinate(image.times), ("time",))
    for name, (values, attributes, dimensions) in entries.items():
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype=values.dtype,
            dimension_names=dimensions,
            attributes=attributes,
        )
        array[...] = values


def _band(group: Any, plan: Plan, level: Level, band: str, attributes: dict[str, Any]) -> None:
    times = plan.times or 1
    group.create_array(
        band,
        shape=plan.extended(level.shape, times),
        shards=plan.extended(level.shard, times),
        chunks=plan.extended(level.chunk, 1),
        dtype=plan.encoding.dtype,
        fill_value=plan.encoding.fill,
        compressors=plan.encoding.codecs(),
        filters=[],
        dimension_names=("y", "x") if plan.times is None else ("time", "y", "x"),
        attributes=attributes,
    )


def _consolidate(store: Any, groups: list[str]) -> None:
    """Gather all metadata at the root, and each level's at the level, for opening in one read."""
    import zarr

    with warnings.catch_warnings():
        # zarr warns that consolidated metadata is not in the text of version 3 of the format.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        for path in [*groups, None]:
            zarr.consolidate_metadata(store, path=path)


def write_tile(plan: Plan, span: Span, values: NDArray[Any]) -> tuple[Shard, ...]:
    """Write a tile's shards, at level 0 and at each overview where it covers whole ones.

    Where the store is out of reach their bytes are handed on, for :func:`put`.

    Parameters
    ----------
    span
        The tile in the image.
    values
        (band, y, x) or (time, band, y, x), of the type that is stored.

    Raises
    ------
    DataError
        The tile has another shape or type than the image, or it cannot be written.
    """
    _check(plan, span, values)
    made: list[Shard] = []
    for level in plan.levels:
        if not level.by_tile:
            break
        if level.number:
            values = halve(values, plan.nodata, plan.resampling)
        corner = (span[0].start // level.factor, span[1].start // level.factor)
        made += _shards(plan, level, corner, values)
    if not is_remote(plan.root) and not reachable(str(Path(plan.root).parent), plan.mark):
        return tuple(made)
    return put(plan, span, made)


def write_shard(plan: Plan, level: Level, span: Span, values: NDArray[Any]) -> tuple[Shard, ...]:
    """Write one shard of each band at one level."""
    return put(plan, span, list(_shards(plan, level, (span[0].start, span[1].start), values)))


def put(plan: Plan, span: Span, shards: Sequence[Shard]) -> tuple[Shard, ...]:
    """Write the shards that are not written yet.

    Raises
    ------
    DataError
        The disk or the server refuses.
    """
    try:
        for shard in shards:
            if shard.content is not None:
                _put(plan.root, shard.key, shard.content)
        return tuple(replace(shard, content=None) for shard in shards)
    except RsdatError:
        raise
    except OSError as error:
        cause = error.strerror or str(error)
    # Outside the handler: an error's context might not be picklable, and would not arrive.
    raise refused(plan.target, f"{cause} ({place(span)})")


def refused(target: str, cause: str) -> DataError:
    """What to say when the disk or the server refuses."""
    if not is_remote(target):
        return cannot_write(Path(target), cause)
    return DataError(
        f"{shown(target)} cannot be written: {scrubbed(cause, target)}",
        hint="check the address, the network and your credentials for it, then run again",
    )


def read_halved(plan: Plan, level: Level, span: Span) -> Computed:
    """A part of a level, made of the level before as it was written."""
    import zarr

    finer = plan.levels[level.number - 1]
    window = tuple(
        slice(2 * part.start, min(2 * part.stop, size))
        for part, size in zip(span, finer.shape, strict=True)
    )
    prefix, options = plan.group(finer), storage_options(plan.root) or None
    planes = [
        zarr.open_array(f"{plan.root}/{prefix}{band}", mode="r", storage_options=options)[
            (..., *window)
        ]
        for band in plan.bands
    ]
    values = np.stack(planes, axis=-3)
    return Computed(halve(values, plan.nodata, plan.resampling))


def coarser(plan: Plan, level: Level) -> tuple[Any, Any]:
    """What computes a part of a level that tiles do not write, and what writes it."""
    return partial(read_halved, plan, level), partial(write_shard, plan, level)


def _check(plan: Plan, span: Span, values: NDArray[Any]) -> None:
    lead = (len(plan.bands),) if plan.times is None else (plan.times, len(plan.bands))
    expected = (*lead, *(part.stop - part.start for part in span))
    if values.shape != expected or values.dtype != plan.encoding.dtype:
        raise DataError(
            f"{place(span)}: computed were {values.dtype.name} numbers of shape {values.shape}, "
            f"where the image has {plan.encoding.dtype} of shape {expected}",
            hint="correct the function that computes the image, or what is declared of it",
        )


def _shards(
    plan: Plan, level: Level, corner: tuple[int, int], values: NDArray[Any]
) -> Iterator[Shard]:
    times = plan.times or 1
    shard, chunk = plan.extended(level.shard, times), plan.extended(level.chunk, 1)
    indices = (corner[0] // level.shard[0], corner[1] // level.shard[1])
    number = "/".join(map(str, plan.extended(indices, 0)))
    for index, band in enumerate(plan.bands):
        content = encode(values[..., index, :, :], shard, chunk, plan.encoding)
        if content is not None:
            yield Shard(f"{plan.group(level)}{band}/c/{number}", len(content), content)


def _put(root: str, key: str, data: bytes) -> None:
    """Write a file of the store, there complete or not at all."""
    if is_remote(root):
        found = place_of(root)
        found.fs.pipe_file(f"{found.path}/{key}", data)
        return
    target = Path(root, key)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Outside the store: what a killed worker leaves must not become a part of it.
    temporary = Path(f"{root}-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
