"""Which file and which numbers an item means: recorded fields of the catalogs of the field."""

from __future__ import annotations

import datetime as dt

import pystac
import pytest

from rsdat.errors import DataError
from rsdat.raster.sources import source

UTC = dt.UTC


def item(assets: dict, name: str = "one", collection: str | None = None, **properties):
    made = pystac.Item(
        name, None, None, dt.datetime(2024, 1, 1, tzinfo=UTC), properties, collection=collection
    )
    for key, fields in assets.items():
        fields = dict(fields)
        href = fields.pop("href", f"/data/{key}.tif")
        media = fields.pop("type", "image/tiff; application=geotiff; profile=cloud-optimized")
        made.add_asset(key, pystac.Asset(href, media_type=media, extra_fields=fields))
    return made


EARTH_SEARCH = {
    "red": {
        "eo:bands": [{"name": "red", "common_name": "red"}],
        "gsd": 10,
        "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
    },
    "red-jp2": {"href": "/d/B04.jp2", "type": "image/jp2", "eo:bands": [{"common_name": "red"}]},
    "visual": {"eo:bands": [{"common_name": c} for c in ("red", "green", "blue")]},
    "scl": {"raster:bands": [{"nodata": 0, "data_type": "uint8"}]},
}
# Copernicus Data Space, STAC 1.1: raster:* on the asset, several resolutions of one band.
CDSE = {
    f"B04_{m}m": {
        "bands": [{"name": "B04", "eo:common_name": "red"}],
        "gsd": m,
        "raster:scale": 0.0001,
        "raster:offset": -0.1,
        "nodata": 0,
        "type": "image/jp2",
        "proj:code": "EPSG:32636",
        "proj:shape": [10, 10],
        "proj:transform": [m, 0.0, 699960.0, 0.0, -m, 300000.0],
    }
    for m in (60, 10, 20)
} | {"SCL_20m": {"type": "image/jp2", "classification:classes": [], "nodata": 0}}
# Planetary Computer: no scale, no offset, no nodata.
PLANETARY = {
    "B04": {"eo:bands": [{"name": "B04", "common_name": "red"}]},
    "B08": {"eo:bands": [{"name": "B08", "common_name": "nir"}]},
    "B8A": {"eo:bands": [{"name": "B8A", "common_name": "nir08"}]},
    "SCL": {},
}
SENTINEL2 = {"platform": "sentinel-2a"}


@pytest.mark.parametrize("name", ["red", "RED", "B04"])
def test_earth_search(name):
    found = source(item(EARTH_SEARCH, **SENTINEL2), name)
    assert (found.asset, found.scale, found.offset, found.nodata) == ("red", 0.0001, -0.1, 0)
    assert not found.categorical


def test_an_offset_in_the_pixels_already_is_zero():
    done = {"earthsearch:boa_offset_applied": True}
    assert source(item(EARTH_SEARCH, **SENTINEL2, **done), "red").offset == 0
    done = {"earthsearch:boa_offset_applied": False}
    assert source(item(EARTH_SEARCH, **SENTINEL2, **done), "red").offset == -0.1


@pytest.mark.parametrize("name", ["red", "B04", "b04_10m"])
def test_data_space_takes_the_finest(name):
    found = source(item(CDSE), name)
    assert (found.asset, found.scale, found.offset, found.nodata) == ("B04_10m", 0.0001, -0.1, 0)
    assert found.declared.crs == "EPSG:32636"


def test_the_named_resolution_is_taken():
    assert source(item(CDSE), "B04_20m").asset == "B04_20m"


@pytest.mark.parametrize(("items", "key"), [(CDSE, "SCL_20m"), (PLANETARY, "SCL")])
def test_classes_are_never_scaled(items, key):
    found = source(item(items), "scl")
    assert (found.asset, found.categorical, found.calibrated) == (key, True, False)


@pytest.mark.parametrize(("baseline", "offset"), [("02.12", 0.0), ("04.00", -0.1), ("05.09", -0.1)])
def test_sentinel2_without_raster_fields_goes_by_its_baseline(baseline, offset):
    found = source(item(PLANETARY, **SENTINEL2, **{"s2:processing_baseline": baseline}), "red")
    assert (found.asset, found.scale, found.offset, found.nodata) == ("B04", 1e-4, offset, 0)


def test_sentinel2_nir_is_band_8():
    assert source(item(PLANETARY, **SENTINEL2), "nir").asset == "B08"
    assert source(item(PLANETARY, **SENTINEL2), "B8A").asset == "B8A"


def test_landsat_collection_2_level_2_without_raster_fields():
    assets = {
        "SR_B4.TIF": {"eo:bands": [{"name": "SR_B4", "common_name": "red"}]},
        "SR_B5.TIF": {"eo:bands": [{"name": "SR_B5", "common_name": "nir08"}]},
        "QA_PIXEL.TIF": {},
    }
    made = item(assets, name="LC08_L2SP_001062_20201031_20201106_02_T2_SR")
    found = source(made, "nir")
    assert (found.asset, found.scale, found.offset, found.nodata) == ("SR_B5.TIF", 2.75e-5, -0.2, 0)
    quality = source(made, "qa_pixel")
    assert (quality.asset, quality.categorical) == ("QA_PIXEL.TIF", True)


def test_a_band_of_a_file_of_several():
    found = source(item({"visual": EARTH_SEARCH["visual"]}), "green")
    assert (found.asset, found.band) == ("visual", 2)


def test_nodata_may_be_written_as_nan():
    found = source(item({"vv": {"raster:bands": [{"nodata": "nan"}]}}), "vv")
    assert found.nodata != found.nodata


def test_a_missing_band_names_those_there_are():
    with pytest.raises(DataError, match=r"item one has no band 'nir'.* red, red-jp2, scl, visual"):
        source(item(EARTH_SEARCH), "nir")


def test_a_relative_href_without_a_place():
    with pytest.raises(DataError, match="relative href"):
        source(item({"red": {"href": "B04.tif"}}), "red")
