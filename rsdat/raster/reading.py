"""Reading one source on one grid: the function of a GeoBox that everything above evaluates.

On the same CRS, nearest neighbour is a choice of rows and columns: crops, repeats (20 m to 10 m),
thinning and flips alike. Between two CRS, it is the pixel under the centre, exactly, so that a
block's pixels do not depend on how the output is cut into blocks (GDAL's own default is off by up
to 1/8 pixel).
Other resamplings are GDAL's warper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS as RasterioCRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from rsdat.errors import DataError
from rsdat.raster.coordinates import (
    axis_indices,
    overview_level,
    pixel_map,
    sampling,
    scale_between,
    turned,
)
from rsdat.raster.files import Header, attempt, borrow, describe
from rsdat.raster.handles import Opened
from rsdat.raster.sources import Source
from rsdat.storage import shown

Array = NDArray[Any]

#: Most pixels read at once where the output takes only some of them (thinning without overviews).
_STRIP = 16_000_000


def read(
    source: Source, geobox: GeoBox, *, resampling: str = "nearest", dtype: str | None = None
) -> Array:
    """Pixels of a source on a grid.

    Parameters
    ----------
    source
        The band to read.
    geobox
        The grid of the result.
    resampling
        ``nearest``, or another of rasterio's names; bands of classes or bits are always
        ``nearest``. Where the output is at least twice as coarse, the nearest finer overview of
        the file is read.
    dtype
        None: float32, scaled, NaN where there is no data; for classes the file's integers.
        Otherwise the stored numbers in this type.

    Returns
    -------
    array (y, x)
        Where nothing is known: NaN, or :func:`fill_value` for integers.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    head, values, valid = _described(source, geobox, resampling)
    if dtype is not None or source.categorical:
        return _stored(source, head, values, valid, dtype or head.dtype)
    return _scaled(source, head, values, valid)


@dataclass(frozen=True, eq=False)
class Stored:
    """Pixels as the file stores them, and what they mean: ``values * scale + offset``."""

    values: Array
    """(y, x), in the file's type."""
    missing: Array | None
    """(y, x) bool: outside the file, or its nodata value. None: nothing is."""
    scale: float
    offset: float
    fill: float
    """What may stand for "no data" among the stored numbers."""


def read_stored(
    source: Source, geobox: GeoBox, *, resampling: str = "nearest", out: Array | None = None
) -> Stored:
    """Pixels of a source on a grid as stored numbers: the same pixels that :func:`read` scales.

    They are put into ``out`` (y, x) where that has the file's type and it spares a copy.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    head, values, valid = _described(source, geobox, resampling, out)
    scale, offset = calibration_of(source, head)
    fill = fill_value(source, head, values.dtype.name)
    return Stored(values, _missing(source, head, values, valid), scale, offset, fill)


def read_mask(source: Source, geobox: GeoBox, invalid: Callable[[Array], Array]) -> Array:
    """Where a quality band says "do not use" on a grid, nearest neighbour: bool (y, x).

    ``invalid`` is asked about the stored numbers on the file's own pixels, which are fewer than
    the grid's where the file is coarser. True where nothing is known.

    Raises
    ------
    DataError
        The file cannot be read.
    """

    def work() -> tuple[Array, Array | None]:
        head = describe(borrow(source), source)
        nodata = nodata_of(source, head)

        def decide(block: Array) -> Array:
            result = invalid(block)
            return result if nodata is None else result | (block == nodata)

        return _pixels(source, head, geobox, "nearest", decide)

    values, valid = attempt(work, source, geobox)
    if valid is not None:
        values[~valid] = True
    return values


def calibration_of(source: Source, head: Header) -> tuple[float, float]:
    """Scale and offset of a source: the item's, else the file's; 1 and 0 of classes."""
    if source.categorical:
        return 1.0, 0.0
    scale, offset = source.scale, source.offset
    if not source.calibrated:
        scale, offset = head.scale, head.offset
    return 1.0 if scale is None else scale, offset or 0.0


def _missing(source: Source, head: Header, values: Array, valid: Array | None) -> Array | None:
    nodata = nodata_of(source, head)
    outside = None if valid is None else ~valid
    if nodata is None or np.isnan(nodata):  # NaN among floats speaks for itself
        return outside
    missing: Array = values == nodata
    if outside is not None:
        missing |= outside
    return missing if missing.any() else None


def fill_value(source: Source, head: Header, dtype: str) -> float:
    """What stands for "no data" in stored numbers: nodata, or a choice where none is known."""
    nodata = nodata_of(source, head)
    if nodata is not None and not (np.isnan(nodata) and np.dtype(dtype).kind != "f"):
        return float(nodata)
    if np.dtype(dtype).kind == "f":
        return float("nan")
    if source.categorical and "qa_pixel" in source.asset.lower():
        return 1  # bit 0 of QA_PIXEL: fill
    return 0 if np.dtype(dtype).kind in "ub" else float(np.iinfo(dtype).min)


def nodata_of(source: Source, head: Header) -> float | None:
    """The nodata value: the file's own, else the item's; one that the type cannot hold is none.

    An int for integers: compared with a float, they would all be turned to float64.
    """
    kind = np.dtype(head.dtype)
    for value in (head.nodata, source.nodata):
        if value is None:
            continue
        if kind.kind not in "iu":
            return value
        limits = np.iinfo(kind)
        if value == value and limits.min <= value <= limits.max and value == int(value):
            return int(value)
    return None


def _stored(source: Source, head: Header, values: Array, valid: Array | None, dtype: str) -> Array:
    if not np.can_cast(values.dtype, dtype, "same_kind"):
        raise DataError(
            f"item {source.item}: asset {source.asset} holds {values.dtype}, and the first item "
            f"{dtype} ({shown(source.href)})",
            hint="load these items apart, or without scale=False",
        )
    result = values.astype(dtype, copy=False)
    if valid is not None:
        result = np.where(valid, result, np.array(fill_value(source, head, dtype), dtype))
    return result


def _scaled(source: Source, head: Header, values: Array, valid: Array | None) -> Array:
    missing = _missing(source, head, values, valid)
    result = values.astype("float32")
    scale, offset = calibration_of(source, head)
    if scale != 1.0:
        result *= np.float32(scale)
    if offset:
        result += np.float32(offset)
    if missing is not None:
        result[missing] = np.nan
    return result


def _described(
    source: Source, geobox: GeoBox, resampling: str, out: Array | None = None
) -> tuple[Header, Array, Array | None]:
    """What the file says of itself, with its pixels as of :func:`_pixels`."""

    def work() -> tuple[Header, Array, Array | None]:
        head = describe(borrow(source), source)
        return head, *_pixels(source, head, geobox, resampling, out=out)

    return attempt(work, source, geobox)


def _pixels(
    source: Source,
    head: Header,
    geobox: GeoBox,
    resampling: str,
    change: Callable[[Array], Array] | None = None,
    out: Array | None = None,
) -> tuple[Array, Array | None]:
    """Stored numbers on the grid, and where they come from the file (None: everywhere).

    ``change`` (nearest neighbour only) makes other numbers of them on the file's own pixels.
    """
    if out is not None and out.dtype.name != head.dtype:
        out = None
    same_crs = head.geobox.crs == geobox.crs
    if same_crs and (parts := turned(geobox, head.geobox)):
        return _side_by_side([_pixels(source, head, part, resampling, change) for _, part in parts])
    nearest = resampling == "nearest" or source.categorical
    steps = ~head.geobox.transform * geobox.transform
    straight = same_crs and abs(steps.b) < 1e-9 and abs(steps.d) < 1e-9
    if straight and (nearest or _coincide(steps)):
        return _choose(source, head, geobox, change, out)
    if nearest or change is not None:
        return _gather(source, head, geobox, change)
    return _warp(source, head, geobox, resampling)


def _side_by_side(parts: list[tuple[Array, Array | None]]) -> tuple[Array, Array | None]:
    valid = [np.ones(v.shape, bool) if known is None else known for v, known in parts]
    return np.concatenate([values for values, _ in parts], axis=1), np.concatenate(valid, axis=1)


def _coincide(steps: Any) -> bool:
    shifts = (steps.a - 1, steps.e - 1, steps.c - round(steps.c), steps.f - round(steps.f))
    return all(abs(shift) < 1e-6 for shift in shifts)


def _choose(
    source: Source,
    head: Header,
    geobox: GeoBox,
    change: Callable[[Array], Array] | None,
    out: Array | None,
) -> tuple[Array, Array | None]:
    steps = ~head.geobox.transform * geobox.transform
    opened, grid = _at_scale(source, head, min(abs(steps.a), abs(steps.e)))
    steps = ~grid.transform * geobox.transform
    rows = axis_indices(steps.e, steps.f, geobox.height)
    columns = axis_indices(steps.a, steps.c, geobox.width)
    row_in = (rows >= 0) & (rows < grid.height)
    column_in = (columns >= 0) & (columns < grid.width)
    everywhere = bool(row_in.all() and column_in.all())
    if everywhere and change is None and out is not None and _runs(rows) and _runs(columns):
        opened.read(source.band, int(rows[0]), int(columns[0]), len(rows), len(columns), out)
        return out, None
    dtype = head.dtype if change is None else "bool"
    if not (row_in.any() and column_in.any()):
        return np.zeros(tuple(geobox.shape), dtype), np.zeros(tuple(geobox.shape), bool)
    part = _take(opened, source.band, rows[row_in], columns[column_in], change)
    if everywhere:
        return part, None
    values = np.zeros(tuple(geobox.shape), dtype)
    valid = row_in[:, None] & column_in[None, :]
    values[valid] = part.ravel()
    return values, valid


def _take(
    opened: Opened,
    band: int,
    rows: Array,
    columns: Array,
    change: Callable[[Array], Array] | None,
) -> Array:
    left, right = int(columns.min()), int(columns.max()) + 1
    height = int(rows.max()) - int(rows.min()) + 1
    if _runs(rows) and _runs(columns):
        block = opened.read(band, int(rows[0]), left, height, right - left)
        return np.asarray(block if change is None else change(block))
    strips = max(1, -(-height * (right - left) // _STRIP)) if height > 2 * len(rows) else 1
    parts = []
    for some in np.array_split(rows, min(strips, len(rows))):
        top, bottom = int(some.min()), int(some.max()) + 1
        block = opened.read(band, top, left, bottom - top, right - left)
        if change is not None:
            block = change(block)
        # Two takes: indexing would leave the columns in front, and all that follows would be slow.
        parts.append(block.take(some - top, axis=0).take(columns - left, axis=1))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _runs(indices: Array) -> bool:
    return bool((np.diff(indices) == 1).all())


def _gather(
    source: Source,
    head: Header,
    geobox: GeoBox,
    change: Callable[[Array], Array] | None,
) -> tuple[Array, Array | None]:
    taken = sampling(geobox, head.geobox, head.overviews)
    values = np.zeros(tuple(geobox.shape), head.dtype if change is None else "bool")
    if taken is None:
        return values, np.zeros(values.shape, bool)
    block = borrow(source, taken.level).read(source.band, *taken.window)
    block = (block if change is None else change(block)).reshape(-1)
    step = max(1, _STRIP // 64 // max(geobox.width, 1))
    for start in range(0, geobox.height, step):  # numpy copies an index before it takes
        rows = slice(start, start + step)
        np.take(block, taken.index[rows], out=values[rows], mode="clip")
    return values, taken.valid


def _at_scale(source: Source, head: Header, scale: float) -> tuple[Opened, GeoBox]:
    """The file, or the coarsest of its overviews that is still as fine as the output."""
    level = overview_level(head.overviews, scale)
    if level is None:
        return borrow(source), head.geobox
    opened = borrow(source, level)
    seen = opened.dataset
    return opened, GeoBox(seen.shape, seen.transform, head.geobox.crs)


def _warp(
    source: Source, head: Header, geobox: GeoBox, resampling: str
) -> tuple[Array, Array | None]:
    nothing = np.zeros(tuple(geobox.shape), head.dtype)
    rows, columns = pixel_map(geobox, head.geobox, exact=False)
    reach = 4  # the widest kernel (lanczos) looks three pixels around
    near = (rows > -reach) & (rows < head.geobox.height + reach)
    near &= (columns > -reach) & (columns < head.geobox.width + reach)
    if not near.any():
        return nothing, np.zeros(nothing.shape, bool)
    nodata = nodata_of(source, head)
    options: dict[str, Any] = {"src_nodata": nodata, "nodata": nodata}
    if nodata is None:
        options = {"add_alpha": True}
    across, down, least = scale_between(geobox, head.geobox)
    opened, grid = _at_scale(source, head, least)
    # GDAL would take the kernel's size from each block's own extent, and its edges would show.
    options["XSCALE"] = head.geobox.width / (grid.width * across)
    options["YSCALE"] = head.geobox.height / (grid.height * down)
    options |= {"src_crs": _wrapped(head.geobox), "crs": geobox.crs.to_wkt(), "tolerance": 0.001}
    options |= {"transform": geobox.transform, "width": geobox.width, "height": geobox.height}
    options["resampling"] = Resampling[resampling]
    with opened.by_gdal() as dataset, WarpedVRT(dataset, **options) as warped:
        values = warped.read(source.band)
        if nodata is None:
            return values, warped.read(warped.count) > 0
        return values, np.isfinite(values) if np.isnan(nodata) else values != nodata


def _wrapped(grid: GeoBox) -> str:
    """The CRS of a grid for GDAL, which is told where longitudes go on beyond 180 degrees."""
    box = grid.boundingbox
    if grid.crs.geographic and (box.left < -180 or box.right > 180):
        text = RasterioCRS.from_wkt(grid.crs.to_wkt()).to_proj4()
        return f"{text} +lon_wrap={(box.left + box.right) / 2:.6f}"
    return str(grid.crs.to_wkt())
