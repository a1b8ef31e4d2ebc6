"""Composites on xarray: many dates to one, or to one a period, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsdat.arguments import checked
from rsdat.errors import ConfigError
from rsdat.raster.grouping import check_period, groups
from rsdat.raster.indices import numbers_of, physical
from rsdat.raster.kernels import check_method, reducer, result_bands
from rsdat.raster.kernels.stored import DTYPES
from rsdat.raster.masks import QUALITY_BANDS

Array = NDArray[Any]
Data = TypeVar("Data", xr.Dataset, xr.DataArray)

#: Methods that look at all bands of a pixel together.
_SPECTRAL = ("max_ndvi", "medoid")

#: Methods that choose a date or count, and so mean something for classes, too.
_FOR_CLASSES = ("count", "first", "most_recent")

_DESCRIPTIONS = {
    "ndvi": {"long_name": "largest NDVI", "units": "1"},
    "date": {"long_name": "day of the largest NDVI", "units": "days since 1970-01-01"},
}


@checked
def composite(
    ds: Data,
    method: str = "median",
    by: str | None = None,
    *,
    red: str = "red",
    nir: str = "nir",
) -> Data:
    """One image of many dates, lazily, or one a period; no-data left out.

    Parameters
    ----------
    ds
        A Dataset or DataArray with dimension ``time``, masked by :func:`rsdat.mask_clouds`. Stored
        integers are turned to physical units.
    method
        ``median``, ``mean``, ``min``, ``max``, ``count`` (of valid dates); a percentile, ``p10``
        or ``percentile:12.5``; ``first`` (the first valid in the order of ``time``: a cloud-free
        mosaic), ``most_recent``; of a Dataset ``medoid`` (the date nearest to all others in all
        bands) and ``max_ndvi`` (all bands on the date of the largest NDVI, and the variables
        ``ndvi`` and ``date``, the day since 1970-01-01).
    by
        ``month``, ``season``, ``year``, ``day``, ``solar_day`` or a number of days (``10d``): one
        image for each period that has dates, see :func:`rsdat.raster.grouping.groups`. Solar time
        is that of the image's centre.
    red, nir
        Names of the variables that ``max_ndvi`` takes.

    Returns
    -------
    The same without ``time``, or with the periods' starts as ``time``; float32, NaN where no date
    has data.

    Raises
    ------
    ConfigError
        The method or the period is not known, there is no ``time``, or a band of classes or bits
        (``scl``) is still there.

    Notes
    -----
    A task holds all dates of one chunk. ``load(…, chunks={"time": -1})`` reads them in one task
    each; with many dates add smaller ``y`` and ``x``.
    """
    check_method(method)
    check_period(by)
    options = {"red": red, "nir": nir}
    if isinstance(ds, xr.Dataset):
        return _by_period(ds, method, by, options)
    if method in _SPECTRAL:
        raise ConfigError(
            f"{method} needs the bands of a Dataset, not one DataArray",
            hint=f'composite(ds, "{method}") of a Dataset with all bands',
        )
    name = "values" if ds.name is None else ds.name
    dataset = ds.to_dataset(name=name)
    return _by_period(dataset, method, by, options)[name].rename(ds.name)


def _by_period(ds: xr.Dataset, method: str, by: str | None, options: dict[str, Any]) -> xr.Dataset:
    dated = {name: one for name, one in ds.data_vars.items() if "time" in one.dims}
    if not dated or not ds.sizes["time"]:
        raise ConfigError(
            "there is no dimension time to composite over", hint="load more than one item"
        )
    _refuse_classes(dated, method)
    days = _days(ds, needed=by is not None or method == "max_ndvi")
    if method == "max_ndvi":
        days = np.floor(days)  # they come out as the variable date
    if by is None:
        return ds.drop_dims("time").assign(_composited(dated, method, days, options))
    longitude = _longitude(ds) if by == "solar_day" else None
    found = groups(ds["time"].values, by, longitude)
    images = []
    for group in found:
        members = {name: one.isel(time=list(group.indices)) for name, one in dated.items()}
        images.append(xr.Dataset(_composited(members, method, days[list(group.indices)], options)))
    times = xr.Variable("time", np.array([group.label for group in found], "datetime64[ns]"))
    stacked = xr.concat(images, times, coords="minimal", compat="override", join="exact")
    return ds.drop_dims("time").assign_coords(time=times).assign(stacked.data_vars)


def _refuse_classes(variables: dict[Any, xr.DataArray], method: str) -> None:
    if method in _FOR_CLASSES:
        return
    for name, variable in variables.items():
        # What load() leaves as integers without a scale are classes or bits.
        plain = variable.dtype.kind in "iu" and "scale" not in variable.attrs
        if plain and ("nodata" in variable.attrs or str(name).lower() in QUALITY_BANDS):
            raise ConfigError(
                f"variable {name!r} holds classes or bits, whose {method} means nothing",
                hint=f'mask_clouds(ds, "{name}") first: it uses the band and takes it out; '
                f'or leave it out: ds.drop_vars("{name}")',
            )


def _days(ds: xr.Dataset, needed: bool) -> NDArray[np.float64]:
    """Days since 1970-01-01 of each date; where there are no dates, their position."""
    times = ds["time"].values
    if times.dtype.kind == "M":
        days: NDArray[np.float64] = (times - np.datetime64(0, "D")) / np.timedelta64(1, "D")
        return days
    if needed:
        raise ConfigError(
            f"the coordinate time holds {times.dtype}, not dates",
            hint='give it dates: ds.assign_coords(time=("time", dates)), datetime64',
        )
    return np.arange(ds.sizes["time"], dtype="float64")


def _longitude(ds: xr.Dataset) -> float:
    """Degrees east of the image's centre."""
    import odc.geo.xr  # noqa: F401 - registers the accessor

    grid = ds.odc.geobox
    if grid is None or grid.crs is None:
        raise ConfigError(
            "solar_day needs to know where the image lies, and it has no CRS",
            hint='group by="day", or keep the coordinate spatial_ref',
        )
    return float(grid.geographic_extent.centroid.coords[0][0])


def _composited(
    variables: dict[Any, xr.DataArray], method: str, days: Array, options: dict[str, Any]
) -> dict[Any, xr.DataArray]:
    if method not in _SPECTRAL:
        return {
            name: _applied({name: variable}, method, days, options)[name]
            for name, variable in variables.items()
        }
    return _applied(variables, method, days, options)


def _applied(
    variables: dict[Any, xr.DataArray], method: str, days: Array, options: dict[str, Any]
) -> dict[Any, xr.DataArray]:
    """Variables that are reduced together."""
    names = tuple(map(str, variables))
    out = result_bands(method, names)
    whole = [one if one.chunks is None else one.chunk({"time": -1}) for one in variables.values()]
    results = xr.apply_ufunc(
        _reduce,
        *whole,
        input_core_dims=[["time"]] * len(whole),
        output_core_dims=[[] for _ in out],
        kwargs={
            "method": method,
            "names": names,
            "numbers": [numbers_of(one) for one in whole],
            "days": days,
            "options": options,
        },
        join="exact",
        dask="parallelized",
        output_dtypes=["float32"] * len(out),
        keep_attrs="override",  # those of the coordinates hold the CRS
    )
    keys = [*variables, *out[len(names) :]]
    made = dict(zip(keys, results if len(out) > 1 else [results], strict=True))
    for name, result in made.items():
        attributes = variables[name].attrs if name in variables else _DESCRIPTIONS[name]
        # The numbers are physical now: a scale left behind would be applied a second time.
        kept = {k: v for k, v in attributes.items() if k not in ("scale", "offset", "nodata")}
        result.attrs = {**kept, "nodata": float("nan"), "grid_mapping": "spatial_ref"}
    return made


def _reduce(
    *planes: Array,
    method: str,
    names: tuple[str, ...],
    numbers: Sequence[tuple[float, float, float | None]],
    days: Array,
    options: dict[str, Any],
) -> Any:
    # apply_ufunc moves the reduced axis to the end; the kernels want it in front.
    stacks = [np.moveaxis(plane, -1, 0) for plane in planes]
    types = {stack.dtype for stack in stacks}
    if len(types) > 1 or types.pop().name not in DTYPES:
        pairs = zip(stacks, numbers, strict=True)
        stacks = [physical(stack, *how).astype("float32", copy=False) for stack, how in pairs]
    integers = stacks[0].dtype.kind != "f"
    shape = stacks[0].shape[1:]
    made = reducer(
        method,
        bands=names,
        shape=(1, int(np.prod(shape))),
        dtype=stacks[0].dtype.name,
        scales=tuple(scale if integers else 1.0 for scale, _, _ in numbers),
        offsets=tuple(offset if integers else 0.0 for _, offset, _ in numbers),
        **options,
    )
    for date, day in enumerate(days):
        layers = [stack[date].reshape(1, -1) for stack in stacks]
        made.add(_stacked(layers), _missing(layers, numbers) if integers else None, day)
        if made.complete:
            break
    bands = made.result().reshape(len(made.bands_out), *shape)
    return tuple(bands) if len(bands) > 1 else bands[0]


def _stacked(layers: list[Array]) -> Array:
    return layers[0][None] if len(layers) == 1 else np.stack(layers)


def _missing(layers: list[Array], numbers: Any) -> Array | None:
    nodata = [absent for _, _, absent in numbers]
    if all(absent is None for absent in nodata):
        return None
    return np.stack(
        [
            np.zeros(layer.shape, bool) if absent is None else layer == absent
            for layer, absent in zip(layers, nodata, strict=True)
        ]
    )
