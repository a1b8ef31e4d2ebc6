"""The outline of a grid in degrees: what GeoJSON and STAC want of it."""

from __future__ import annotations

import pytest
import shapely
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rasterio.warp import transform
from shapely.geometry import Point, shape

from rsdat.catalog.footprints import footprint
from rsdat.errors import DataError


def grid(crs: str, origin: tuple[float, float], edge: float, size: tuple[int, int]) -> GeoBox:
    return GeoBox(size, from_origin(*origin, edge, edge), crs)


GRIDS = {
    "a scene": grid("EPSG:32631", (680_000, 5_800_000), 10, (10980, 10980)),
    "a continent": grid("EPSG:3035", (2_500_000, 5_500_000), 1000, (4000, 5000)),
    "across the antimeridian": grid("EPSG:32660", (800_000, 1_000_000), 1000, (100, 100)),
    "the north pole": grid("EPSG:3413", (-4_000_000, 3_000_000), 10_000, (600, 700)),
    "the south pole": grid("EPSG:3031", (-3_000_000, 2_000_000), 10_000, (500, 500)),
    "degrees beyond 180": grid("EPSG:4326", (170, 10), 1, (20, 20)),
    "degrees before -180": grid("EPSG:4326", (-190, 10), 1, (20, 20)),
    "the globe": grid("EPSG:4326", (-180, 90), 1, (180, 360)),
    "the globe from 0 to 360": grid("EPSG:4326", (0, 90), 1, (180, 360)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_lie_in_it_and_what_is_beside_does_not(name):
    box = GRIDS[name]
    found = footprint(box)
    outline = shape(found.geometry)
    assert outline.is_valid
    assert found.geometry["type"] in ("Polygon", "MultiPolygon")
    assert shapely.box(-180, -90, 180, 90).covers(outline)
    height, width = box.shape
    inside = [
        (y * height, x * width) for y in (0.003, 0.3, 0.5, 0.997) for x in (0.003, 0.4, 0.997)
    ]
    for point in degrees(box, inside):
        assert outline.intersects(point), point
    if "globe" not in name:
        edges = [(-0.01, 0.5), (1.01, 0.5), (0.5, -0.01), (0.5, 1.01)]
        for point in degrees(box, [(y * height, x * width) for y, x in edges]):
            assert not outline.intersects(point), point


def degrees(box: GeoBox, places: list[tuple[float, float]]) -> list[Point]:
    xs, ys = zip(*(box.transform * (x, y) for y, x in places), strict=True)
    if box.crs.geographic:
        lons, lats = xs, ys
    else:
        lons, lats = transform(box.crs.to_wkt(), "EPSG:4326", xs, ys)
    return [Point((lon + 180) % 360 - 180, lat) for lon, lat in zip(lons, lats, strict=True)]


def test_its_bbox_says_where_it_crosses_the_antimeridian():
    west, south, east, north = footprint(GRIDS["across the antimeridian"]).bbox
    assert 179 < west <= 180
    assert -180 <= east < -179
    assert south < north
    assert footprint(GRIDS["degrees beyond 180"]).bbox == (170, -10, -170, 10)
    assert footprint(GRIDS["the globe from 0 to 360"]).bbox == (-180, -90, 180, 90)
    assert footprint(GRIDS["the north pole"]).bbox[3] == 90


def test_edges_are_bent():
    """The parallel in the middle of a wide grid lies kilometres beside the line of its corners."""
    box = GRIDS["a continent"]
    outline = shape(footprint(box).geometry)
    corners = degrees(box, [(0, 0), (0, 5000), (4000, 5000), (4000, 0)])
    straight = shapely.Polygon([(one.x, one.y) for one in corners])
    assert outline.symmetric_difference(straight).area > 0.05 * outline.area
    assert len(shape(footprint(GRIDS["a scene"]).geometry).exterior.coords) < 40


def test_a_grid_without_degrees_is_refused():
    with pytest.raises(DataError, match="no CRS"):
        footprint(GeoBox((2, 2), from_origin(0, 0, 1, 1), None))
    with pytest.raises(DataError, match="beyond its projection"):
        footprint(grid("EPSG:3035", (-1e9, 1e9), 1e6, (10, 10)))
