"""Other grids and CRS: against exact coordinates and GDAL's warper; blocks do not show.

Nearest: the pixel under each centre, as PROJ places it; only a centre within PROJ's own noise of an
edge may fall on either side. Other resamplings: positions agree to 1/1000 pixel; with neighbours up
to 5000 apart, values to a few units.
"""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from rsdat import chain
from tests.raster.chains import reference
from tests.raster.chains.cases import Stack

PAIRS = [
    ("EPSG:32632", (600_000, 5_000_000), "EPSG:32633", 10),
    ("EPSG:32632", (600_000, 5_000_000), "EPSG:3857", 15),
    ("EPSG:32632", (600_000, 5_000_000), "EPSG:4326", 0.0001),
    ("EPSG:3413", (-200_000, -100_000), "EPSG:32633", 10),
    ("EPSG:32733", (500_000, 1_200_000), "EPSG:3031", 10),
]


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 5000, (90, 70)).astype("uint16")


def one(shelf, pixels, crs, origin, **options) -> Stack:
    stack = Stack()
    stack.add(shelf, {"a": pixels}, day=1, crs=crs, origin=origin, nodata={"a": 0}, **options)
    return stack


def in_blocks(made, edge: int) -> np.ndarray:
    """A chain's only band, evaluated block by block."""
    height, width = made.geobox.shape
    whole = np.empty((height, width), "float32")
    for top in range(0, height, edge):
        for left in range(0, width, edge):
            rows = slice(top, min(top + edge, height))
            columns = slice(left, min(left + edge, width))
            whole[rows, columns] = made.evaluate(made.geobox[rows, columns])[0, 0]
    return whole


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The share of pixels that differ."""
    return float((~((one == other) | (np.isnan(one) & np.isnan(other)))).mean())


@pytest.mark.parametrize(("crs", "origin", "target", "resolution"), PAIRS)
def test_nearest_is_exact(shelf, noise, crs, origin, target, resolution):
    stack = one(shelf, noise, crs, origin, block=32)
    made = chain(stack.items, "a", crs=target, resolution=resolution)
    found = made.evaluate()[0, 0]
    assert np.isfinite(found).mean() > 0.2
    assert apart(found, reference.physical(stack.files[0]["a"], made.geobox)) < 1e-3
    assert apart(found, in_blocks(made, 23)) < 1e-3


@pytest.mark.parametrize("edge", [10, 60, 1000])
def test_centres_beside_an_edge_fall_on_its_right_side(shelf, edge):
    """Between two UTM zones the errors of a mesh cancel in the middle of its cells, not beside it:
    they were taken for nothing, and centres near an edge got the neighbour."""
    size = 600
    numbers = np.arange(size * size, dtype="float32").reshape(size, size) + 1
    stack = Stack()
    origin = (700_000, 5_100_000)
    options = {"crs": "EPSG:32632", "origin": origin, "edge": edge, "nodata": {"a": 0}}
    stack.add(shelf, {"a": numbers}, day=1, **options)
    made = chain(stack.items, "a", crs="EPSG:32633", resolution=edge)
    found = np.nan_to_num(made.evaluate()[0, 0])
    grid = made.geobox
    with rasterio.open(stack.files[0]["a"].path) as opened:
        under = reference.under(grid, opened)
        warped = WarpedVRT(
            opened,
            crs=grid.crs.to_wkt(),
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            tolerance=1e-9,  # 0 would be GDAL's own 1/8 pixel
        )
        with warped:
            gdal = warped.read(1)
    rows, columns = under
    inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    expected = np.where(inside, np.floor(rows) * size + np.floor(columns) + 1, 0)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, gdal)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
@pytest.mark.parametrize(
    ("target", "resolution"), [("EPSG:32633", 10), ("EPSG:32633", 25), ("EPSG:32632", 25)]
)
def test_other_resamplings_are_gdals_and_blocks_do_not_show(
    shelf, noise, resampling, target, resolution
):
    stack = one(shelf, noise, "EPSG:32632", (600_000, 5_000_000), block=32)
    made = chain(stack.items, "a", crs=target, resolution=resolution, resampling=resampling)
    found = made.evaluate()[0, 0]
    grid = made.geobox
    with (
        rasterio.open(stack.files[0]["a"].path) as opened,
        WarpedVRT(
            opened,
            crs=target,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling[resampling],
            tolerance=1e-9,
            XSCALE=10 / resolution,
            YSCALE=10 / resolution,
        ) as warped,
    ):
        expected = np.where(warped.read_masks(1) > 0, warped.read(1), np.float32("nan"))
    for values in (expected, in_blocks(made, 7), in_blocks(made, 23)):
        # At the rim of the file, a thousandth of a pixel decides whether a pixel is there.
        assert (np.isnan(found) != np.isnan(values)).mean() < 2e-3
        assert np.nanmax(np.abs(found - values)) <= 5


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize(("target", "resolution"), [("EPSG:32633", 22), ("EPSG:32632", 25)])
def test_blocks_of_all_sizes_take_the_same_overview(shelf, noise, resampling, target, resolution):
    stack = one(shelf, noise, "EPSG:32632", (600_000, 5_000_000), block=32, overviews=(2, 4))
    made = chain(stack.items, "a", crs=target, resolution=resolution, resampling=resampling)
    whole = made.evaluate()[0, 0]
    if resampling == "nearest":
        expected = reference.physical(stack.files[0]["a"], made.geobox, overview=0)
        assert apart(whole, expected) < 2e-3
    for edge in (3, 16):
        values = in_blocks(made, edge)
        if resampling == "nearest":
            assert apart(whole, values) < 2e-3
        else:
            assert np.nanmax(np.abs(whole - values)) <= 5


@pytest.mark.parametrize(("resolution", "overview"), [(10, None), (19, None), (20, 0), (45, 1)])
def test_overviews_are_taken_where_they_are_as_fine_as_the_grid(shelf, noise, resolution, overview):
    stack = one(shelf, noise, "EPSG:32632", (600_000, 5_000_000), block=16, overviews=(2, 4))
    made = chain(stack.items, "a", resolution=resolution)
    expected = reference.physical(stack.files[0]["a"], made.geobox, overview)
    np.testing.assert_array_equal(made.evaluate()[0, 0], expected)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -4.0), (2.5, 1.25)])
def test_grids_that_lie_between_pixels(shelf, noise, shift):
    stack = one(shelf, noise, "EPSG:32632", (600_000, 5_000_000))
    with rasterio.open(stack.files[0]["a"].path) as opened:
        grid = GeoBox.from_rio(opened).translate_pix(*shift)
    made = chain(stack.items, "a", geobox=grid)
    expected = reference.physical(stack.files[0]["a"], grid)
    np.testing.assert_array_equal(made.evaluate()[0, 0], expected)
