"""An xarray object as an image for the writers: its bands, its grid, and its stored numbers."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the accessor .odc)
import xarray as xr
from numpy.typing import NDArray

from rsdat.errors import ConfigError
from rsdat.raster.image import Image


def image_of(
    data: xr.DataArray | xr.Dataset,
    dtype: str | None = None,
    scale: float | None = None,
    nodata: float | None = None,
) -> Image:
    """The image that :func:`rsdat.write_cog` writes of a DataArray or a Dataset.

    Raises
    ------
    ConfigError
        The data has no grid with a CRS, several dates, or other dimensions.
    """
    names, array = _layers(data)
    geobox = array.odc.geobox
    if geobox is None or geobox.crs is None:
        raise ConfigError(
            "the data has no grid with a CRS, so it cannot be placed on the earth",
            hint="keep its coordinates y, x and spatial_ref, or assign a CRS: da.odc.assign_crs(…)",
        )
    stored, known, unit, offset = _encoding(array, dtype, scale, nodata)
    count = len(names)
    return Image(
        geobox=geobox,
        bands=tuple(names),
        dtype=stored.dtype.name,
        nodata=known,
        scales=(unit,) * count,
        offsets=(offset,) * count,
        pixels=stored.data,
        # The name of a Dask array is a digest of its computation.
        token=getattr(stored.data, "name", None) or uuid.uuid4().hex,
    )


def _layers(data: xr.DataArray | xr.Dataset) -> tuple[list[str], xr.DataArray]:
    """Band names, and the array (band, y, x)."""
    if isinstance(data, xr.Dataset):
        if not data.data_vars:
            raise ConfigError("the dataset has no variables to write", hint="keep at least one")
        names = [str(name) for name in data.data_vars]
        layers = [_flat(data[name]) for name in data.data_vars]
        array = xr.concat(layers, dim="band", coords="minimal", compat="override", join="exact")
        nodata = {repr(layer.attrs.get("nodata")) for layer in layers}
        return names, array.assign_attrs(layers[0].attrs if len(nodata) == 1 else {})
    array = _flat(data)
    if array.ndim == 2:
        array = array.expand_dims("band")
    count = array.sizes[array.dims[0]]
    if count == 1:
        return [str(data.name or "data")], array
    labels = array.coords.get(array.dims[0])
    return [str(v) for v in (labels.values if labels is not None else range(1, count + 1))], array


def _flat(array: xr.DataArray) -> xr.DataArray:
    if "time" in array.dims:
        if array.sizes["time"] != 1:
            raise ConfigError(
                f"the data has {array.sizes['time']} dates, and a COG holds one",
                hint="composite them, or pick one: data.isel(time=0)",
            )
        array = array.isel(time=0, drop=True)
    if array.ndim not in (2, 3):
        raise ConfigError(
            f"the data has dimensions {array.dims}; a COG takes (y, x) or (band, y, x)",
            hint="select along the others first",
        )
    return array


def _encoding(
    image: xr.DataArray, dtype: str | None, scale: float | None, nodata: Any
) -> tuple[xr.DataArray, float | None, float, float]:
    """The image in the type that is stored; its nodata, scale and offset."""
    source = image.dtype
    usual = {"float64": "float32", "float16": "float32", "bool": "uint8"}
    target = np.dtype(dtype or usual.get(source.name, source.name))
    if source.kind == "f" and target.kind in "iu":
        unit = 1e-4 if scale is None else scale
        fill = float(nodata) if nodata is not None else float(np.iinfo(target).min)
        stored = xr.apply_ufunc(
            _quantise,
            image,
            kwargs={"unit": unit, "fill": fill, "dtype": target.name},
            dask="parallelized",
            output_dtypes=[target],
            keep_attrs=True,
        )
        return stored, fill, unit, 0.0
    known = image.attrs.get("nodata") if nodata is None else nodata
    if known is None and target.kind == "f":
        known = float("nan")
    unit = image.attrs.get("scale", 1.0) if scale is None else scale
    stored = image.astype(target, keep_attrs=True) if target != source else image
    offset = float(image.attrs.get("offset", 0.0))
    return stored, None if known is None else float(known), float(unit), offset


def _quantise(values: NDArray[Any], *, unit: float, fill: float, dtype: str) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # The nodata value must stay free: numbers at that end of the range move one step in.
    low, high = low + (fill == low), high - (fill == high)
    with np.errstate(invalid="ignore"):
        numbers = np.clip(np.rint(values / np.float32(unit)), low, high)
    return np.where(np.isnan(values), np.float32(fill), numbers).astype(dtype)
