"""The sample catalog: the same each time, real COGs, complete or not there."""

from __future__ import annotations

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo import cog_validate

from rsdat.catalog import make_sample_catalog, search
from rsdat.errors import ConfigError, DataError


def test_scenes_are_as_they_say(tmp_path):
    catalog = make_sample_catalog(tmp_path / "sample", size=128)
    assert len(list(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True))) == 3
    items = search(catalog)
    assert len(items) == 3
    for item in items:
        assert set(item.assets) == {"blue", "green", "red", "nir", "scl"}
        for name, asset in item.assets.items():
            valid, errors, _ = cog_validate(asset.get_absolute_href())
            assert valid, errors
            with rasterio.open(asset.get_absolute_href()) as opened:
                assert list(opened.shape) == asset.extra_fields["proj:shape"]
                assert list(opened.transform)[:6] == asset.extra_fields["proj:transform"]
                assert opened.nodata == 0
                assert opened.res == ((20, 20) if name == "scl" else (10, 10))
    with rasterio.open(items[1].assets["red"].get_absolute_href()) as opened:
        missing = (opened.read(1) == 0).mean()
    assert 0.05 < missing < 0.4
    with rasterio.open(items[0].assets["scl"].get_absolute_href()) as opened:
        assert {4, 5, 6, 9} <= set(np.unique(opened.read(1)).tolist())


def test_links_are_relative(tmp_path):
    catalog = make_sample_catalog(tmp_path / "sample", size=64)
    moved = tmp_path / "moved"
    catalog.parent.rename(moved)
    for item in search(moved):
        assert item.assets["red"].get_absolute_href().startswith(str(moved))


def test_the_same_seed_gives_the_same_pixels(tmp_path):
    def pixels(name, **options):
        item = search(make_sample_catalog(tmp_path / name, size=64, **options))[0]
        with rasterio.open(item.assets["nir"].get_absolute_href()) as opened:
            return opened.read(1)

    first = pixels("one")
    np.testing.assert_array_equal(first, pixels("two"))
    assert (first != pixels("three", seed=8)).mean() > 0.5


def test_what_is_there_is_kept(tmp_path):
    catalog = make_sample_catalog(tmp_path / "sample", size=64)
    before = catalog.stat().st_mtime_ns
    assert make_sample_catalog(tmp_path / "sample", size=32) == catalog
    assert catalog.stat().st_mtime_ns == before


def test_a_directory_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not a sample catalog"):
        make_sample_catalog(tmp_path)
    with pytest.raises(ConfigError, match="size 65"):
        make_sample_catalog(tmp_path / "x", size=65)


def test_an_interrupted_making_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("rsdat.catalog.sample._cog", stop)
    with pytest.raises(KeyboardInterrupt):
        make_sample_catalog(tmp_path / "sample", size=64)
    assert list(tmp_path.iterdir()) == []
