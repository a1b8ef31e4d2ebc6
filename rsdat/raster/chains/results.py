"""The methods that a chain ends in; each hands on to the module that does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

if TYPE_CHECKING:
    import xarray as xr

    from rsdat.raster import cog
    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.estimate import Estimate
    from rsdat.raster.preview import Picture
    from rsdat.raster.progress import Report
    from rsdat.raster.writers import zarr

Array = NDArray[Any]


class Results:
    """What :class:`~rsdat.raster.chains.builder.Chain` ends in."""

    def evaluate(self, geobox: GeoBox | None = None) -> Array:
        """Compute it here, in one piece: (band, y, x), or (time, band, y, x) without a composite.

        Physical float32, NaN where there is no data; classes as the files' integers. Pixels are
        those that the whole result has there.
        """
        chain = cast("Chain", self)
        return chain.plan.evaluate(geobox or chain.geobox).values

    def to_xarray(self, chunks: Mapping[str, int] | int | None = None) -> xr.DataArray:
        """A lazy DataArray (band, y, x) or (time, band, y, x) on Dask: one task a tile.

        ``chunks`` sizes ``y`` and ``x`` (-1: one chunk); default: what fits the files' blocks.
        ``.to_dataset("band")`` makes a variable of each band.
        """
        from rsdat.raster.chains.ends import to_xarray

        return to_xarray(cast("Chain", self), chunks)

    def to_cog(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        scale: float | Mapping[str, float] | None = None,
        nodata: float | None = None,
        memory: float | None = None,
        describe: bool = True,
        preview: bool = False,
        **options: Any,
    ) -> cog.Written:
        """Compute it and write a cloud optimised GeoTIFF with overviews, and its STAC item.

        Computes on the current Dask client (a session's workers) where there is one, else in
        threads of this process. The file appears when it is complete; an interrupted run is gone on
        with by the same call.

        Parameters
        ----------
        dtype, scale, nodata
            How numbers are stored, as in :func:`rsdat.write_cog`; ``scale`` may be one a band.
        memory
            Bytes that the tiles in work may take together (on a cluster: in one worker's thread).
        describe
            Whether to write a STAC item beside it (``out.json``): the inputs, the chain, what was
            left out, and where it lies.
        preview
            Whether to write a picture beside it (``out.png``).
        **options
            ``compress``, ``level``, ``overview_resampling``, ``tags``, ``progress``, ``tile``,
            ``resume`` and ``client`` of :func:`rsdat.raster.cog.write_image`.

        Returns
        -------
        What was written; ``skipped`` names what could not be read with ``on_error="skip"``.

        Raises
        ------
        DataError
            A file cannot be read or written; or something else lies where the item would be.
        """
        from rsdat.raster.chains.ends import to_cog

        stored, beside = (dtype, scale, nodata), (describe, preview)
        return to_cog(cast("Chain", self), path, stored, memory, beside, options)

    def to_zarr(
        self,
        store: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        scale: float | Mapping[str, float] | None = None,
        nodata: float | None = None,
        memory: float | None = None,
        describe: bool = True,
        preview: bool = False,
        **options: Any,
    ) -> zarr.Written:
        """Compute it and write a Zarr v3 store, with times where it has them, and its STAC item.

        As :meth:`to_cog`, but for ``**options``: ``shard``, ``chunk``, ``compress``, ``level``,
        ``multiscales``, ``overview_resampling``, ``attrs``, ``progress``, ``resume`` and ``client``
        of :func:`rsdat.raster.writers.zarr.write_image`. There is no picture at a remote address.
        """
        from rsdat.raster.chains.ends import to_zarr

        stored, beside = (dtype, scale, nodata), (describe, preview)
        return to_zarr(cast("Chain", self), store, stored, memory, beside, options)

    def explain(
        self,
        *,
        dtype: str | None = None,
        memory: float | None = None,
        client: Any | None = None,
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
        from rsdat.raster.estimate import explain

        return explain(cast("Chain", self), dtype=dtype, memory=memory, client=client, zarr=zarr)

    def preview(self, size: int = 1024, *, time: int = -1) -> Picture:
        """The whole extent at view resolution, in threads of this process; a notebook shows it.

        Overviews of the files are read, so it takes seconds where the whole takes hours; pixels
        are those of :meth:`evaluate` on a coarse grid.

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

    def profile(
        self,
        places: Any,
        *,
        statistics: Sequence[str] = ("mean", "count", "valid_fraction"),
        client: Any | None = None,
        progress: Report | None = None,
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
            Called with a :class:`~rsdat.raster.progress.Progress` after each block.

        Returns
        -------
        Dataset (place, time), or (place,) after a composite, in memory. Variables: ``<band>`` (its
        mean) and ``<band>_<statistic>``; float32, counts int64. Where nothing was seen: NaN, the
        count 0. Coordinates: ``place``, ``time``, ``lon``, ``lat`` (the middle), ``pixels`` (how
        many the place has on the grid). Attributes name places ``outside`` the items (with a
        warning), places ``cut`` by the edge of the grid, and what was ``skipped``.

        Raises
        ------
        ConfigError
            Something is no place, no statistic, or too large for a median.
        DataError
            All places lie outside, or a file cannot be read.
        """
        from rsdat.raster.profiles import profile

        return profile(cast("Chain", self), places, statistics, client, progress)
