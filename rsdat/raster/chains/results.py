"""The methods that a chain ends in; each hands on to the module that does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.arguments import checked
from rsdat.errors import DataError

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.estimate import Estimate
    from rsdat.raster.preview import Picture
    from rsdat.raster.progress import Report
    from rsdat.raster.writers.written import Written

Array = NDArray[Any]


class Results:
    """What :class:`~rsdat.raster.chains.builder.Chain` ends in."""

    @checked
    def evaluate(self, geobox: GeoBox | None = None) -> Array:
        """Compute it here, in one piece: (band, y, x), or (time, band, y, x) without a composite.

        Physical float32, NaN where there is no data; classes as the files' integers. Pixels are
        those that the whole result has there. With ``on_error="skip"`` a warning names what was
        left out, with its item, asset and place.
        """
        from rsdat.raster.chains.ends import inputs_of
        from rsdat.raster.inputs import check_grid
        from rsdat.raster.skips import unread, warn_of

        chain = cast("Chain", self)
        check_grid(geobox)
        wanted = geobox or chain.geobox
        try:
            computed = chain.plan.evaluate(wanted)
        except MemoryError as error:
            raise DataError(
                f"a grid of {wanted.shape[0]} × {wanted.shape[1]} pixels does not fit into memory",
                hint="evaluate a part of it (chain.geobox[:1024, :1024]), or use to_xarray() or "
                "to_cog(), which compute it in tiles",
            ) from error
        if geobox is None:  # of a part there may be more elsewhere
            rows, columns = wanted.shape
            whole = (slice(0, rows), slice(0, columns))
            unread(partial(inputs_of, chain.plan), [(whole, computed.skipped)])
        warn_of([*chain.skipped, *computed.skipped], stacklevel=3)
        return computed.values

    @checked
    def to_xarray(self, chunks: Mapping[str, int] | int | None = None) -> xr.DataArray:
        """A lazy DataArray (band, y, x) or (time, band, y, x) on Dask: one task a tile.

        ``chunks`` sizes ``y`` and ``x`` (-1: one chunk); default: what fits the files' blocks.
        ``.to_dataset("band")`` makes a variable of each band. With ``on_error="skip"`` warnings
        name what was left out; each source once, at the first tile that lacks it.
        """
        from rsdat.raster.chains.ends import to_xarray

        return to_xarray(cast("Chain", self), chunks)

    @checked
    def to_cog(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        scale: float | Mapping[str, float] | None = None,
        nodata: float | None = None,
        compress: str = "zstd",
        level: int | None = None,
        overview_resampling: str | None = None,
        tags: Mapping[str, str] | None = None,
        tile: int | tuple[int, int] | None = None,
        memory: float | str | None = None,
        client: Client | None = None,
        progress: Report | bool | None = None,
        resume: bool = True,
        describe: bool = True,
        preview: bool = False,
    ) -> Written:
        """Compute it and write a cloud optimised GeoTIFF with overviews, and its STAC item.

        The file appears when it is complete; an interrupted run is gone on with by the same call.

        Parameters
        ----------
        dtype, scale, nodata
            How numbers are stored, as in :func:`rsdat.write_cog`; ``scale`` may be one a band.
            Classes, counts and days are whole numbers: they are stored as they are.
        compress, level, overview_resampling, tags, resume
            As in :func:`rsdat.write_cog`.
        tile
            Rows and columns of the tiles, multiples of 512, instead of ``memory``.
        memory
            Bytes that this process may take, of which some 200 MB are the program's, and tiles get
            100 MB at the least; on a cluster, what a tile may take in each thread of a worker. A
            number, or a text such as ``2GB``. Dates of a median, percentile or medoid that do
            not fit are kept on a local disk meanwhile (``TMPDIR``).
        client
            The Dask client to compute on; default the current one (a session's workers), else
            threads of this process.
        progress
            Called with a :class:`~rsdat.raster.progress.Progress` after each tile; ``True`` shows a
            bar with tiles, MB/s and the time left.
        describe
            Whether to write a STAC item beside it (``out.json``): the inputs, the chain, what was
            left out, and where it lies.
        preview
            Whether to write a picture beside it (``out.png``).

        Returns
        -------
        What was written; ``skipped`` names what could not be read with ``on_error="skip"``.

        Raises
        ------
        ConfigError
            An option is not possible.
        DataError
            A file cannot be read or written; or something else lies where the item or the picture
            would be.
        """
        from rsdat.raster.chains.ends import Stored, to_cog
        from rsdat.raster.provenance import Beside
        from rsdat.raster.tiles import current_client

        options = {
            "compress": compress,
            "level": level,
            "overview_resampling": overview_resampling,
            "tags": tags,
            "client": client or current_client(),
            "progress": progress,
            "resume": resume,
        }
        stored, beside = Stored(dtype, scale, nodata), Beside(describe, preview)
        return to_cog(cast("Chain", self), path, stored, beside, memory, tile, options)

    @checked
    def to_zarr(
        self,
        store: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        scale: float | Mapping[str, float] | None = None,
        nodata: float | None = None,
        compress: str = "zstd",
        level: int = 1,
        multiscales: bool = True,
        overview_resampling: str | None = None,
        attrs: Mapping[str, Any] | None = None,
        shard: int | tuple[int, int] | None = None,
        chunk: int = 512,
        memory: float | str | None = None,
        client: Client | None = None,
        progress: Report | bool | None = None,
        resume: bool = True,
        describe: bool = True,
        preview: bool = False,
    ) -> Written:
        """Compute it and write a Zarr v3 store, with times where it has them, and its STAC item.

        Parameters
        ----------
        store
            Path or address.
        compress, level, multiscales, overview_resampling, attrs, shard, chunk
            As in :func:`rsdat.raster.writers.zarr.write_image`.
        describe, preview
            Whether to write a STAC item (``out.zarr.json``) and a picture (``out.zarr.png``)
            beside it; there is no picture at a remote address.
        dtype, scale, nodata, memory, client, progress, resume
            As in :meth:`to_cog`, which also says what is returned and raised.
        """
        from rsdat.raster.chains.ends import Stored, to_zarr
        from rsdat.raster.provenance import Beside
        from rsdat.raster.tiles import current_client

        options = {
            "compress": compress,
            "level": level,
            "multiscales": multiscales,
            "overview_resampling": overview_resampling,
            "attrs": attrs,
            "shard": shard,
            "chunk": chunk,
            "client": client or current_client(),
            "progress": progress,
            "resume": resume,
        }
        stored, beside = Stored(dtype, scale, nodata), Beside(describe, preview)
        return to_zarr(cast("Chain", self), store, stored, beside, memory, options)

    @checked
    def explain(
        self,
        *,
        dtype: str | None = None,
        memory: float | str | None = None,
        client: Client | None = None,
        zarr: bool = False,
    ) -> Estimate:
        """What writing it would take, before it is begun; opens the first item's files only.

        Parameters
        ----------
        dtype, memory
            As in :meth:`to_cog`.
        client
            The Dask client to compute on; default the current one, else threads of this process.
        zarr
            Of a Zarr store instead of a GeoTIFF.

        Returns
        -------
        Estimate
            Printed, it is a short table.
        """
        from rsdat.raster.chains.halos import tell_costly_halo
        from rsdat.raster.chains.steps import reach
        from rsdat.raster.estimate import explain

        chain = cast("Chain", self)
        found = explain(chain, dtype=dtype, memory=memory, client=client, zarr=zarr)
        rows, columns = map(min, found.tile, found.geobox.shape)
        tell_costly_halo(reach(chain.steps), (rows, columns))
        return found

    @checked
    def preview(self, size: int = 1024, *, time: int = -1) -> Picture:
        """The whole extent at view resolution, in threads of this process; a notebook shows it.

        Overviews of the files are read, so it takes seconds where the whole takes hours; pixels
        and warnings are those of :meth:`evaluate` on a coarse grid.

        Parameters
        ----------
        size
            Pixels along the longer edge.
        time
            Which date, where it has several; the last one by default.
        """
        from rsdat.raster.chains.view import preview

        return preview(cast("Chain", self), size, time)

    def _repr_html_(self) -> str:
        from rsdat.raster.chains.html import html

        return html(cast("Chain", self))

    @checked
    def profile(
        self,
        places: Any,
        *,
        statistics: Sequence[str] = ("mean", "count", "valid_fraction"),
        client: Client | None = None,
        progress: Report | bool | None = None,
    ) -> xr.Dataset:
        """Its pixels at points and in polygons, as statistics for each date.

        Pixels are those of the whole result. A point takes the pixel that holds it; a polygon those
        whose centres it holds, or, where it holds none, the pixel of its representative point. A
        polygon of any size is computed in bounded memory; near places are read together.

        Parameters
        ----------
        places
            Points (longitude, latitude) in degrees; GeoJSON; a GeoDataFrame, or what else has a
            ``__geo_interface__``; an ``odc.geo.geom.Geometry``; a list of such, or a dict of name
            to such. Names come from the dict, a feature's ``id``, or its property ``name``; else
            places are numbered.
        statistics
            ``mean``, ``count`` (of valid pixels), ``valid_fraction`` (of the place's pixels),
            ``std`` (population), ``min``, ``max``, ``median``. A median needs a place's values at
            once: at most 2048 × 2048 pixels.
        client
            The Dask client to compute on; default the current one, else threads of this process.
        progress
            Called with a :class:`~rsdat.raster.progress.Progress` after each block; or ``True``.

        Returns
        -------
        Dataset (place, time), or (place,) after a composite, in memory. Variables: ``<band>`` (its
        mean) and ``<band>_<statistic>``; float32, counts int64. Where nothing was seen: NaN, the
        count 0. Coordinates: ``place``, ``time``, ``lon``, ``lat`` (the middle), ``pixels`` (how
        many the place has on the grid). Attributes name places ``outside`` the items (with a
        warning), places ``cut`` by the edge of the grid, and what was ``skipped`` (likewise).

        Raises
        ------
        ConfigError
            Something is no place, no statistic, or too large for a median.
        DataError
            All places lie outside, or a file cannot be read.
        """
        from rsdat.raster.profiles import profile

        return profile(cast("Chain", self), places, statistics, client, progress)
