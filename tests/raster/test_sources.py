"""Which file and which numbers an item means: recorded fields of the catalogs of the field."""

from __future__ import annotations

import datetime as dt
import json

import pystac
import pytest

from rsdat.errors import DataError
from rsdat.raster.sources import source
from tests.raster.conftest import real_data

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


GRID = {"proj:shape": [10, 20], "proj:transform": [10, 0, 600_000, 0, -10, 5_000_000]}


@pytest.mark.parametrize(
    ("on_item", "on_asset", "on_band"),
    [
        ({"proj:epsg": 32633, **GRID}, {}, {}),
        ({"proj:code": "EPSG:32633"}, GRID, {}),
        ({"proj:code": "EPSG:32632"}, {"proj:code": "EPSG:32633", **GRID}, {}),
        ({"proj:epsg": 32633}, {"proj:epsg": None, **GRID}, {}),
        ({}, {}, {"proj:code": "EPSG:32633", **GRID}),
        ({"proj:code": "EPSG:32633"}, {}, GRID),
    ],
)
def test_the_grid_is_declared_on_the_item_the_asset_or_the_band(on_item, on_asset, on_band):
    made = item({"a": {**on_asset, "bands": [{"name": "a", **on_band}]}}, **on_item)
    declared = source(made, "a").declared
    assert (declared.crs, declared.shape) == ("EPSG:32633", (10, 20))
    assert declared.transform == (10, 0, 600_000, 0, -10, 5_000_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proj:code": None, "proj:epsg": None},
        {"proj:shape": None},
        {"proj:shape": [10]},
        {"proj:shape": ["many", 20]},
        {"proj:shape": [0, 20]},
        {"proj:transform": [10, 0, 600_000]},
        {"proj:transform": [10, 0, None, 0, -10, 0]},
        {"proj:transform": [0, 0, 0, 0, 0, 0]},
    ],
)
def test_a_grid_that_makes_no_sense_is_not_declared(wrong):
    made = item({"a": {}}, **{"proj:code": "EPSG:32633", **GRID, **wrong})
    assert source(made, "a").declared is None


def test_scale_offset_and_nodata_on_the_band_of_stac_1_1():
    bands = [{"name": "red", "raster:scale": 0.001, "raster:offset": 0.5, "nodata": -1}]
    found = source(item({"all": {"bands": [{"name": "blue"}, *bands]}}), "red")
    assert (found.band, found.scale, found.offset, found.nodata) == (2, 0.001, 0.5, -1)


@pytest.mark.parametrize(
    ("says", "offset"),
    [
        ({"sentinel2:processing_baseline": "05.09"}, -0.1),
        ({"s2:processing_baseline": "N0500"}, -0.1),
        (
            {"sentinel:product_id": "S2A_MSIL2A_20190524T101031_N0212_R022_T31NBJ_20190524T130304"},
            0,
        ),
        ({"s2:product_uri": "S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223"}, -0.1),
        ({"s2:processing_baseline": "new"}, None),
    ],
)
def test_the_baseline_of_sentinel2_in_all_its_forms(says, offset):
    found = source(item(PLANETARY, **SENTINEL2, **says), "red")
    assert (found.scale, found.offset) == ((None, None) if offset is None else (1e-4, offset))


@pytest.mark.parametrize(("key", "name"), [("lwir11", "ST_B10"), ("ST_B10.TIF", "ST_B10")])
def test_landsat_surface_temperature_without_raster_fields(key, name):
    assets = {key: {"bands": [{"name": name}]}}
    made = item(assets, name="LC08_L2SP_001062_20201031_20201106_02_T2_ST")
    found = source(made, "ST_B10")
    assert (found.scale, found.offset, found.nodata) == (0.00341802, 149.0, 0)


def test_quality_with_a_scale_is_measured():
    fields = {"raster:bands": [{"scale": 0.01, "nodata": -9999, "unit": "kelvin"}]}
    found = source(item({"qa": fields}), "qa")
    assert (found.categorical, found.scale, found.nodata) == (False, 0.01, -9999)


def recorded(name: str, place: int = 0) -> pystac.Item:
    folder = real_data()
    if folder is None:
        pytest.skip("the real items are not here (RSDAT_TEST_DATA)")
    found = json.loads(next((folder / "stac_json").glob(f"{name}*.json")).read_text())
    return pystac.Item.from_dict(found["features"][place] if "features" in found else found)


SEARCHED = "earthsearch_v1_search_page_s2_landsat"


@pytest.mark.parametrize(
    ("name", "place", "band", "asset", "numbers", "crs", "edge"),
    [
        ("earthsearch_v1_S2A_33TWN_20220122_0_L2A", 0, "red", "red", (1e-4, 0, 0), 32633, 10),
        ("earthsearch_v1_S2B_33TWN_20220226_0_L2A", 0, "red", "red", (1e-4, -0.1, 0), 32633, 10),
        ("earthsearch_v1_S2A_12RWT_20240106_0_L2A", 0, "B8A", "nir08", (1e-4, 0, 0), 32612, 20),
        ("earthsearch_v1_s2_l2a_S2A_32TPS", 0, "nir", "nir", (1e-4, 0, 0), 32632, 10),
        ("earthsearch_v0_S2A_31NBJ_20190524_0_L2A", 0, "red", "B04", (1e-4, 0, 0), 32631, 10),
        ("pc_S2B_MSIL2A_20190629T212529_R043_T06VVN", 0, "nir", "B08", (1e-4, 0, 0), 32606, 10),
        ("cdse_S2B_T36NYH", 0, "red", "B04_10m", (1e-4, -0.1, 0), 32636, 10),
        ("antimeridian_S2A_T01WCQ_20230603", 0, "scl", "scl", (None, None, 0), 32601, 20),
        (SEARCHED, 0, "red", "red", (1e-4, 0, 0), 32613, 10),
        (SEARCHED, 1, "nir", "nir08", (2.75e-5, -0.2, 0), 32613, 30),
        (SEARCHED, 1, "lwir11", "lwir11", (0.00341802, 149, 0), 32613, 30),
        (SEARCHED, 1, "qa_pixel", "qa_pixel", (None, None, 1), 32613, 30),
        ("usgs_LC08_L2SP_028030_20200114_SR", 0, "red", "red", (2.75e-5, -0.2, 0), 32615, 30),
        ("mspc-s1-rtc", 0, "vv", "vv", (None, None, -32768), 32632, 10),
        ("mspc-s1-grd", 0, "vh", "vh", (None, None, None), None, None),
    ],
)  # fmt: skip
def test_recorded_items(name, place, band, asset, numbers, crs, edge):
    found = source(recorded(name, place), band)
    assert (found.asset, (found.scale, found.offset, found.nodata)) == (asset, numbers)
    if crs is None:
        assert found.declared is None
    else:
        assert (found.declared.crs, found.declared.transform[0]) == (f"EPSG:{crs}", edge)


def test_recorded_radar_in_its_own_geometry_declares_what_is_no_grid():
    found = source(recorded("earthsearch-s1-grd"), "hh")
    assert (found.asset, found.nodata, found.declared.crs) == ("hh", 0, "EPSG:4326")


@pytest.mark.parametrize(
    "fields",
    [
        {"raster:bands": [None]},
        {"raster:bands": "x"},
        {"raster:bands": [{"scale": 0, "offset": "none"}]},
        {"raster:bands": [{"scale": "nan", "offset": "inf", "nodata": "missing"}]},
        {"raster:scale": 0, "raster:offset": "inf"},
        {"bands": [None]},
        {"bands": [{"name": 4}, {}]},
        {"eo:bands": "red"},
        {"proj:shape": "x", "proj:transform": 5, "proj:code": 7},
        {"proj:shape": [4, 4], "proj:transform": [0] * 6, "proj:code": "EPSG:32632"},
    ],
)
def test_fields_that_say_nothing_are_passed_over(fields):
    found = source(item({"red": fields, "nir": {"raster:bands": [None], "gsd": "fine"}}), "red")
    assert (found.asset, found.band) == ("red", 1)
    assert (found.scale, found.offset, found.nodata, found.declared) == (None, None, None, None)
