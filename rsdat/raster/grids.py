"""The output grid: from what the files hold and what the user asked for; and how it is cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from odc.geo.crs import CRS, CRSError
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, box
from rasterio.transform import Affine

from rsdat.errors import ConfigError, DataError
from rsdat.raster.sources import Declared

#: Edge of a default chunk, in pixels: 16 MB of float32, some hundred tasks for a Sentinel-2 scene.
CHUNK = 2048
_CHUNK_BYTES = 128_000_000
#: Times the longer edge of an area that a pixel may have: metres are not meant as degrees.
_LARGEST = 10
#: Pixels that an edge may have, in GDAL and in TIFF.
_LONGEST = 2**31 - 1

Bounds = tuple[float, float, float, float]


def declared_geobox(declared: Declared) -> GeoBox | None:
    """The grid that an item declares; None where its CRS is none that is known."""
    try:
        crs = CRS(declared.crs)
    except CRSError:
        return None
    return GeoBox(declared.shape, Affine(*declared.transform), crs)


def output_grid(
    grids: Sequence[GeoBox],
    *,
    bbox: Bounds | None = None,
    resolution: float | None = None,
    crs: Any = None,
) -> GeoBox:
    """The grid on which sources are read together.

    The CRS is the one asked for, else the one that most sources have. The resolution is the one
    asked for, else the finest of the sources. Pixels lie on those of the finest source where the
    CRS is its own, on whole multiples of the resolution otherwise. The extent is the union of the
    sources, cut to ``bbox`` (west, south, east, north in degrees, west > east across the
    antimeridian).

    Raises
    ------
    DataError
        When ``bbox`` does not meet the sources.
    """
    own = _commonest(grids)
    target = _crs(crs) if crs is not None else own.crs
    model = min((g for g in grids if g.crs == own.crs), key=lambda g: abs(g.resolution.x))
    asked = None if bbox is None else _projected(bbox, target)
    area = _united(grids, target, asked)
    if bbox is not None and asked is not None:
        meets = asked.left < area.right and asked.right > area.left
        if not (meets and asked.bottom < area.top and asked.top > area.bottom):
            raise DataError(
                f"the bbox {_text(bbox)} does not meet the items, which cover {in_degrees(area)}",
                hint="give the bbox as west,south,east,north in degrees",
            )
        area = area & asked
    size = _resolution(resolution, model, target, area)
    origin = (model.transform.c, model.transform.f) if target == model.crs else (0.0, 0.0)
    return _snapped(area, size, origin, target)


def _crs(asked: Any) -> CRS:
    try:
        return CRS(asked)
    except CRSError:
        raise ConfigError(f"CRS {asked!r} is not known", hint="give it as EPSG:32633") from None


def _commonest(grids: Sequence[GeoBox]) -> GeoBox:
    counts: dict[CRS, int] = {}
    for grid in grids:
        counts[grid.crs] = counts.get(grid.crs, 0) + 1
    best = max(counts, key=lambda crs: counts[crs])
    return next(grid for grid in grids if grid.crs == best)


def _united(grids: Sequence[GeoBox], crs: CRS, asked: BoundingBox | None = None) -> BoundingBox:
    boxes = [extent_in(grid, crs) for grid in dict.fromkeys(grids)]
    if crs.geographic:
        boxes = _near_one_another(boxes, asked)
    return BoundingBox(
        min(b.left for b in boxes),
        min(b.bottom for b in boxes),
        max(b.right for b in boxes),
        max(b.top for b in boxes),
        crs,
    )


def extent_in(grid: GeoBox, crs: CRS, *, pad: int = 0) -> BoundingBox:
    """Bounds of a grid, and ``pad`` pixels around, in another CRS.

    Longitudes go on across the antimeridian: the left one is from -180 to 180, the right one east
    of it. A grid around a pole has all longitudes, and the pole.
    """
    wider = grid.pad(pad) if pad else grid
    if grid.crs == crs:
        return wider.boundingbox
    if not crs.geographic:
        return wider.footprint(crs, buffer=0, npoints=200).boundingbox
    longitudes, latitudes = _rim(wider, crs)
    if not len(longitudes):
        return BoundingBox(-180, -90, 180, 90, crs)
    way = np.unwrap(longitudes, period=360)
    low, high = float(latitudes.min()), float(latitudes.max())
    if abs(way[-1] - way[0]) > 180:  # once around a pole
        low, high = (low, 90.0) if low + high > 0 else (-90.0, high)
        return BoundingBox(-180, low, 180, high, crs)
    left, right = float(way.min()), float(way.max())
    turn = 360 * math.floor((left + 180) / 360)
    return BoundingBox(left - turn, low, right - turn, high, crs)


def _rim(grid: GeoBox, crs: CRS) -> tuple[Any, Any]:
    """Points of the outline of a grid in another CRS, the first one again at the end."""
    height, width = grid.shape
    along = np.linspace(0, 1, 101)[:-1]
    zero, one = np.zeros(100), np.ones(100)
    x = np.concatenate([along, one, 1 - along, zero, [0]]) * width
    y = np.concatenate([zero, along, one, 1 - along, [0]]) * height
    with np.errstate(invalid="ignore"):
        x, y = grid.crs.transformer_to_crs(crs)(*(grid.transform * (x, y)))
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]


def _near_one_another(boxes: list[BoundingBox], asked: BoundingBox | None) -> list[BoundingBox]:
    """The boxes turned by 360 degrees: to where a bbox is, else so that they span the least."""
    if asked is not None:
        turned = [_turned(box, turns) for box in boxes for turns in (-1, 0, 1)]
        return [box for box in turned if box.left < asked.right and box.right > asked.left] or boxes
    eastern = [_turned(box, 1) if box.left < 0 else box for box in boxes]
    spans = [max(b.right for b in some) - min(b.left for b in some) for some in (boxes, eastern)]
    return eastern if spans[1] < spans[0] else boxes


def _turned(box: BoundingBox, turns: int) -> BoundingBox:
    return BoundingBox(
        box.left + 360 * turns, box.bottom, box.right + 360 * turns, box.top, box.crs
    )


def _projected(bbox: Bounds, crs: CRS) -> BoundingBox:
    west, south, east, north = bbox
    if east < west:
        east += 360
    return box(west, south, east, north, "EPSG:4326").to_crs(crs, resolution=0.05).boundingbox


def in_degrees(area: BoundingBox) -> str:
    """Where an area lies, as west,south,east,north, for messages."""
    bounds = area.polygon.to_crs("EPSG:4326").boundingbox
    return _text((bounds.left, bounds.bottom, bounds.right, bounds.top))


def _text(bounds: Bounds) -> str:
    return ",".join(f"{number:.5g}" for number in bounds)


def _resolution(
    asked: float | None, model: GeoBox, crs: CRS, area: BoundingBox
) -> tuple[float, float]:
    if asked is not None:
        wide, high = area.right - area.left, area.top - area.bottom
        if asked > _LARGEST * max(wide, high):
            raise ConfigError(
                f"a pixel of {asked:g} is larger than all that is to be read: "
                f"{wide:.3g} × {high:.3g}",
                hint=f"give the resolution in the unit of {crs}: {crs.units[0]}",
            )
        return float(asked), float(asked)
    if crs == model.crs:
        return abs(model.resolution.x), abs(model.resolution.y)
    resolution = model.to_crs(crs).resolution
    edge = float(f"{min(abs(resolution.x), abs(resolution.y)):.2g}")
    return edge, edge


def _snapped(
    area: BoundingBox, size: tuple[float, float], origin: tuple[float, float], crs: CRS
) -> GeoBox:
    """The pixels of a grid through ``origin`` that an area touches, north up."""
    (width, height), (x0, y0) = size, origin
    left, right = _cells((area.left - x0) / width, (area.right - x0) / width)
    top, bottom = _cells((y0 - area.top) / height, (y0 - area.bottom) / height)
    if max(bottom - top, right - left) > _LONGEST:
        raise ConfigError(
            f"pixels of {width:g} × {height:g} make a grid of {bottom - top} × {right - left}",
            hint="give a larger resolution, in the CRS's own unit, or a smaller bbox",
        )
    transform = Affine(width, 0, x0 + left * width, 0, -height, y0 - top * height)
    return GeoBox((bottom - top, right - left), transform, crs)


def _cells(start: float, stop: float) -> tuple[int, int]:
    """Whole cells that cover an interval; a cell less than a thousandth touched is left out."""
    first = int(-(-(start - 1e-3) // 1)) if abs(start - round(start)) < 1e-3 else int(start // 1)
    last = round(stop) if abs(stop - round(stop)) < 1e-3 else int(-(-stop // 1))
    return first, max(last, first + 1)


def chunk_shape(
    chunks: Mapping[str, int] | int | None,
    grid: GeoBox,
    blocks: tuple[int, int],
    source: GeoBox,
    dates: int = 1,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How rows and columns are cut: as asked, else at the edges of the source's own blocks.

    With many ``dates`` in one chunk the default is smaller, so that a chunk stays near 128 MB.
    """
    edge = max(256, min(CHUNK, int((_CHUNK_BYTES / 4 / dates) ** 0.5)))
    asked = asked_chunks(chunks, ("time", "y", "x"))
    steps = ~source.transform * grid.transform
    aligned = grid.crs == source.crs and abs(abs(steps.a) - 1) < 1e-6 and steps.e > 0
    rows, columns = _whole_blocks(blocks, edge) if aligned else (edge, edge)
    shifts = (round(steps.f), round(steps.c)) if aligned else (0, 0)
    result = []
    for name, size, default, shift in zip(
        ("y", "x"), grid.shape, (rows, columns), shifts, strict=True
    ):
        wanted = asked.get(name)
        if wanted is None:
            result.append(_cut(size, default, shift % default))
        else:
            result.append(_cut(size, size if wanted == -1 else int(wanted), 0))
    return result[0], result[1]


def asked_chunks(
    chunks: Mapping[str, int] | int | None, dimensions: Sequence[str]
) -> dict[str, int]:
    """Sizes of chunks by their dimension, as they were asked for; one number is of y and x.

    Raises
    ------
    ConfigError
        A dimension is none of these, or a size is neither positive nor -1 (one chunk).
    """
    if chunks is None:
        return {}
    asked = dict(chunks) if isinstance(chunks, Mapping) else {"y": chunks, "x": chunks}
    possible = all(
        isinstance(size, int | np.integer) and (size > 0 or size == -1) for size in asked.values()
    )
    if not (possible and set(asked) <= set(dimensions)):
        raise ConfigError(
            f"chunks {chunks!r} are not possible",
            hint='give pixels, as 2048 or {"y": 1024, "x": -1} (-1: one chunk)',
        )
    return asked


def _whole_blocks(blocks: tuple[int, int], edge: int) -> tuple[int, int]:
    rows, columns = blocks
    wide = columns * max(1, edge // columns)
    budget = max(1, edge * edge // wide)
    return rows * max(1, budget // rows), wide


def _cut(size: int, step: int, shift: int) -> tuple[int, ...]:
    first = min(size, step - shift)
    rest = size - first
    sizes = (first, *([step] * (rest // step)), rest % step)
    return tuple(part for part in sizes if part)
