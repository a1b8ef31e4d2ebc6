"""``load``: items as an xarray Dataset on Dask, one task per band, date and chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pystac
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rsdat.arguments import checked
from rsdat.errors import DataError
from rsdat.raster.files import Header, header
from rsdat.raster.grids import Bounds, chunk_shape, output_grid
from rsdat.raster.inputs import Items, check_request, grids_of, item_time, names_of, ordered
from rsdat.raster.reading import fill_value, read
from rsdat.raster.sources import Source, source
from rsdat.raster.waiting import side_by_side


@checked
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
    listed = ordered(items)
    names = list(names_of(bands))
    check_request(names, geobox, bbox, resolution, crs, resampling)
    sources = {name: [source(item, name) for item in listed] for name in names}
    firsts = side_by_side(header, [row[0] for row in sources.values()])
    heads = dict(zip(sources, firsts, strict=True))
    if geobox is None:
        grids = [grid for name in names for grid in grids_of(sources[name], heads[name])]
        geobox = output_grid(grids, bbox=bbox, resolution=resolution, crs=crs)
    finest = min(heads.values(), key=lambda head: abs(head.geobox.resolution.x))
    times = _time_chunks(chunks, len(listed))
    rows, columns = chunk_shape(chunks, geobox, finest.blocks, finest.geobox, max(times))
    variables = {
        name: variable_of(
            sources[name], heads[name], geobox, (times, rows, columns), resampling, scale
        )
        for name in names
    }
    return _dataset(variables, listed, geobox)


def _time_chunks(chunks: Mapping[str, int] | int | None, count: int) -> tuple[int, ...]:
    asked = chunks.get("time", 1) if isinstance(chunks, Mapping) else 1
    step = count if asked == -1 else max(1, int(asked))
    return tuple(min(step, count - start) for start in range(0, count, step))


def read_stack(
    sources: tuple[Source, ...], geobox: GeoBox, resampling: str, dtype: str | None
) -> np.ndarray[Any, Any]:
    """Sources on one grid, (time, y, x): what one Dask task does."""
    one = partial(read, geobox=geobox, resampling=resampling, dtype=dtype)
    layers = side_by_side(one, sources)
    return layers[0][None] if len(layers) == 1 else np.stack(layers)


def variable_of(
    sources: list[Source],
    head: Header,
    geobox: GeoBox,
    chunks: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    resampling: str,
    scale: bool,
) -> xr.Variable:
    """Sources on one grid, (time, y, x), read when a part of it is computed."""
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
