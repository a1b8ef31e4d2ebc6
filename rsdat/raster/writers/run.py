"""One run of the writer: what is to be made, what is there already, and the rest of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rsdat import __version__
from rsdat.errors import ConfigError
from rsdat.raster.image import Image, Skipped, Span
from rsdat.raster.progress import Progress, Report
from rsdat.raster.skips import NothingRead, unread
from rsdat.raster.tiles import compute, cores
from rsdat.raster.writers.encode import BLOCK, Codec
from rsdat.raster.writers.making import MakePart, Making, Rest
from rsdat.raster.writers.parts import Part, load, store
from rsdat.raster.writers.pyramid import Pass, edges, merged, passes, tile_shape
from rsdat.raster.writers.tiling import Budget, Tiling, fitting, room_beside
from rsdat.raster.writers.workroom import Workroom, cannot_write
from rsdat.storage import is_remote, shown

#: No compression makes less than this of measured pixels: without so much room, do not begin.
_LEAST_COMPRESSED = 1 / 20

#: Tiles a core has in work where they wait for a network most of the time.
_WAITING = 3


@dataclass(frozen=True)
class Job:
    """An image to be written: how its numbers are packed, and by which tiles."""

    image: Image
    target: Path
    codec: Codec
    method: str
    passes: tuple[Pass, ...]
    threads: int

    @property
    def tiles(self) -> int:
        """How many tiles the image is computed in."""
        return (len(self.passes[0].rows) - 1) * (len(self.passes[0].columns) - 1)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels without compression."""
        height, width = self.image.geobox.shape
        return int(height * width * len(self.image.bands) * np.dtype(self.image.dtype).itemsize)

    def fingerprint(self) -> dict[str, Any]:
        """What has to be the same for the parts of an earlier run to fit this one."""
        image, first = self.image, self.passes[0]
        return {
            "image": image.token,
            "grid": [image.geobox.crs.to_wkt(), *image.geobox.transform[:6], *image.geobox.shape],
            "bands": list(image.bands),
            "nodata": repr(image.nodata),
            "tiles": [list(first.rows), list(first.columns)],
            "encoding": [self.codec.compress, self.codec.level, self.codec.dtype, self.method],
            "rsdat": __version__,
        }

    def check_disk(self) -> None:
        """Refuse to begin where the output can certainly not fit.

        Raises
        ------
        DataError
        """
        if shutil.disk_usage(self.target.parent).free < self.nbytes * _LEAST_COMPRESSED:
            raise cannot_write(
                self.target, f"its tiles take {self.nbytes / 1e6:.0f} MB before compression"
            )


def job(
    image: Image,
    path: str | os.PathLike[str],
    codec: Codec,
    method: str,
    *,
    client: Any | None,
    tile: int | tuple[int, int] | None,
    memory: int | None,
) -> Job:
    """Decide tiles and passes.

    Raises
    ------
    ConfigError
        The output is a directory, or the tiles do not fit the file's blocks.
    """
    if is_remote(os.fspath(path)):
        raise ConfigError(
            f"output {shown(os.fspath(path))}: a GeoTIFF is written to a file system only",
            hint="write it here and copy it (`rsdat data cp`), or write a Zarr store there",
        )
    target = Path(os.path.abspath(os.path.expanduser(path)))
    if os.path.isdir(target):
        raise ConfigError(f"output {target} is a directory", hint="name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):
        # Its name would be given to a file: root can do that to /dev/stdout.
        raise ConfigError(f"output {target} is no file", hint="name one: composite.tif")
    height, width = image.geobox.shape
    cut = tiles(image, client, tile, memory, str(target.parent))
    if cut.on_disk:
        image = image.kept_on_disk(str(target.parent))
    if hasattr(image.pixels, "dask"):
        data: Any = image.pixels
        data = data if data.ndim == 3 else data[None]
        rows, columns = (
            merged(sizes, side) for sizes, side in zip(data.chunks[-2:], cut.shape, strict=True)
        )
        whole = {0: -1, 1: tuple(np.diff(rows).tolist()), 2: tuple(np.diff(columns).tolist())}
        image = replace(image, pixels=data.rechunk(whole))
    else:
        rows, columns = edges(height, cut.shape[0]), edges(width, cut.shape[1])
    return Job(image, target, codec, method, passes(height, width, rows, columns), cut.threads)


def tiles(
    image: Image,
    client: Any | None,
    tile: int | tuple[int, int] | None,
    memory: int | None,
    beside: str | None,
) -> Tiling:
    """How many tiles to compute at once, their shape, and where their dates are kept.

    With a client the memory is that of each of its threads, and workers know their disks.
    """
    threads = 1 if client is not None else cores()
    # Beside what the pixels take while they are computed, a tile's numbers are there twice.
    stored = 2 * len(image.bands) * np.dtype(image.dtype).itemsize
    shape = partial(tile_shape, image.geobox.shape, image.blocks)
    if tile is None and memory is not None:
        room = room_beside(beside) if client is None else lambda size: True
        return fitting(image, Budget(memory, threads, stored, room), partial(shape, 1))
    each = image.bytes_per_pixel + stored
    if image.waits and memory is None and threads > 1:
        threads *= _WAITING
    if memory is not None:
        threads = max(1, min(threads, memory // (each * BLOCK * BLOCK)))
    if tile is None:
        return Tiling(threads, shape(each))
    rows, columns = (tile, tile) if isinstance(tile, int) else tile
    if rows <= 0 or columns <= 0 or rows % BLOCK or columns % BLOCK:
        raise ConfigError(
            f"tiles of {rows} by {columns} pixels are not possible",
            hint=f"use multiples of {BLOCK}",
        )
    return Tiling(threads, (rows, columns))


class Run:
    """Makes the parts of a job, and knows how far it is."""

    def __init__(
        self, job: Job, room: Workroom, progress: Report | None, client: Any | None
    ) -> None:
        self.kept = 0
        self.done = 0
        self.unread: frozenset[str] = frozenset()
        self._left_out: dict[tuple[int, int], tuple[Skipped, ...]] = {}
        self._job, self._room, self._progress, self._client = job, room, progress, client
        self._making = Making(
            bands=len(job.image.bands),
            codec=job.codec,
            method=job.method,
            nodata=job.image.nodata,
            target=str(job.target),
            directory=str(room.path),
            mark=room.mark,
            work=room.work,
        )

    def parts(self) -> list[dict[tuple[int, int], Part]]:
        """The parts of all passes: the first where the image is computed, the others here."""
        first, *others = self._job.passes
        found = [self._first(first)]
        self.unread = self._unread(first)
        before = first
        for step in others:
            rest = Rest(self._making, before, found[-1])
            make = MakePart(self._making, step)
            with closing(compute(rest, step.spans(), make, threads=self._job.threads)) as done:
                found.append(
                    {_corner(one.span): store(one.result, self._room.path) for one in done}
                )
            before = step
        return found

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Sources that were left out, of all tiles."""
        return tuple(dict.fromkeys(one for tile in self._left_out.values() for one in tile))

    def _unread(self, step: Pass) -> frozenset[str]:
        inputs = self._job.image.inputs
        if inputs is None:
            return frozenset()
        try:
            return unread(inputs, [(one, self._left_out[_corner(one)]) for one in step.spans()])
        except NothingRead:
            self.done = 0  # such tiles are not worth keeping
            raise

    def _first(self, step: Pass) -> dict[tuple[int, int], Part]:
        spans = step.spans()
        found = self._kept(step, spans)
        self.kept = self.done = len(found)
        missing = [span for span in spans if _corner(span) not in found]
        started, computed = time.monotonic(), 0
        if self.kept:
            self._report(Progress(self.kept, len(spans), kept=self.kept))
        make = MakePart(self._making, step)
        pixels, threads = self._job.image.pixels, self._job.threads
        # Closed by name: a traceback would keep the rest computing after an error.
        with closing(compute(pixels, missing, make, self._client, threads=threads)) as tiles:
            for one in tiles:
                found[_corner(one.span)] = store(one.result, self._room.path)
                self._room.note(self._making.name(step, one.span), one.skipped)
                self._left_out[_corner(one.span)] = one.skipped
                self.done = len(found)
                rows, columns = one.span
                computed += (rows.stop - rows.start) * (columns.stop - columns.start)
                self._report(
                    Progress(
                        self.done,
                        len(spans),
                        computed * self._pixel_bytes,
                        time.monotonic() - started,
                        self.kept,
                    )
                )
        return found

    @property
    def _pixel_bytes(self) -> int:
        return self._making.bands * np.dtype(self._making.codec.dtype).itemsize

    def _report(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)

    def _kept(self, step: Pass, spans: Sequence[Span]) -> dict[tuple[int, int], Part]:
        """What an earlier run has done; damaged parts are left out, and so made again."""
        noted = {
            _corner(span): name
            for span in spans
            if (name := self._making.name(step, span)) in self._room.kept
        }
        with ThreadPoolExecutor(cores()) as pool:
            loaded = pool.map(partial(load, directory=self._room.path), noted.values())
            found = {
                corner: part for corner, part in zip(noted, loaded, strict=True) if part is not None
            }
        for corner in found:
            self._left_out[corner] = self._room.kept[noted[corner]]
        return found


def _corner(span: Span) -> tuple[int, int]:
    return span[0].start, span[1].start
