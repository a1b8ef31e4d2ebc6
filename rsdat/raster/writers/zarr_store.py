"""Writing the parts of a Zarr store: its metadata once, and the shards of a tile where it is made.

A tile covers whole shards of level 0 and of the first overviews, so that workers write side by side
without a lock; what is coarser is read back from these and halved again, a shard at a time.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import DataError
from rsdat.raster.image import Computed, Image, Span
from rsdat.raster.tiles import place
from rsdat.raster.writers.overviews import halve
from rsdat.raster.writers.zarr_conventions import (
    array_attributes,
    coordinates,
    level_attributes,
    root_attributes,
    time_coordinate,
)
from rsdat.raster.writers.zarr_layout import Level
from rsdat.raster.writers.zarr_shards import Encoding, encode
from rsdat.storage import is_remote, shown

#: Keys and sizes (bytes) of the files that were written.
Files = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know to write a tile; small, and picklable."""

    root: str
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


def make_store(plan: Plan, image: Image, attributes: Mapping[str, Any]) -> None:
    """Write the metadata of all groups and arrays, and the coordinates; consolidated.

    The bands have no pixels yet.
    """
    import zarr

    own = root_attributes(image.geobox, plan.levels, plan.resampling)
    attributes = {**(own if plan.multiscales else {}), **attributes}
    top = zarr.open_group(plan.root, mode="w-", zarr_format=3, attributes=attributes)
    for level in plan.levels:
        grid = level.geobox(image.geobox)
        group = top.create_group(str(level.number)) if plan.multiscales else top
        group.update_attributes(level_attributes(grid))
        _coordinates(group, image, grid)
        for number, band in enumerate(plan.bands):
            _band(group, plan, level, band, array_attributes(image, number))
    consolidate(plan)


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


def consolidate(plan: Plan) -> None:
    """Gather all metadata at the root, and each level's at the level, for opening in one read."""
    import zarr

    groups = [str(level.number) for level in plan.levels] if plan.multiscales else []
    with warnings.catch_warnings():
        # zarr warns that consolidated metadata is not in the text of version 3 of the format.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        for path in [*groups, None]:
            zarr.consolidate_metadata(plan.root, path=path)


def write_tile(plan: Plan, span: Span, values: NDArray[Any]) -> Files:
    """Write a tile's shards, at level 0 and at each overview where it covers whole ones.

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
    written: list[tuple[str, int]] = []
    with _writing(plan, span):
        for level in plan.levels:
            if not level.by_tile:
                break
            if level.number:
                values = halve(values, plan.nodata, plan.resampling)
            corner = (span[0].start // level.factor, span[1].start // level.factor)
            written += _write_shards(plan, level, corner, values)
    return tuple(written)


def write_shard(plan: Plan, level: Level, span: Span, values: NDArray[Any]) -> Files:
    """Write one shard of each band at one level; otherwise as :func:`write_tile`."""
    with _writing(plan, span):
        return _write_shards(plan, level, (span[0].start, span[1].start), values)


def read_halved(plan: Plan, level: Level, span: Span) -> Computed:
    """A part of a level, made of the level before as it was written."""
    import zarr

    finer = plan.levels[level.number - 1]
    window = tuple(
        slice(2 * part.start, min(2 * part.stop, size))
        for part, size in zip(span, finer.shape, strict=True)
    )
    prefix = plan.group(finer)
    planes = [
        zarr.open_array(f"{plan.root}/{prefix}{band}", mode="r")[(..., *window)]
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


def _write_shards(plan: Plan, level: Level, corner: tuple[int, int], values: NDArray[Any]) -> Files:
    times = plan.times or 1
    shard, chunk = plan.extended(level.shard, times), plan.extended(level.chunk, 1)
    indices = (corner[0] // level.shard[0], corner[1] // level.shard[1])
    written = []
    for number, band in enumerate(plan.bands):
        data = encode(values[..., number, :, :], shard, chunk, plan.encoding)
        if data is not None:
            place_in = "/".join(map(str, plan.extended(indices, 0)))
            key = f"{plan.group(level)}{band}/c/{place_in}"
            _put(plan.root, key, data)
            written.append((key, len(data)))
    return tuple(written)


def _put(root: str, key: str, data: bytes) -> None:
    """Write a file of the store, there complete or not at all."""
    if is_remote(root):
        import fsspec

        filesystem, path = fsspec.url_to_fs(root)
        filesystem.pipe_file(f"{path}/{key}", data)
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


@contextmanager
def _writing(plan: Plan, span: Span) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        message = f"{place(span)} cannot be written to {shown(plan.root)}: {cause}"
    else:
        return
    # Outside the handler: an error's context might not be picklable, and would not arrive.
    raise DataError(
        message, hint="make room there, or check its permissions; then run again to go on"
    )
