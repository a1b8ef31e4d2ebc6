"""What names of files say."""

from __future__ import annotations

import pytest

from rsdat.catalog.naming import Pattern, keys, mission, read_name, time_in
from rsdat.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "item", "key", "day"),
    [
        ("S2A_33TWL_20230815_0_L2A/B04.tif", "S2A_33TWL_20230815_0_L2A", "red", "2023-08-15"),
        ("x/T33TWL_20230815T100031_B8A_20m.jp2", "T33TWL_20230815T100031", "nir08", "2023-08-15"),
        ("LC08_L2SP_001062_20201031_20201106_02_T2_SR_B4.TIF",
         "LC08_L2SP_001062_20201031_20201106_02_T2", "red", "2020-10-31"),
        ("LE07_L1TP_014031_20180428_B4.tif", "LE07_L1TP_014031_20180428", "nir08", "2018-04-28"),
        ("LC08_L1TP_014031_20180428_BQA.TIF", "LC08_L1TP_014031_20180428", "bqa", "2018-04-28"),
        ("2024-05-14/red.tif", "2024-05-14", "red", "2024-05-14"),
        ("S1A_IW_GRDH_1SDV_20150329T233159_20150329T233224_005253_006A34_3B45.tif",
         "S1A_IW_GRDH_1SDV_20150329T233159_20150329T233224_005253_006A34_3B45", "data",
         "2015-03-29"),
        ("scene_vv.tiff", "scene", "vv", None),
        ("hundred.tif", "hundred", "data", None),
        ("B04.tif", "B04", "data", None),
        ("a_20240230.tif", "a_20240230", "data", None),  # no such day
    ],
)  # fmt: skip
def test_usual_names(path, item, key, day):
    found = read_name(path)
    assert (found.item, found.key) == (item, key)
    assert (f"{found.time:%Y-%m-%d}" if found.time else None) == day


PRODUCT = "S1A_IW_GRDH_1SDV_20200101T050000_20200101T050025_030639_0382F5"
IMAGE = "20200101t050000-20200101t050025-030639-0382f5"


@pytest.mark.parametrize(
    ("path", "item", "key"),
    [
        # Four hexadecimal digits that look like a band.
        (f"{PRODUCT}_B12A.tif", f"{PRODUCT}_B12A", "data"),
        (f"{PRODUCT}_B12A_VV.tif", f"{PRODUCT}_B12A", "vv"),
        # ESA's own.
        (f"x/{PRODUCT}_2E4E.SAFE/measurement/s1a-iw-grd-vv-{IMAGE}-001.tiff",
         f"{PRODUCT}_2E4E", "vv"),
        (f"{PRODUCT}_2E4E_COG.SAFE/measurement/s1a-iw-grd-vh-{IMAGE}-002-cog.tiff",
         f"{PRODUCT}_2E4E_COG", "vh"),
        (f"s1a-iw-grd-vh-{IMAGE}-002.tiff", f"s1a-iw-grd-{IMAGE}", "vh"),
        (f"x/s1c-iw2-slc-vh-{IMAGE}-005.tiff", f"s1c-iw-slc-{IMAGE}", "iw2-vh"),
        # Others' copies of it.
        (f"1/1/IW/DV/{PRODUCT}_2E4E/measurement/iw-hh.tiff", f"{PRODUCT}_2E4E", "hh"),
        (f"{PRODUCT}_rtc/measurement/iw-vv.rtc.tiff", f"{PRODUCT}_rtc", "vv"),
        # ASF's.
        ("S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_B12A.tif",
         "S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_B12A", "data"),
        ("S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_1234_VV.tif",
         "S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_1234", "vv"),
        ("S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_1234_ls_map.tif",
         "S1A_IW_20200101T050000_DVP_RTC30_G_gpuned_1234", "ls_map"),
    ],
)  # fmt: skip
def test_names_of_sentinel1(path, item, key):
    found = read_name(path)
    assert (found.item, found.key) == (item, key)
    assert f"{found.time:%Y-%m-%dT%H}" == "2020-01-01T05"
    assert mission(item)["constellation"] == "sentinel-1"


def test_resolutions_tell_bands_apart_where_they_have_to():
    names = [read_name(f"a_{band}.tif") for band in ("B02_10m", "B02_20m", "B04_10m")]
    assert keys(names) == ["blue_10m", "blue_20m", "red"]


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("{id}_{date}_{band}.tif", "q/ab_c_20200101_red.tif", ("ab_c", "red", "2020-01-01")),
        ("{id}/{}_{band}.tif", "r/q/zz_x_red.TIF", ("q", "red", None)),
        ("{datetime}_{id}.tif", "2020-01-01T10:20:30_a.tif", ("a", None, "2020-01-01")),
        ("{id}.tif", "a+b (1).tif", ("a+b (1)", None, None)),
        ("{id}_{date}.tif", "a_red.tif", None),
    ],
)
def test_patterns(pattern, path, found):
    name = Pattern(pattern).read(path)
    day = f"{name.time:%Y-%m-%d}" if name and name.time else None
    assert (name and (name.item, name.band, day)) == found


@pytest.mark.parametrize("pattern", ["{band}.tif", "{id}{id}.tif", "{id}_{colour}.tif", ""])
def test_patterns_that_say_too_little_or_too_much(pattern):
    with pytest.raises(ConfigError, match="pattern"):
        Pattern(pattern)


def test_missions():
    name = "S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T114527"
    assert mission(name)["s2:processing_baseline"] == "04.00"
    assert mission(name)["platform"] == "sentinel-2b"
    assert mission("LC09_L2SP_1")["platform"] == "landsat-9"
    assert mission("other") == {}


def test_the_first_time_counts():
    assert f"{time_in('a_20201031_20201106'):%d%m}" == "3110"
    assert time_in("12345678901234") is None
