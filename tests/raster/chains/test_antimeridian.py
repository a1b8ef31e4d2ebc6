"""Scenes at 180 degrees: 181 degrees east lie at -179, whatever the CRS of files and grid."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from rsdat import chain, load
from rsdat.raster.grids import extent_in
from tests.raster.chains import reference
from tests.raster.chains.cases import Stack, grid_of

equal = np.testing.assert_array_equal

ACROSS = (179.97, 60.12, -179.97, 60.18)
WINDOW = GeoBox.from_bbox((179.97, 60.12, 180.03, 60.18), "EPSG:4326", resolution=0.001)


def corner(crs: str, longitude: float) -> tuple[float, float]:
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, 60.2)
    return round(x, -2), round(y, -2)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9000, (160, 160)).astype("uint16")


@pytest.fixture(scope="module")
def projected(shelf) -> Stack:
    """Scenes of zones 60 and 1, each of them on both sides."""
    stack = Stack()
    for day, (crs, west) in enumerate((("EPSG:32660", 179.9), ("EPSG:32601", 179.92)), 1):
        stack.add(
            shelf,
            {"a": pixels(day)},
            day=day,
            crs=crs,
            origin=corner(crs, west),
            edge=80,
            nodata={"a": 0},
        )
    return stack


@pytest.fixture(scope="module")
def geographic(shelf) -> Stack:
    """Scenes in degrees: to 180, from -180, and one that goes on to 180.11."""
    stack = Stack()
    for day, west in enumerate((179.84, -180, 179.95), 1):
        options = {"crs": "EPSG:4326", "origin": (west, 60.24), "edge": 0.001}
        stack.add(shelf, {"a": pixels(day)}, day=day, nodata={"a": 0}, **options)
    return stack


def turned(grid: GeoBox, degrees: float) -> GeoBox:
    return GeoBox(grid.shape, grid.transform.translation(degrees, 0) * grid.transform, grid.crs)


@pytest.mark.parametrize(
    "bbox", [ACROSS, WINDOW.boundingbox.bbox, (-180.03, 60.12, -179.97, 60.18)]
)
def test_a_bbox_across_has_both_sides(projected, bbox):
    made = chain(projected.items, "a", crs="EPSG:4326", resolution=0.001, bbox=tuple(bbox))
    assert made.geobox.shape == (60, 60)
    values = made.evaluate()[:, 0]
    assert np.isfinite(values).all()
    for files, found in zip(projected.files, values, strict=True):
        expected = reference.physical(files["a"], made.geobox)
        equal(found, expected)


@pytest.mark.parametrize(
    ("crs", "resolution"), [("EPSG:32660", 60), ("EPSG:32601", 60), ("EPSG:3832", 90)]
)
def test_projected_grids_have_both_sides(projected, geographic, crs, resolution):
    made = chain(projected.items, "a", crs=crs, resolution=resolution, bbox=ACROSS)
    for files, found in zip(projected.files, made.evaluate()[:, 0], strict=True):
        expected = reference.physical(files["a"], made.geobox)
        equal(found, expected)
    seen = chain(geographic.items, "a", geobox=made.geobox).composite("count").evaluate()
    assert (seen >= 1).mean() > 0.99


def test_without_a_bbox_the_grid_is_as_small_as_the_scenes(projected):
    made = chain(projected.items, "a", crs="EPSG:4326")
    box = made.geobox.boundingbox
    assert 179 < box.left < 180 < box.right < 181
    assert np.isfinite(made.evaluate()).any(axis=(2, 3)).all()


def test_every_block_sees_its_items(projected):
    made = chain(projected.items, "a", geobox=WINDOW)
    whole = made.evaluate()
    for left in range(0, 60, 7):
        part = slice(left, min(left + 7, 60))
        found = made.evaluate(WINDOW[:, part])
        equal(found, whole[..., part])


@pytest.mark.parametrize("degrees", [0, -360])
def test_files_in_degrees_are_found_on_either_side(geographic, degrees):
    grid = turned(WINDOW, degrees)
    found = chain(geographic.items, "a", geobox=grid).evaluate()[:, 0]
    expected = np.full((3, 60, 60), np.nan, "float32")
    for layer, files in zip(expected, geographic.files, strict=True):
        for turn in (-360, 0, 360):
            part = reference.physical(files["a"], turned(grid, turn))
            layer[...] = np.where(np.isnan(part), layer, part)
    assert np.isfinite(expected).sum(axis=0).min() == 2
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(load(geographic.items, "a", geobox=grid).a, expected)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32660", "EPSG:3832"])
def test_other_resamplings_too(geographic, crs):
    grid = chain(geographic.items, "a", crs=crs, bbox=ACROSS).geobox
    options = {"geobox": grid.zoom_out(1.3), "resampling": "bilinear"}
    seen = chain(geographic.items, "a", **options).composite("count").evaluate()[0]
    assert (seen == 2).mean() > 0.9


def test_longitudes_from_0_to_360_are_those_of_the_west_too(shelf):
    stack = Stack()
    options = {"crs": "EPSG:4326", "origin": (0, 90), "edge": 10}
    numbers = np.arange(1, 18 * 36 + 1, dtype="uint16").reshape(18, 36)
    stack.add(shelf, {"a": numbers}, day=1, **options)
    grid = GeoBox.from_bbox((-180, -90, 180, 90), "EPSG:4326", resolution=10)
    found = chain(stack.items, "a", geobox=grid).evaluate()[0, 0]
    np.testing.assert_array_equal(found, np.roll(numbers, 18, axis=1))


def test_a_grid_around_the_pole_has_all_longitudes():
    grid = GeoBox.from_bbox((-500_000, -500_000, 500_000, 500_000), "EPSG:3413", resolution=10_000)
    box = extent_in(grid, WINDOW.crs)
    assert (box.left, box.right, box.top) == (-180, 180, 90)
    assert 83 < box.bottom < 85.5


def test_the_extent_goes_on_beyond_180(projected):
    box = extent_in(grid_of(projected.files[0]["a"].path), WINDOW.crs)
    assert 179.8 < box.left < 180 < box.right < 180.3
