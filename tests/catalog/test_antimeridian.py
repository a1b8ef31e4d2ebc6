"""What crosses the antimeridian, written in any of the ways that catalogs write it."""

from __future__ import annotations

import pytest
from shapely.geometry import Point, Polygon, box, shape

from rsdat.catalog import search
from rsdat.catalog.antimeridian import bounding_area, bounds, on_the_globe
from tests.catalog.catalogs import item, write_catalog

#: As in a Sentinel-2 item of tile 01WCQ: neither polygon nor bbox is cut.
UNCUT = Polygon([(-179.28, 67.6), (-179.12, 67.6), (-179.04, 66.62), (179.76, 66.6)])


@pytest.mark.parametrize(
    "written",
    [
        box(179, 50, 181, 51),
        box(-181, 50, -179, 51),
        box(179, 50, 180, 51).union(box(-180, 50, -179, 51)),
        Polygon([(179, 50), (-179, 50), (-179, 51), (-180, 51), (179, 51)]),
    ],
)
def test_ways_to_write_a_crossing(written):
    found = on_the_globe(written)
    assert found.area == pytest.approx(2)
    assert found.covers(Point(179.5, 50.5))
    assert found.covers(Point(-179.5, 50.5))
    assert not found.intersects(Point(0, 50.5))
    assert bounds(found) == [179, 50, -179, 51]


def test_an_uncut_polygon_of_sentinel_2():
    found = on_the_globe(UNCUT)
    assert found.area < 1.5
    west, _, east, _ = bounds(found)
    assert (west, east) == (179.76, -179.04)


@pytest.mark.parametrize(
    "whole",
    [box(-180, -90, 180, 90), box(-179.9, -60, 179.9, 60),
     Polygon([(-180, -90), (0, -90), (180, -90), (180, 90), (-180, 90), (-180, -90)])],
)  # fmt: skip
def test_the_whole_globe_is_no_crossing(whole):
    assert on_the_globe(whole).area == pytest.approx(whole.area)


def test_a_hole_crosses_with_its_polygon():
    outside = [(170, 0), (-170, 0), (-170, 10), (170, 10), (170, 0)]
    hole = [(178, 4), (178, 6), (-178, 6), (-178, 4), (178, 4)]
    found = on_the_globe(Polygon(outside, [hole]))
    assert found.area == pytest.approx(200 - 8)
    assert not found.intersects(Point(180, 5))


def test_a_bbox_beyond_180_is_brought_back():
    assert bounding_area((170, 0, 190, 1)).equals(bounding_area((170, 0, -170, 1)))
    assert bounding_area((170, 0, 5, -170, 1, 9)).equals(bounding_area((170, 0, -170, 1)))


def test_search_finds_uncut_items_where_they_are_and_only_there(tmp_path):
    crossing = item("crossing")
    crossing["geometry"] = UNCUT.__geo_interface__
    crossing["bbox"] = [-179.28, 66.6, 179.76, 67.6]
    catalog = write_catalog(tmp_path, [crossing, item("far", x=20.0)])

    def found(**asked):
        return [one.id for one in search([catalog], **asked)]

    assert found(bbox=(179, 66, -179, 68)) == ["crossing"]
    assert found(bbox=(-179.5, 66, -179, 68)) == ["crossing"]
    assert found(geometry=box(179, 66, 181, 68)) == ["crossing"]
    assert found(bbox=(0, 45, 60, 70)) == ["far"]
    cut = shape(on_the_globe(UNCUT).__geo_interface__)
    assert found(geometry=cut) == ["crossing"]
