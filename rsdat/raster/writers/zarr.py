"""``write_zarr``: an image as a sharded, multiscale Zarr v3 store, tile by tile, resumable."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsdat import __version__
from rsdat.arguments import checked
from rsdat.errors import RsdatError
from rsdat.raster.image import Image, Span
from rsdat.raster.progress import Progress, Report, reporter
from rsdat.raster.skips import NothingRead, unread
from rsdat.raster.tiles import compute, current_client
from rsdat.raster.writers.overviews import check_method, usual_method
from rsdat.raster.writers.written import Written, for_the_next_run
from rsdat.raster.writers.zarr_checks import check_image
from rsdat.raster.writers.zarr_layout import CHUNK, cut, spans
from rsdat.raster.writers.zarr_parts import Finished, LocalParts, local_parts
from rsdat.raster.writers.zarr_remote import RemoteParts, remote_parts
from rsdat.raster.writers.zarr_shards import Encoding
from rsdat.raster.writers.zarr_store import (
    Plan,
    coarser,
    metadata,
    put,
    put_metadata,
    refused,
    write_tile,
)
from rsdat.storage import absolute, followed, is_remote

if TYPE_CHECKING:
    import xarray as xr

Parts = LocalParts | RemoteParts

#: Libraries that file systems speak through, whose errors are not all an OSError.
_REMOTE = ("aiohttp", "botocore", "paramiko")


@checked
def write_zarr(
    data: xr.DataArray | xr.Dataset,
    store: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    scale: float | None = None,
    nodata: float | None = None,
    shard: int | tuple[int, int] | None = None,
    chunk: int = CHUNK,
    compress: str = "zstd",
    level: int = 1,
    multiscales: bool = True,
    overview_resampling: str | None = None,
    attrs: Mapping[str, Any] | None = None,
    progress: Report | bool | None = None,
    resume: bool = True,
) -> Written:
    """Compute xarray data and write it as a Zarr v3 store with overviews.

    Computes on the current Dask client (a session's workers) where there is one, else in threads
    of this process; a few tiles at a time. How the store looks, and what becomes of an interrupted
    run, says :func:`~rsdat.raster.writers.zarr.write_image`.

    Parameters
    ----------
    data
        DataArray (y, x), (band, y, x), (time, y, x) or (time, band, y, x), or a Dataset of (y, x)
        or (time, y, x) variables; on a grid with a CRS.
    store
        Path or address of the store.
    dtype, scale, nodata
        How numbers are stored, as in :func:`rsdat.write_cog`: NDVI with ``dtype="int16"`` takes
        less than half the space, and xarray reads it as NDVI again.
    shard, chunk, compress, level, multiscales, overview_resampling, attrs, progress
        As in :func:`~rsdat.raster.writers.zarr.write_image`.
    resume
        Go on where an interrupted run of the same work stopped, and leave the tiles for the next
        run when this one is interrupted. Without Dask the pixels are there already, and nothing
        is kept.

    Returns
    -------
    The path, and what it took.

    Raises
    ------
    ConfigError
        The data has no grid, an option is not possible, or the store would replace something that
        is none.
    DataError
        A tile cannot be computed or written, or another process writes the same store.
    """
    from rsdat.raster.writers.zarr_arrays import image_of

    image = image_of(data, dtype, scale, nodata)
    return write_image(
        image,
        store,
        shard=shard,
        chunk=chunk,
        compress=compress,
        level=level,
        multiscales=multiscales,
        overview_resampling=overview_resampling,
        attrs=attrs,
        progress=progress,
        client=current_client(),
        resume=resume and hasattr(image.pixels, "dask"),
    )


def write_image(
    image: Image,
    store: str | os.PathLike[str],
    *,
    shard: int | tuple[int, int] | None = None,
    chunk: int = CHUNK,
    compress: str = "zstd",
    level: int = 1,
    multiscales: bool = True,
    overview_resampling: str | None = None,
    attrs: Mapping[str, Any] | None = None,
    progress: Report | bool | None = None,
    client: Any | None = None,
    memory: int | None = None,
    resume: bool = True,
) -> Written:
    """Compute an image tile by tile and write it as a Zarr v3 store.

    Each band is an array (y, x), or (time, y, x) where the image has times, of the numbers that the
    image stores; xarray makes physical values of them, NaN where there is no data. With
    ``multiscales`` the root has a group for each level: ``xr.open_zarr(store, group="0")`` is the
    image, ``"1"`` has half its resolution, and ``xr.open_datatree(store, engine="zarr")`` opens
    all. Without, the bands lie at the root: ``xr.open_zarr(store)``.

    On a local or shared file system the store is built beside its name (``.NAME.parts``) and
    appears when it is complete; an interrupted run is gone on with by the same call. At a remote
    address nothing can be renamed: the store is built in place, its attribute ``rsdat:complete`` is
    false until the end, and what is there already is not replaced.

    Parameters
    ----------
    image
        What to write.
    store
        Path or address of the store. Of a link, the store that it leads to is written, and takes
        the place of that one as a whole.
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
    overview_resampling
        How they are made: ``average``, ``nearest``, ``mode``, ``min`` or ``max``; default
        ``average`` for floats and for integers with a scale, ``nearest`` for other integers.
    attrs
        Further attributes of the root.
    progress
        Called with a :class:`~rsdat.raster.progress.Progress` after each tile; ``True`` shows a
        bar with tiles, MB/s and the time left.
    client
        The Dask client to compute on; None: threads of this process.
    memory
        Bytes that the tiles in work may take together in this process, or in one worker's thread
        where there is a client; dates that do not fit are kept on a disk, where the image can.
    resume
        Go on where an interrupted run of the same work stopped, and keep the tiles for the next.

    Returns
    -------
    The path, and what it took.

    Raises
    ------
    ConfigError
        The store would replace something that is none, or an option is not possible.
    DataError
        A tile cannot be computed or written, or another process writes the same store.
    """
    started = time.monotonic()
    check_image(image, attrs)
    method = overview_resampling or usual_method(image.dtype, image.scales)
    check_method(method)
    beside = None if is_remote(os.fspath(store)) else os.path.dirname(absolute(store))
    layout = cut(image, shard, chunk, multiscales, memory, client, beside)
    if layout.on_disk:
        image = image.kept_on_disk(beside)
    nodata = 0 if image.nodata is None else image.nodata
    plan = Plan(
        target=followed(store),
        root="",
        mark="",
        bands=image.bands,
        times=None if image.times is None else len(image.times),
        nodata=image.nodata,
        encoding=Encoding(image.dtype, nodata, compress, level),
        levels=layout.levels,
        multiscales=multiscales,
        resampling=method,
    )
    report = reporter(progress, absolute(store).rpartition("/")[2])
    run, gone = _run(plan, image, layout.threads, attrs or {}, report, client, resume)
    return Written(
        path=absolute(store),
        tiles=len(run.finished),
        bytes=sum(size for tile in run.finished.values() for _, size in tile.files),
        skipped=tuple(dict.fromkeys(s for tile in run.finished.values() for s in tile.skipped)),
        seconds=time.monotonic() - started,
        kept=run.kept,
        levels=len(plan.levels),
        unread=gone,
    )


def _run(
    plan: Plan,
    image: Image,
    threads: int,
    attributes: Mapping[str, Any],
    progress: Report | None,
    client: Any | None,
    resume: bool,
) -> tuple[_Run, frozenset[str]]:
    """Make the store of a plan: from nothing, or from what an interrupted run has left.

    Gives the run, and the items of which nothing could be read.
    """
    fingerprint = _fingerprint(image, plan) if resume else {"run": uuid.uuid4().hex}
    target = plan.target
    with _disk_errors(target), _parts(target, fingerprint, resume) as parts:
        run = _Run(replace(plan, root=parts.root, mark=parts.mark), image, parts, threads)
        with (
            for_the_next_run(
                lambda: len(run.finished), len(run.spans), parts.discard, resume=resume
            ),
            _disk_errors(target),
        ):
            run.prepare(attributes)
            run.tiles(client, progress)
            gone = run.unread()
            run.rest()
            parts.publish()
    return run, gone


def _fingerprint(image: Image, plan: Plan) -> dict[str, Any]:
    """What has to be the same for the parts of an earlier run to fit this one."""
    grid = image.geobox
    return {
        "image": image.token,
        "grid": [grid.crs.to_wkt(), *grid.transform[:6], *grid.shape],
        "bands": list(image.bands),
        "times": [str(moment) for moment in image.times or ()],
        "nodata": repr(image.nodata),
        "meaning": [list(image.scales), list(image.offsets)],
        "encoding": repr(plan.encoding),
        "levels": repr(plan.levels),
        "overviews": [plan.multiscales, plan.resampling],
        "rsdat": __version__,
    }


@contextmanager
def _parts(place: str, fingerprint: Mapping[str, Any], resume: bool) -> Iterator[Parts]:
    """The store's parts, for this run alone where there are locks."""
    if is_remote(place):
        yield remote_parts(place, fingerprint, resume=resume)
    else:
        with local_parts(Path(place), fingerprint, resume=resume) as parts:
            yield parts


@contextmanager
def _disk_errors(place: str) -> Iterator[None]:
    """What the disk or the server says, in plain words."""
    try:
        yield
    except RsdatError:
        raise
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and library not in _REMOTE:
            raise
        raise refused(place, getattr(error, "strerror", None) or str(error)) from error


class _Run:
    """Writes what is missing of a store, and knows what is there."""

    def __init__(self, plan: Plan, image: Image, parts: Parts, threads: int) -> None:
        self.finished = parts.finished()
        self.kept = len(self.finished)
        self.spans = list(spans(image.geobox.shape, plan.levels[0].shard))
        self._plan, self._image, self._parts, self._threads = plan, image, parts, threads

    def prepare(self, attributes: Mapping[str, Any]) -> None:
        """Write the metadata; anew on going on, too, as a crash of the machine may have cut it."""
        if not self.finished:
            self._parts.clear()
        attributes = {**attributes, **self._parts.attributes}
        put_metadata(self._plan, metadata(self._plan, self._image, attributes))

    def tiles(self, client: Any | None, report: Report | None) -> None:
        """Compute and write the tiles that are missing."""
        plan, every = self._plan, self.spans
        missing = [span for span in every if _name(span) not in self.finished]
        size, begin = 0, time.monotonic()
        if report and self.kept:
            report(Progress(self.kept, len(every), kept=self.kept))
        pixels = _in_tiles(self._image.pixels, plan.levels[0].shard)
        write = partial(write_tile, plan)
        work = compute(pixels, missing, write, client, threads=self._threads)
        # Closed at once when something goes wrong here: tiles in flight are then given up.
        with closing(work):
            for done in work:
                files = tuple((one.key, one.size) for one in put(plan, done.span, done.result))
                tile = self.finished[_name(done.span)] = Finished(files, done.skipped)
                self._parts.note(_name(done.span), tile)
                size += _bytes(plan, done.span)
                if report:
                    took = time.monotonic() - begin
                    report(Progress(len(self.finished), len(every), size, took, self.kept))

    def unread(self) -> frozenset[str]:
        """Items of which nothing was read; if they are all, no tile is kept for a next run."""
        inputs = self._image.inputs
        if inputs is None:
            return frozenset()
        try:
            return unread(inputs, [(one, self.finished[_name(one)].skipped) for one in self.spans])
        except NothingRead:
            self.finished.clear()
            raise

    def rest(self) -> None:
        """The levels that are too coarse for tiles, each made of the one before, here."""
        for level in self._plan.levels:
            if not level.by_tile:
                read, write = coarser(self._plan, level)
                for _ in compute(read, list(level.spans()), write, threads=self._threads):
                    pass


def _name(span: Span) -> str:
    return f"{span[0].start}-{span[1].start}"


def _bytes(plan: Plan, span: Span) -> int:
    pixels = (span[0].stop - span[0].start) * (span[1].stop - span[1].start)
    numbers: int = pixels * len(plan.bands) * (plan.times or 1)
    return numbers * np.dtype(plan.encoding.dtype).itemsize


def _in_tiles(pixels: Any, shard: tuple[int, int]) -> Any:
    """Pixels whose chunks, where they are a Dask array, are the tiles."""
    if not hasattr(pixels, "rechunk"):
        return pixels
    lead = dict.fromkeys(range(pixels.ndim - 2), -1)
    return pixels.rechunk({**lead, pixels.ndim - 2: shard[0], pixels.ndim - 1: shard[1]})
