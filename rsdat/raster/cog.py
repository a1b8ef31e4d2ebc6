"""Writing cloud optimised GeoTIFFs: tile by tile in bounded memory, there complete or not at all.

Tiles are encoded where they are computed, with their part of the overviews, into part files in a
hidden directory beside the output. Once all are there they are put together and the file takes
its name. An interrupted run leaves the directory, and the next run of the same work goes on.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsdat import __version__
from rsdat.arguments import checked
from rsdat.errors import ConfigError
from rsdat.raster.image import Image
from rsdat.raster.progress import Report, reporter
from rsdat.raster.settings import settings
from rsdat.raster.tiles import current_client
from rsdat.raster.writers.cog import assemble, check, directory_of
from rsdat.raster.writers.encode import check_compression, codec
from rsdat.raster.writers.overviews import check_method, usual_method
from rsdat.raster.writers.run import Job, Run, job
from rsdat.raster.writers.workroom import Workroom, cannot_write, workroom
from rsdat.raster.writers.written import Written, for_the_next_run
from rsdat.storage import absolute, followed

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Written", "check_compression", "write_cog", "write_image"]


@checked
def write_cog(
    data: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    *,
    compress: str = "zstd",
    level: int | None = None,
    dtype: str | None = None,
    scale: float | None = None,
    nodata: float | None = None,
    overview_resampling: str | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Report | bool | None = None,
    resume: bool = True,
) -> Path:
    """Compute an image and write it as a cloud optimised GeoTIFF with overviews.

    Computes on the current Dask client (a session's workers) where there is one, else in threads
    of this process; a few tiles at a time. The file appears when it is complete; after an
    interrupted or failed write the file that was there before is as it was, and the tiles that
    were done lie in a hidden directory beside it (``.NAME.parts``): the same call goes on from
    there.

    Parameters
    ----------
    data
        DataArray (y, x) or (band, y, x), or a Dataset of (y, x) variables, each a band; on a grid
        with a CRS. A ``time`` of one date is left out.
    path
        The file to write; its directory is made where it is missing. Of a link, the file that it
        leads to is written.
    compress
        ``zstd``, ``deflate``, ``lzw``, ``lerc_zstd`` or ``none``.
    level
        Effort of the compression; default 1 for ``zstd`` and ``lerc_zstd``, 6 for ``deflate``.
    dtype
        Type of the stored numbers; default as they are, float64 as float32. With an integer type,
        floats are stored as rounded ``value / scale`` and the file says so (GDAL's scale): NDVI
        with ``dtype="int16"`` takes a quarter of the space.
    scale
        Unit of stored integers; default 0.0001 where floats are stored as integers.
    nodata
        Value for "no data"; default NaN for floats, the lowest (signed) or 0 (unsigned) where
        floats are stored as integers, otherwise what the data says (attribute ``nodata``).
    overview_resampling
        How overviews are made: ``average``, ``nearest``, ``mode``, ``min`` or ``max``; default
        ``average`` for floats and for integers with a scale, ``nearest`` for other integers.
    tags
        Further metadata to put into the file.
    progress
        Called with a :class:`~rsdat.raster.progress.Progress` after each tile; ``True`` shows a
        bar with tiles, MB/s and the time left.
    resume
        Go on where an interrupted run of the same work stopped, and leave the tiles for the next
        run when this one is interrupted. Without Dask the pixels are there already, and nothing
        is kept.

    Returns
    -------
    Path of the file.

    Raises
    ------
    ConfigError
        The data has no grid, or several dates; an option is not known.
    DataError
        A source cannot be read, the disk is full, the directory cannot be written, or another
        process writes the same file.
    """
    from rsdat.raster.writers.arrays import image_of

    image = image_of(data, dtype, scale, nodata)
    written = write_image(
        image,
        path,
        compress=compress,
        level=level,
        overview_resampling=overview_resampling,
        tags=tags,
        progress=progress,
        client=current_client(),
        resume=resume and hasattr(image.pixels, "dask"),
    )
    return Path(written.path)


def write_image(
    image: Image,
    path: str | os.PathLike[str],
    *,
    compress: str = "zstd",
    level: int | None = None,
    overview_resampling: str | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Report | bool | None = None,
    client: Any | None = None,
    tile: int | tuple[int, int] | None = None,
    memory: int | None = None,
    resume: bool = True,
) -> Written:
    """Compute an image and write it as a cloud optimised GeoTIFF with overviews.

    Of a path that is a link, the file that it leads to is written.

    Parameters
    ----------
    image
        What to write.
    path, compress, level, overview_resampling, tags, progress
        As in :func:`write_cog`.
    client
        The Dask client to compute on; None: threads of this process.
    tile
        Rows and columns of the tiles, multiples of 512; default from the image's blocks, its size
        and ``memory``.
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
        An option is not known, or the image has several dates.
    DataError
        A tile cannot be computed, the disk is full, or another process writes the same file.
    """
    started = time.monotonic()
    if image.times is not None:
        raise ConfigError(
            f"the image has {len(image.times)} dates, and a COG holds one",
            hint="composite them, or write Zarr",
        )
    method = overview_resampling or usual_method(image.dtype, image.scales)
    check_method(method)
    packing = codec(compress, image.dtype, level)
    report = reporter(progress, os.path.basename(os.fspath(path)))
    work = job(image, followed(path), packing, method, client=client, tile=tile, memory=memory)
    fingerprint = work.fingerprint() if resume else {"run": uuid.uuid4().hex}
    with (
        settings(),
        _disk_errors(work.target),
        workroom(work.target, fingerprint, resume=resume) as room,
    ):
        run = Run(work, room, report, client)
        with (
            for_the_next_run(lambda: run.done, work.tiles, room.clear, resume=resume),
            _disk_errors(work.target),
        ):
            work.check_disk()
            size = _finish(work, run, room, dict(tags or {}))
    return Written(
        path=absolute(path),
        tiles=work.tiles,
        bytes=size,
        skipped=run.skipped,
        seconds=time.monotonic() - started,
        kept=run.kept,
        levels=len(work.passes[0].shapes),
        unread=run.unread,
    )


def _finish(work: Job, run: Run, room: Workroom, tags: dict[str, str]) -> int:
    """Make the parts and the file, and give it its name; its size in bytes."""
    software = {"TIFFTAG_SOFTWARE": f"rsdat {__version__}"}
    main = directory_of(work.image, work.codec, software | tags)
    parts = run.parts()
    finished = room.path / "finished.tif"
    bands = len(work.image.bands)
    try:
        size = assemble(finished, work.target, main, work.passes, parts, bands)
        check(finished, bands, len(work.passes[0].shapes))
        os.replace(finished, work.target)
    except BaseException:
        finished.unlink(missing_ok=True)
        raise
    room.clear()
    return size


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """What the disk or GDAL says, in plain words."""
    import rasterio

    try:
        yield
    except (OSError, rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError) as error:
        cause = error.strerror if isinstance(error, OSError) else None
        cause = cause or str(error.__cause__ or error).strip() or type(error).__name__
        raise cannot_write(target, cause) from error
