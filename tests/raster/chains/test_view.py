"""A chain as a notebook shows it: pictures, and a table."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsdat import chain
from rsdat.errors import ConfigError
from rsdat.raster.chains.ends import coarse
from rsdat.raster.colours import coloured
from rsdat.raster.preview import Picture

# Pictures for people have no place on the earth.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def pixels(picture: Picture, tmp_path: Path) -> np.ndarray:
    with rasterio.open(picture.save(tmp_path / "p.png")) as opened:
        return np.moveaxis(opened.read(), 0, -1)


def test_a_picture_shows_what_is_computed_on_a_coarse_grid(sentinel2, tmp_path):
    made = chain(sentinel2(size=256), ["red", "nir"]).mask_clouds().index("ndvi").composite("max")
    picture = made.preview(64)
    assert (picture.width, picture.height) == (64, 64)
    expected = coloured(made.evaluate(coarse(made.geobox, 64)), ["ndvi"])
    np.testing.assert_array_equal(pixels(picture, tmp_path), expected)
    assert picture._repr_png_() == (tmp_path / "p.png").read_bytes()
    whole = made.preview()
    assert (whole.width, whole.height) == (256, 256)


def test_a_date_can_be_chosen(sentinel2, tmp_path):
    made = chain(sentinel2(dates=3), ["red"])
    every = made.evaluate()
    for time in (0, -1):
        expected = coloured(every[time], ["red"])
        np.testing.assert_array_equal(pixels(made.preview(time=time), tmp_path), expected)
    with pytest.raises(ConfigError, match="no date 3: the chain has 3"):
        made.preview(time=3)
    with pytest.raises(ConfigError, match="0 pixels"):
        made.preview(0)


def test_classes_have_their_colours_and_no_data_none(sentinel2, tmp_path):
    made = chain(sentinel2(dates=1), ["scl"])
    shown, classes = pixels(made.preview(), tmp_path), made.evaluate()[0, 0]
    assert (shown[classes == 4] == (0, 160, 0, 255)).all()
    assert (shown[classes == 6] == (0, 0, 255, 255)).all()
    assert (shown[classes == 0][:, 3] == 0).all()


def test_a_known_index_is_known_by_its_colours():
    values = np.array([[[-1, 0, 1, np.nan]]], "float32")
    for name in ("ndvi", "ndwi", "ndsi", "nbr", "water", "water_frequency"):
        dry, _, wet, nothing = coloured(values, [name])[0].astype(int)
        assert nothing[3] == 0
        assert abs(dry - wet)[:3].sum() > 60
    grey = coloured(values, ["other"])[0]
    assert (grey[:3, 0] == grey[:3, 2]).all()


class Table(HTMLParser):
    """Names and values of a table; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("th", "td"):
            self.cells[-1] += data


def test_the_table_of_a_chain_opens_no_file(sentinel2):
    items = sentinel2()
    made = chain(items, ["red", "nir"], resolution=20).mask_clouds()
    made = made.index("where(nir < red, 1, 0)", name="a<b>").composite("median", by="month")
    for item in items:
        for asset in item.assets.values():
            Path(asset.href).unlink()
    cells = Table(made._repr_html_()).cells
    told = dict(zip(cells[::2], cells[1::2], strict=True))
    assert told["from"] == "3 items, 2024-06-01 to 2024-06-03"
    assert told["mask"] == "scl"
    assert told["gives"] == "a<b>; 1 date, 2024-06-01"
    assert told["grid"] == "resolution 20"
    assert "index a<b> = where(nir < red, 1, 0)" in cells


def test_the_table_of_a_planned_chain_tells_its_grid(sentinel2):
    made = chain(sentinel2(), ["red"]).composite("count")
    assert made.geobox.shape == (96, 96)
    assert "EPSG:32632, 96 × 96 pixels of 10 m" in made._repr_html_()


def test_an_index_keeps_the_bands_that_are_named(sentinel2):
    items = sentinel2(dates=2)
    kept = chain(items, ["red", "nir"]).index("ndvi", keep=["red"])
    assert kept.bands == ("red", "ndvi")
    every = chain(items, ["red", "nir"]).index("ndvi", keep=True)
    np.testing.assert_array_equal(kept.evaluate(), every.evaluate()[:, [0, 2]])
    with pytest.raises(ConfigError, match="'blue'"):
        chain(items, ["red", "nir"]).index("ndvi", keep=["blue"])
