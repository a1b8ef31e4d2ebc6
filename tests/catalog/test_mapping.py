"""The picture of a catalog: outlines where they are, darker where there are more."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import box

from rsdat.catalog import open_catalog
from rsdat.catalog.mapping import draw_map
from rsdat.catalog.summarising import Summary, summarise
from rsdat.errors import DataError
from tests.catalog.catalogs import item, write_catalog
from tests.catalog.test_antimeridian import UNCUT


def drawn(*summaries):
    return np.asarray(Image.open(io.BytesIO(draw_map(summaries)))).astype(int)


def test_more_items_are_darker():
    areas = [box(0, 0, 1, 1)] + [box(2, 0, 3, 1)] * 5
    picture = drawn(Summary("c", 6, areas=areas))
    height, width, _ = picture.shape
    row = picture[60 + (height - 144) // 2]
    left, middle, right = (row[60 + int((width - 120) * share)].sum() for share in (0.2, 0.5, 0.8))
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
    coloured = (picture[60:-90, 60:-60].max(axis=2) - picture[60:-90, 60:-60].min(axis=2)) > 20
    assert coloured.mean() > 0.2  # the picture is of the scene, not of the globe


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
