"""Indices of vegetation: numpy functions, and the same on xarray."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsdat.errors import ConfigError

Array = NDArray[Any]


def ndvi_of(red: Array, nir: Array) -> NDArray[np.float32]:
    """(nir - red) / (nir + red) of reflectances; float32 in [-1, 1], any shape.

    Rouse et al. (1974). NaN where a band is NaN, and where nir + red is not positive: an offset
    can make dark surfaces negative, and their quotient means nothing. Quotients beyond ±1 (one
    band negative) are clipped.
    """
    total = np.add(nir, red, dtype="float32")
    result: NDArray[np.float32] = np.subtract(nir, red, dtype="float32")
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(result, total, out=result)
        result[~(total > 0)] = np.nan
    return np.clip(result, -1, 1, out=result)


def physical(values: Array, scale: float, offset: float, nodata: float | None) -> Array:
    """Stored integers as float32 in physical units, NaN where there is no data."""
    if values.dtype.kind == "f":
        return values
    result = values.astype("float32")
    if scale != 1.0:
        result *= np.float32(scale)
    if offset:
        result += np.float32(offset)
    if nodata is not None:
        result[values == nodata] = np.nan
    return result


def ndvi(ds: xr.Dataset, red: str = "red", nir: str = "nir") -> xr.DataArray:
    """Normalised difference vegetation index of a dataset, lazily.

    Parameters
    ----------
    ds
        What :func:`rsdat.load` gave, masked or not, reflectances or stored integers.
    red, nir
        Names of the two variables.

    Returns
    -------
    DataArray, float32 in [-1, 1], NaN where there is no data; named ``ndvi``.
    """
    missing = [name for name in (red, nir) if name not in ds]
    if missing:
        raise ConfigError(
            f"the dataset has no variable {missing[0]!r}; it has "
            f"{', '.join(map(str, ds.data_vars)) or '(none)'}",
            hint="say which variables are meant: ndvi(ds, red=…, nir=…)",
        )
    result: xr.DataArray = xr.apply_ufunc(
        _ndvi,
        ds[red],
        ds[nir],
        kwargs={"numbers": (numbers_of(ds[red]), numbers_of(ds[nir]))},
        dask="parallelized",
        output_dtypes=["float32"],
        keep_attrs="override",  # those of the coordinates hold the CRS
    )
    # All of them: a scale of the bands left there would be taken for NDVI's.
    result.attrs = {
        "long_name": "NDVI",
        "units": "1",
        "nodata": float("nan"),
        "grid_mapping": "spatial_ref",
    }
    return result.rename("ndvi")


def numbers_of(variable: xr.DataArray) -> tuple[float, float, float | None]:
    """Scale, offset and nodata of a variable of stored integers."""
    attributes = variable.attrs
    return (
        float(attributes.get("scale", 1.0)),
        float(attributes.get("offset", 0.0)),
        attributes.get("nodata"),
    )


def _ndvi(red: Array, nir: Array, *, numbers: Any) -> NDArray[np.float32]:
    return ndvi_of(physical(red, *numbers[0]), physical(nir, *numbers[1]))
