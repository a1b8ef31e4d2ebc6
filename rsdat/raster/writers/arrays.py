"""An xarray object as an image for the writers: its bands, its grid, and its stored numbers."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the accessor .odc)
import xarray as xr
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError
from rsdat.raster.encoding import UNIT, check_number
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
    if not isinstance(data, xr.DataArray | xr.Dataset):
        raise ConfigError(
            f"what is written is a DataArray or a Dataset, and not a {type(data).__name__}",
            hint="of a chain: chain.to_cog(…); of numpy's arrays: xr.DataArray with a grid",
        )
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
    image: xr.DataArray, dtype: str | None, scale: float | None, nodata: float | None
) -> tuple[xr.DataArray, float | None, float, float]:
    """The image in the type that is stored; its nodata, scale and offset."""
    target = _target(image.dtype, dtype)
    check_number("nodata", nodata)
    check_number("scale", scale)
    if scale is not None and not (0 < scale < math.inf):
        raise ConfigError(f"scale {scale} is not positive", hint="give the unit, such as 0.0001")
    if image.dtype.kind == "f" and target.kind in "iu":
        unit, fill = _unit(target, scale), float(np.iinfo(target).min)
        fill = fill if nodata is None else _whole(nodata, target)
        options = {"unit": unit, "fill": fill, "dtype": target.name}
        return _mapped(image, _quantise, target, options), fill, unit, 0.0
    known = image.attrs.get("nodata") if nodata is None else nodata
    if target.kind in "iu" and known is not None:
        # What data carries along may be of the floats that it was computed from.
        known = _whole(known, target) if nodata is not None or _fits(known, target) else None
    if known is None and target.kind == "f":
        known = float("nan")
    unit = image.attrs.get("scale", 1.0) if scale is None else scale
    stored = image
    if target != image.dtype:
        narrower = image.dtype.kind in "iu" and not np.can_cast(image.dtype, target)
        function = _narrowed if narrower else _cast
        stored = _mapped(image, function, target, {"dtype": target.name})
    nothing = None if known is None else float(known)
    if image.dtype.kind == "f" and nothing is not None and not math.isnan(nothing):
        stored = _mapped(stored, _filled, target, {"nodata": nothing})
    return stored, nothing, float(unit), float(image.attrs.get("offset", 0.0))


def _target(source: np.dtype[Any], asked: str | None) -> np.dtype[Any]:
    """The type to store: the one asked for, else the data's own, or the next that files have."""
    usual = {"float64": "float32", "float16": "float32", "bool": "uint8"}
    if source.kind not in "biuf":
        raise ConfigError(f"data of type {source} are no pixels", hint="give numbers")
    try:
        target = np.dtype(asked or usual.get(source.name, source.name))
    except TypeError:
        raise ConfigError(
            f"dtype {asked!r} is not known", hint="use float32, int16, uint16 or uint8"
        ) from None
    if target.kind not in "iuf":
        raise ConfigError(
            f"numbers of type {target} cannot be stored", hint="use float32, int16, uint16 or uint8"
        )
    return target


def _unit(target: np.dtype[Any], scale: float | None) -> float:
    """The unit in which floats are stored as integers."""
    if scale is None and target.itemsize == 1:
        raise ConfigError(
            f"dtype {target} holds too few numbers for units of {UNIT}",
            hint="use int16, or give a unit that fits, such as scale=0.01",
        )
    if target.itemsize > 4:
        raise ConfigError(f"floats are not stored as {target}", hint="use float32 or int32")
    return UNIT if scale is None else float(scale)


def _fits(number: Any, target: np.dtype[Any]) -> bool:
    try:
        limits = np.iinfo(target)
        return bool(limits.min <= number <= limits.max and number == int(number))
    except (TypeError, ValueError):
        return False


def _whole(nodata: Any, target: np.dtype[Any]) -> float:
    if not _fits(nodata, target):
        limits = np.iinfo(target)
        raise ConfigError(
            f"nodata {nodata} is no number of {target}",
            hint=f"use a whole number from {limits.min} to {limits.max}",
        )
    return float(nodata)


def _mapped(
    image: xr.DataArray, function: Any, target: np.dtype[Any], options: dict[str, Any]
) -> xr.DataArray:
    mapped: xr.DataArray = xr.apply_ufunc(
        function,
        image,
        kwargs=options,
        dask="parallelized",
        output_dtypes=[target],
        keep_attrs=True,
    )
    return mapped


def _cast(values: NDArray[Any], *, dtype: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def _filled(values: NDArray[Any], *, nodata: float) -> NDArray[Any]:
    return np.where(np.isnan(values), values.dtype.type(nodata), values)


def _narrowed(values: NDArray[Any], *, dtype: str) -> NDArray[Any]:
    """Integers in a type that may not hold them: one that it cannot hold is not made another."""
    limits = np.iinfo(dtype)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if low < limits.min or high > limits.max:
        raise DataError(
            f"the number {low if low < limits.min else high} is beyond {dtype}",
            hint="store a type that holds all numbers, or leave out those that it does not",
        )
    return values.astype(dtype)


def _quantise(values: NDArray[Any], *, unit: float, fill: float, dtype: str) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # The nodata value must stay free: numbers at that end of the range move one step in.
    low, high = low + (fill == low), high - (fill == high)
    with np.errstate(invalid="ignore", over="ignore"):  # what is too large is clipped
        numbers = np.clip(np.rint(values / np.float32(unit)), low, high)
    return np.where(np.isnan(values), np.float32(fill), numbers).astype(dtype)
