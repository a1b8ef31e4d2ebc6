"""``write_zarr``: an image as a sharded, multiscale Zarr v3 store, tile by tile, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from rsdat.errors import ConfigError, DataError
from rsdat.raster import tiles
from rsdat.raster.image import Image, Skipped, Span
from rsdat.raster.progress import Progress, Report
from rsdat.raster.writers.overviews import check_method, usual_method
from rsdat.raster.writers.zarr_layout import Level, levels, shard_shape, spans
from rsdat.raster.writers.zarr_parts import Finished, LocalParts, local_parts
from rsdat.raster.writers.zarr_remote import RemoteParts, remote_parts
from rsdat.raster.writers.zarr_shards import Encoding
from rsdat.raster.writers.zarr_store import Files, Plan, coarser, make_store, write_tile
from rsdat.storage import absolute, is_remote, shown

#: Part of the fingerprint: a store begun by another layout is not gone on with.
_LAYOUT = 1
_TAKEN = ("x", "y", "time", "spatial_ref")


@dataclass(frozen=True)
class WrittenStore:
    """What was written: where, how much of it in this run, and what had to be left out."""

    store: str
    tiles: int
    computed: int
    """Tiles computed in this run; the others were there from an interrupted one."""
    levels: int
    skipped: tuple[Skipped, ...]


def write_image(
    image: Image,
    store: str | os.PathLike[str],
    *,
    shard: int | tuple[int, int] | None = None,
    chunk: int = 512,
    compress: str = "zstd",
    level: int = 1,
    multiscales: bool = True,
    resampling: str | None = None,
    progress: Report | None = None,
    client: Any | None = None,
    resume: bool = True,
    attrs: Mapping[str, Any] | None = None,
) -> WrittenStore:
    """Compute an image tile by tile and write it as a Zarr v3 store.

    Each band is an array (y, x), or (time, y, x) where the image has times, of the numbers that the
    image stores; xarray makes physical values of them, NaN where there is no data. With
    ``multiscales`` the root has a group for each level: ``xr.open_zarr(store, group="0")`` is the
    image, ``"1"`` has half its resolution, and ``xr.open_datatree(store)`` opens all. Without, the
    bands lie at the root: ``xr.open_zarr(store)``.

    On a local or shared file system the store is built beside its name (``.NAME.parts``) and
    appears when it is complete; an interrupted run is gone on with by the same call. At a remote
    address nothing can be renamed: the store is built in place, its attribute ``rsdat:complete`` is
    false until the end, and what is there already is not replaced.

    Parameters
    ----------
    image
        What to compute, tile by tile.
    store
        Path or address of the store.
    shard
        Edge of a file's pixels, or (rows, columns): a multiple of ``chunk``. It is also the tile
        that is computed at once. Default up to 2048, less where a pixel takes much memory.
    chunk
        Edge of the pixels that a reader decodes at once.
    compress
        ``zstd`` or ``lz4`` (with a byte shuffle, as Blosc does it), ``gzip`` or ``none``.
    level
        Of the compression, 1 (fast) to 9 (small).
    multiscales
        Whether to write overviews, each of half the resolution, down to one chunk.
    resampling
        How they are made, ``average`` or ``nearest``; default ``average`` for floats and scaled
        integers, ``nearest`` for other integers, which may be classes.
    progress
        Called with a :class:`~rsdat.raster.progress.Progress` after each tile.
    client
        A Dask client to compute on; default the current one, else threads of this process.
    resume
        Whether to go on with what an interrupted run of the same image has left.
    attrs
        Further attributes of the root.

    Raises
    ------
    ConfigError
        The store would replace something that is none, or an option is not possible.
    DataError
        A tile cannot be computed or written, or another process writes the same store.
    """
    check_method(resampling or "average")
    _check_bands(image)
    encoding = Encoding(image.dtype, _fill(image), compress, level)
    cut = levels(
        image.geobox.shape, shard_shape(image, shard, chunk), chunk, multiscales=multiscales
    )
    place = absolute(store)
    plan = _plan(image, place, encoding, cut, multiscales, resampling)
    with _parts(place, _fingerprint(image, plan)) as parts:
        plan = replace(plan, root=parts.root)
        finished = parts.finished() if resume else {}
        if not finished:
            parts.clear()
            make_store(plan, image, {**(attrs or {}), **parts.attributes})
        client = client or tiles.current_client()
        computed = _write_tiles(plan, image, parts, finished, client, progress)
        _write_rest(plan, client)
        parts.publish()
    skipped = tuple(entry for tile in finished.values() for entry in tile.skipped)
    return WrittenStore(place, len(finished), computed, len(plan.levels), skipped)


def _check_bands(image: Image) -> None:
    for band in image.bands:
        if not band or "/" in band or band.startswith(("_", ".")) or band in _TAKEN:
            raise ConfigError(
                f"band {band!r} cannot be a variable of a Zarr store",
                hint="rename it: letters, digits, - and _ are fine",
            )
    if len(set(image.bands)) < len(image.bands):
        raise ConfigError(
            f"bands have the same name: {', '.join(image.bands)}", hint="rename one of them"
        )


def _fill(image: Image) -> float:
    return 0.0 if image.nodata is None else image.nodata


def _plan(
    image: Image,
    root: str,
    encoding: Encoding,
    cut: tuple[Level, ...],
    multiscales: bool,
    resampling: str | None,
) -> Plan:
    return Plan(
        root=root,
        bands=image.bands,
        times=None if image.times is None else len(image.times),
        nodata=image.nodata,
        encoding=encoding,
        levels=cut,
        multiscales=multiscales,
        resampling=resampling or usual_method(image.dtype, image.scales),
    )


def _fingerprint(image: Image, plan: Plan) -> str:
    """The same for the same pixels in the same layout; paths do not count."""
    grid = image.geobox
    what = [
        _LAYOUT,
        image.token,
        [list(grid.shape), list(grid.transform)[:6], grid.crs.to_wkt()],
        [image.bands, image.dtype, repr(image.nodata), image.scales, image.offsets],
        [str(time) for time in image.times or ()],
        repr(replace(plan, root="")),
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


@contextmanager
def _parts(place: str, run: str) -> Iterator[LocalParts | RemoteParts]:
    """The store's parts; what the file system says goes on as an error of ours."""
    try:
        if is_remote(place):
            yield remote_parts(place, run)
        else:
            with local_parts(Path(place), run) as parts:
                yield parts
    except OSError as error:
        raise DataError(
            f"{shown(place)} cannot be written: {error.strerror or error}", hint=_room(place)
        ) from error


def _room(place: str) -> str:
    directory = Path(place).parent
    if is_remote(place) or not directory.is_dir():
        return "check the address, or choose another place for the store"
    free = shutil.disk_usage(directory).free / 1e6
    return f"{free:.0f} MB are free there: make room, or choose another place; then run again"


def _write_tiles(
    plan: Plan,
    image: Image,
    parts: LocalParts | RemoteParts,
    finished: dict[str, Finished],
    client: Any | None,
    report: Report | None,
) -> int:
    """Compute the tiles that are not there yet; how many these were."""
    shard = plan.levels[0].shard
    every = list(spans(image.geobox.shape, shard))
    missing = [span for span in every if _name(span) not in finished]
    kept, size, begin = len(finished), 0, time.monotonic()
    work = tiles.compute(_in_tiles(image.pixels, shard), missing, partial(write_tile, plan), client)
    # Closed at once when something goes wrong here: tiles in flight are then given up.
    with closing(cast("Generator[tiles.Done[Files]]", work)):
        for done in work:
            tile = finished[_name(done.span)] = Finished(done.result, done.skipped)
            parts.mark(_name(done.span), tile)
            size += _bytes(plan, done.span)
            if report:
                seconds = time.monotonic() - begin
                report(Progress(len(finished), len(every), size, seconds, kept))
    return len(missing)


def _bytes(plan: Plan, span: Span) -> int:
    pixels = (span[0].stop - span[0].start) * (span[1].stop - span[1].start)
    numbers: int = pixels * len(plan.bands) * (plan.times or 1)
    return numbers * np.dtype(plan.encoding.dtype).itemsize


def _write_rest(plan: Plan, client: Any | None) -> None:
    """The levels that are too coarse for tiles, each made of the one before."""
    for level in plan.levels:
        if not level.by_tile:
            pixels, finish = coarser(plan, level)
            for _ in tiles.compute(pixels, list(level.spans()), finish, client):
                pass


def _name(span: Span) -> str:
    return f"{span[0].start}-{span[1].start}"


def _in_tiles(pixels: Any, shard: tuple[int, int]) -> Any:
    """Pixels whose chunks, where they are a Dask array, are the tiles."""
    if not hasattr(pixels, "rechunk"):
        return pixels
    lead = dict.fromkeys(range(pixels.ndim - 2), -1)
    return pixels.rechunk({**lead, pixels.ndim - 2: shard[0], pixels.ndim - 1: shard[1]})
