"""The output grid: from what the files hold and what the user asked for; and how it is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from odc.geo.crs import CRS, CRSError
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, box
from rasterio.transform import Affine

from rsdat.errors import ConfigError, DataError
from rsdat.raster.sources import Declared

#: Edge of a default chunk, in pixels: 16 MB of float32, some hundred tasks for a Sentinel-2 scene.
CHUNK = 2048
_CHUNK_BYTES = 128_000_000

Bounds = tuple[float, float, float, float]


def declared_geobox(declared: Declared) -> GeoBox:
    """The grid that an item declares."""
    return GeoBox(declared.shape, Affine(*declared.transform), CRS(declared.crs))


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
    area = _united(grids, target)
    if bbox is not None:
        asked = _projected(bbox, target)
        meets = asked.left < area.right and asked.right > area.left
        if not (meets and asked.bottom < area.top and asked.top > area.bottom):
            raise DataError(
                f"the bbox {_text(bbox)} does not meet the items, "
                f"which cover {_text(_degrees(area))}",
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


def _united(grids: Sequence[GeoBox], crs: CRS) -> BoundingBox:
    boxes = []
    for grid in dict.fromkeys(grids):
        shape = grid.extent if grid.crs == crs else grid.footprint(crs, buffer=0, npoints=200)
        boxes.append(shape.boundingbox)
    return BoundingBox(
        min(b.left for b in boxes),
        min(b.bottom for b in boxes),
        max(b.right for b in boxes),
        max(b.top for b in boxes),
        crs,
    )


def _projected(bbox: Bounds, crs: CRS) -> BoundingBox:
    west, south, east, north = bbox
    if east < west:
        east += 360
    return box(west, south, east, north, "EPSG:4326").to_crs(crs, resolution=0.05).boundingbox


def _degrees(area: BoundingBox) -> Bounds:
    bounds = area.polygon.to_crs("EPSG:4326").boundingbox
    return (bounds.left, bounds.bottom, bounds.right, bounds.top)


def _text(bounds: Bounds) -> str:
    return ",".join(f"{number:.5g}" for number in bounds)


def _resolution(
    asked: float | None, model: GeoBox, crs: CRS, area: BoundingBox
) -> tuple[float, float]:
    if asked is not None:
        if asked <= 0:
            raise ConfigError(
                f"resolution {asked} is not positive", hint="give it in the CRS's own unit"
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
    if isinstance(chunks, int):
        chunks = {"y": chunks, "x": chunks}
    asked = dict(chunks or {})
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


def _whole_blocks(blocks: tuple[int, int], edge: int) -> tuple[int, int]:
    rows, columns = blocks
    wide = columns * max(1, edge // columns)
    budget = max(1, edge * edge // wide)
    return rows * max(1, budget // rows), wide


def _cut(size: int, step: int, shift: int) -> tuple[int, ...]:
    if step < 1:
        raise ConfigError(f"a chunk of {step} pixels is not possible", hint="give -1 for one chunk")
    first = min(size, step - shift)
    rest = size - first
    sizes = (first, *([step] * (rest // step)), rest % step)
    return tuple(part for part in sizes if part)
