"""The picture of a catalog: outlines where they are, darker where there are more."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from shapely.geometry import Point, Polygon, box

from rsdat.catalog import mapping, open_catalog
from rsdat.catalog.mapping import draw_map
from rsdat.catalog.summarising import Summary, summarise
from rsdat.errors import DataError
from tests.catalog.catalogs import item, write_catalog
from tests.catalog.test_antimeridian import UNCUT

MARGIN, LAND = mapping._MARGIN, mapping._LAND


def drawn(*summaries):
    return np.asarray(Image.open(io.BytesIO(draw_map(summaries)))).astype(int)


def test_more_items_are_darker():
    areas = [box(0, 0, 1, 1)] + [box(2, 0, 3, 1)] * 5
    picture = drawn(Summary("c", 6, areas=areas))
    height, width, _ = picture.shape
    row = picture[MARGIN + (height - 2 * MARGIN - 24) // 2]
    left, middle, right = (
        row[MARGIN + int((width - 2 * MARGIN) * share)].sum() for share in (0.2, 0.5, 0.8)
    )
    assert right < left < middle


def test_collections_have_their_own_colours():
    picture = drawn(
        Summary("a", 1, areas=[box(0, 0, 1, 1)]), Summary("b", 1, areas=[box(2, 0, 3, 1)])
    )
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours


def test_a_crossing_is_drawn_in_one_piece(tmp_path):
    crossing = item("crossing")
    crossing |= {"geometry": UNCUT.__geo_interface__, "bbox": [-179.28, 66.6, 179.76, 67.6]}
    (summary,) = summarise(open_catalog(write_catalog(tmp_path, [crossing])))
    assert summary.bbox[0] > 179
    assert summary.bbox[2] < -179
    picture = drawn(summary)
    inside = picture[MARGIN : -MARGIN - 30, MARGIN:-MARGIN]
    assert (
        inside.max(axis=2) - inside.min(axis=2) > 20
    ).mean() > 0.2  # of the scene, not of the globe


def test_a_rectangle_whose_bbox_crosses_is_drawn_in_one_piece_too(tmp_path):
    ring = [[179, -18], [-179, -18], [-179, -17], [179, -17], [179, -18]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    crossing = {**item("crossing"), "geometry": geometry, "bbox": [179, -18, -179, -17]}
    (summary,) = summarise(open_catalog(write_catalog(tmp_path, [crossing])))
    assert summary.bbox == [179, -18, -179, -17]


def has(picture, colour):
    return bool((picture == colour).all(axis=2).any())


def test_land_is_drawn_from_far_and_not_where_its_coast_would_be_wrong():
    assert has(drawn(Summary("c", 1, areas=[box(-5, 40, 10, 50)])), LAND)
    assert not has(drawn(Summary("c", 1, areas=[box(5, 45, 6, 46)])), LAND)


def test_the_land_is_where_it_is():
    polygons = json.loads(Path(mapping.__file__).with_name("land.json").read_text())
    land = shapely.union_all([Polygon(shell, holes) for shell, *holes in polygons])
    assert land.bounds == pytest.approx((-180, -90, 180, 83.6), abs=0.2)
    for place, dry in (((15, 48), True), ((25, -30), True), ((135, -25), True), ((-60, -10), True),
                       ((-30, 30), False), ((50.5, 41), False), ((90, -30), False)):  # fmt: skip
        assert land.contains(Point(place)) is dry, place


def test_a_map_of_the_world_ends_with_it():
    frame = mapping._frame([box(-180, -90, 180, 90)], 180)
    assert (frame.west, frame.south, frame.east, frame.north) == (-180, -90, 180, 90)
    assert mapping._ticks(-180, 180) == [-180, -120, -60, 0, 60, 120, 180]
    frame = mapping._frame([box(170, -10, 190, 10)], 360)
    assert 160 < frame.west < 170
    assert 190 < frame.east < 200


def test_what_is_small_fills_the_picture_and_its_edges_are_named_apart():
    frame = mapping._frame([box(5, 52, 5.00001, 52.00001)], 180)
    assert frame.east - frame.west < 2e-5
    labels = [mapping._label(one, "EW") for one in mapping._ticks(frame.west, frame.east)]
    assert len(set(labels)) == len(labels) > 2
    assert has(drawn(Summary("c", 1, areas=[Point(5, 52)])), (0, 114, 178))


def test_neighbours_that_touch_are_not_at_one_place(monkeypatch):
    said = []
    original = mapping._fill
    monkeypatch.setattr(mapping, "_fill", lambda *a: said.append(original(*a)) or said[-1])
    drawn(Summary("c", 3, areas=[box(n, 0, n + 1, 1) for n in range(3)]))
    drawn(Summary("c", 2, areas=[box(0, 0, 2, 1), box(1, 0, 3, 1)]))
    drawn(Summary("c", 3, areas=[box(0, 0, 50, 50), *[box(60, 60, 60.01, 60.01)] * 2]))
    assert said == [1, 2, 2]


def test_more_collections_than_colours_share_one():
    areas = [box(n, 0, n + 0.9, 1) for n in range(8)]
    layers = mapping._layers(
        [Summary(f"c{n}", 8 - n, areas=[area]) for n, area in enumerate(areas)]
    )
    assert [one.name for one in layers] == ["3 other collections", "c0", "c1", "c2", "c3", "c4"]
    assert layers[0].items == 1 + 2 + 3
    assert len({one.colour for one in layers}) == 6


def test_nothing_to_draw():
    with pytest.raises(DataError, match="no item says where it is"):
        draw_map([Summary("c", 3)])


def test_a_summary_counts(tmp_path):
    items = [item("a", **{"proj:code": "EPSG:32631"}), item("b", x=9.0, **{"proj:epsg": 32632})]
    items[0]["assets"]["red"]["file:size"] = 1000
    items[1]["assets"]["nir"] = {"href": "./n.tif", "file:size": 500}
    (summary,) = summarise(open_catalog(write_catalog(tmp_path, items)))
    assert (summary.items, summary.size, summary.bbox) == (2, 1500, [5, 50, 10, 51])
    assert summary.codes == {"EPSG:32631", "EPSG:32632"}
    assert summary.assets == {"red": 2, "nir": 1}
