"""An xarray object, with its dates, as an image for a Zarr store."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from rsdat.raster.image import Image
from rsdat.raster.writers import arrays


def image_of(
    data: xr.DataArray | xr.Dataset,
    dtype: str | None = None,
    scale: float | None = None,
    nodata: float | None = None,
) -> Image:
    """The image that :func:`rsdat.write_zarr` writes: all dates of a ``time``, or none without it.

    Raises
    ------
    ConfigError
        The data has no grid with a CRS, or dimensions other than time, band, y and x.
    """
    if "time" not in getattr(data, "dims", ()) or data.sizes["time"] == 0:
        return arrays.image_of(data, dtype, scale, nodata)
    dates = [
        arrays.image_of(data.isel(time=[number]), dtype, scale, nodata)
        for number in range(data.sizes["time"])
    ]
    token = hashlib.sha256("".join(image.token for image in dates).encode()).hexdigest()
    times = data["time"].values.astype("datetime64[ns]")
    layers: list[Any] = [image.pixels for image in dates]
    # Of Dask arrays, numpy's function makes a Dask array.
    return replace(dates[0], pixels=np.stack(layers), token=token, times=tuple(times))
