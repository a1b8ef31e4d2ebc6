"""``load``: items as an xarray Dataset on Dask, one task per band, date and chunk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask.array as da
import numpy as np
import pystac
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.enums import Resampling

from rsdat.catalog import search
from rsdat.errors import ConfigError, DataError
from rsdat.raster.files import Header, header
from rsdat.raster.grids import Bounds, chunk_shape, declared_geobox, output_grid
from rsdat.raster.reading import fill_value, read
from rsdat.raster.sources import Source, source

Items = Iterable[pystac.Item] | pystac.Item | pystac.Catalog


def load(
    items: Items,
    bands: str | Sequence[str],
    *,
    bbox: Bounds | None = None,
    geobox: GeoBox | None = None,
    resolution: float | None = None,
    crs: Any = None,
    chunks: Mapping[str, int] | int | None = None,
    resampling: str = "nearest",
    scale: bool = True,
) -> xr.Dataset:
    """Bands of items as an xarray Dataset, lazily on Dask.

    Parameters
    ----------
    items
        STAC items, as :func:`rsdat.search` gives them, an ItemCollection, a single item, or all
        items of a static catalog; one time step each, sorted by time.
    bands
        Asset keys, band names or common names: ``["red", "nir", "scl"]``. A variable each.
    bbox
        West, south, east, north in degrees: the part to load. Without it, all that the items cover.
    geobox
        The exact grid of the result (``odc.geo.geobox.GeoBox``), instead of ``bbox``,
        ``resolution`` and ``crs``.
    resolution, crs
        The pixels' edge, in the unit of the CRS, and the CRS. Without them: the finest resolution
        of the bands, and the CRS of most items; then pixels are those of the files.
    chunks
        Sizes for ``time``, ``y`` and ``x`` (-1: one chunk). Default: one date, and about 2048
        pixels at the edges of the files' own blocks. ``{"time": -1}`` reads all dates of a tile in
        one task, which suits composites.
    resampling
        ``nearest``, ``bilinear``, ``cubic``, … where grids differ. Classes are always ``nearest``.
    scale
        True: float32 in physical units (reflectance), scaled by each asset's own scale and offset,
        NaN where there is no data; bands of classes or bits (``scl``, ``qa_pixel``) stay integers,
        with the value for "no data" in the attribute ``nodata``. False: the stored integers of
        every band, with attributes ``scale``, ``offset`` and ``nodata``.

    Returns
    -------
    Dataset with dimensions (time, y, x)
        Coordinates ``time`` (UTC), ``item`` (ids), ``y``, ``x`` (pixel centres), ``spatial_ref``.

    Raises
    ------
    DataError
        An item has no such band, a file cannot be opened, or nothing lies in ``bbox``. Blocks that
        cannot be read raise it when they are computed.
    """
    ordered = _ordered(items)
    names = [bands] if isinstance(bands, str) else list(bands)
    _check(ordered, names, geobox, bbox, resolution, crs, resampling)
    sources = {name: [source(item, name) for item in ordered] for name in names}
    heads = {name: header(row[0]) for name, row in sources.items()}
    if geobox is None:
        grids = [grid for name in names for grid in _grids(sources[name], heads[name])]
        geobox = output_grid(grids, bbox=bbox, resolution=resolution, crs=crs)
    finest = min(heads.values(), key=lambda head: abs(head.geobox.resolution.x))
    times = _time_chunks(chunks, len(ordered))
    rows, columns = chunk_shape(chunks, geobox, finest.blocks, finest.geobox, max(times))
    variables = {
        name: _variable(
            sources[name], heads[name], geobox, (times, rows, columns), resampling, scale
        )
        for name in names
    }
    return _dataset(variables, ordered, geobox)


def _ordered(items: Items) -> list[pystac.Item]:
    listed = _listed(items)
    if not listed:
        raise DataError("there are no items to load", hint="search with a wider bbox or datetime")
    for item in listed:
        if not isinstance(item, pystac.Item):
            raise _not_items(item)
    return sorted(listed, key=lambda item: (item_time(item), item.id))


def _listed(items: Any) -> list[Any]:
    if isinstance(items, pystac.Item):
        return [items]
    if isinstance(items, pystac.Catalog):
        if hasattr(items, "conforms_to"):  # an API: what it holds has no end
            raise DataError(
                f"{items.id} is a STAC API, and load takes items",
                hint="search it first: rsdat.search(catalog, bbox=…, datetime=…, collections=…)",
            )
        return search(items)
    if isinstance(items, str | os.PathLike | Mapping) or not isinstance(items, Iterable):
        raise _not_items(items)
    return list(items)


def _not_items(given: Any) -> DataError:
    return DataError(
        f"load takes STAC items, and was given {type(given).__name__}",
        hint="use what rsdat.search() returns",
    )


def item_time(item: pystac.Item) -> np.datetime64:
    """When an item was taken (UTC): its datetime, else the start of its interval."""
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise DataError(f"item {item.id} has no datetime", hint="correct the item, or leave it out")
    if moment.tzinfo is not None:
        from datetime import UTC

        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def _check(
    items: list[pystac.Item],
    bands: list[str],
    geobox: GeoBox | None,
    bbox: Bounds | None,
    resolution: float | None,
    crs: Any,
    resampling: str,
) -> None:
    if not bands:
        raise ConfigError("no bands were named", hint='name some, as ["red", "nir"]')
    if len(set(bands)) < len(bands):
        raise ConfigError(f"a band is named twice in {', '.join(bands)}", hint="name each once")
    if geobox is not None and not (bbox is None and resolution is None and crs is None):
        raise ConfigError(
            "a geobox already says the extent, resolution and CRS",
            hint="give either geobox, or bbox, resolution and crs",
        )
    if resampling not in Resampling.__members__:
        raise ConfigError(
            f"resampling {resampling!r} is not known",
            hint=f"use one of {', '.join(Resampling.__members__)}",
        )


def _grids(sources: list[Source], first: Header) -> list[GeoBox]:
    """The grid of each source, opening as few files as the truth allows.

    Where the first file is as its item declares, the others' declarations are believed; where it
    is not (a thinned copy, say), every file is asked.
    """
    declared = [one.declared for one in sources]
    if declared[0] is not None and _agree(declared_geobox(declared[0]), first.geobox):
        rest = [None if one is None else declared_geobox(one) for one in declared[1:]]
    else:
        rest = [None] * (len(sources) - 1)
    unknown = [one for one, grid in zip(sources[1:], rest, strict=True) if grid is None]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = iter(list(pool.map(lambda one: header(one).geobox, unknown)))
    return [first.geobox, *(grid if grid is not None else next(found) for grid in rest)]


def _agree(one: GeoBox, other: GeoBox) -> bool:
    return bool(
        one.shape == other.shape
        and one.crs == other.crs
        and one.transform.almost_equals(other.transform, 1e-6)
    )


def _time_chunks(chunks: Mapping[str, int] | int | None, count: int) -> tuple[int, ...]:
    asked = chunks.get("time", 1) if isinstance(chunks, Mapping) else 1
    step = count if asked == -1 else max(1, int(asked))
    return tuple(min(step, count - start) for start in range(0, count, step))


def read_stack(
    sources: tuple[Source, ...], geobox: GeoBox, resampling: str, dtype: str | None
) -> np.ndarray[Any, Any]:
    """Sources on one grid, (time, y, x): what one Dask task does."""
    layers = [read(one, geobox, resampling=resampling, dtype=dtype) for one in sources]
    return layers[0][None] if len(layers) == 1 else np.stack(layers)


def _variable(
    sources: list[Source],
    head: Header,
    geobox: GeoBox,
    chunks: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    resampling: str,
    scale: bool,
) -> xr.Variable:
    first = sources[0]
    stored = first.categorical or not scale
    dtype = head.dtype if stored else None
    result = np.dtype(head.dtype if stored else "float32")
    name = f"read-{first.asset}-{tokenize(sources, geobox, chunks, resampling, dtype)}"
    graph: dict[tuple[Any, ...], Any] = {}
    for t, dates in enumerate(_spans(chunks[0])):
        some = tuple(sources[dates])
        for i, rows in enumerate(_spans(chunks[1])):
            for j, columns in enumerate(_spans(chunks[2])):
                key = (name, t, i, j)
                graph[key] = (read_stack, some, geobox[rows, columns], resampling, dtype)
    layer = HighLevelGraph.from_collections(name, graph)
    data = da.Array(layer, name, chunks, dtype=result)
    attributes: dict[str, Any] = {"nodata": float("nan")}
    if stored:
        attributes = {"nodata": result.type(fill_value(first, head, head.dtype)).item()}
        attributes |= {} if scale else _calibration(sources, head)
    return xr.Variable(("time", "y", "x"), data, attributes)


def _calibration(sources: list[Source], head: Header) -> dict[str, float]:
    numbers = {(one.scale, one.offset) for one in sources}
    if len(numbers) > 1:
        raise DataError(
            f"the items differ in scale or offset of asset {sources[0].asset}: {sorted(numbers)}",
            hint="load them with scale=True, which applies each item's own",
        )
    first = sources[0]
    if first.categorical:
        return {}
    scale, offset = (first.scale, first.offset) if first.calibrated else (head.scale, head.offset)
    return {"scale": 1.0 if scale is None else scale, "offset": offset or 0.0}


def _spans(sizes: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _dataset(
    variables: dict[str, xr.Variable], items: list[pystac.Item], geobox: GeoBox
) -> xr.Dataset:
    coordinates: dict[Any, Any] = dict(xr_coords(geobox, dims=("y", "x")))
    coordinates["time"] = ("time", np.array([item_time(item) for item in items]))
    coordinates["item"] = ("time", np.array([item.id for item in items], dtype=object).astype(str))
    for variable in variables.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    return xr.Dataset(variables, coords=coordinates)
