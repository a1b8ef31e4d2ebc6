"""The methods that a chain ends in; each hands on to the module that does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

if TYPE_CHECKING:
    import xarray as xr

    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.cog import Written
    from rsdat.raster.progress import Report

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
        **options: Any,
    ) -> Written:
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
        **options
            ``compress``, ``level``, ``overview_resampling``, ``tags``, ``progress``, ``tile``,
            ``resume`` and ``client`` of :func:`rsdat.raster.cog.write_image`.

        Returns
        -------
        What was written; ``skipped`` names what could not be read with ``on_error="skip"``.
        """
        from rsdat.raster.chains.ends import to_cog

        return to_cog(cast("Chain", self), path, dtype, scale, nodata, memory, options)

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
