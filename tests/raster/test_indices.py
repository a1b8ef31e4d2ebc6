"""The table of indices against numbers computed by hand, and its door on xarray."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError, DataError
from rsdat.raster import load, ndvi
from rsdat.raster.indices import (
    INDICES,
    find_index,
    index,
    ndvi_of,
    normalised_difference,
    physical,
)

PIXEL = {
    "blue": 0.05,
    "green": 0.1,
    "red": 0.08,
    "rededge1": 0.2,
    "nir": 0.4,
    "swir16": 0.25,
    "swir22": 0.15,
}
BY_HAND = {
    "ndvi": 0.32 / 0.48,
    "ndwi": -0.3 / 0.5,
    "mndwi": -0.15 / 0.35,
    "ndmi": 0.15 / 0.65,
    "ndsi": -0.15 / 0.35,
    "nbr": 0.25 / 0.55,
    "ndre": 0.2 / 0.6,
    "evi": 2.5 * 0.32 / (0.4 + 0.48 - 0.375 + 1),
    "savi": 1.5 * 0.32 / 0.98,
}


def planes(**numbers: float) -> dict[str, np.ndarray]:
    return {name: np.float32([[value]]) for name, value in {**PIXEL, **numbers}.items()}


@pytest.mark.parametrize("name", INDICES)
def test_known_indices(name):
    known = INDICES[name]
    assert known.name == name
    assert known.title
    assert known.source
    result = known.evaluate({band: planes()[band] for band in known.bands})
    assert result.dtype == np.float32
    assert result[0, 0] == pytest.approx(BY_HAND[name], rel=1e-5)
    for band in known.bands:
        assert np.isnan(known.evaluate(planes(**{band: float("nan")})))
    assert pickle.loads(pickle.dumps(known)) == known
    assert len(pickle.dumps(known)) < 600


def test_all_of_them_are_held_against_a_number():
    assert set(BY_HAND) == set(INDICES)


values = st.one_of(st.just(float("nan")), st.floats(-0.125, 1.625, width=32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=20))
def test_a_normalised_difference_is_its_formula_where_that_means_something(pairs):
    first, second = np.array(pairs, "float32").T
    with np.errstate(all="ignore"):
        quotient = (first - second) / (first + second)
    expected = np.where(first + second > 0, np.clip(quotient, -1, 1), np.float32("nan"))
    np.testing.assert_array_equal(normalised_difference(first, second), expected)
    np.testing.assert_array_equal(ndvi_of(second, first), expected)
    ndwi = INDICES["ndwi"].evaluate({"green": first, "nir": second})
    np.testing.assert_array_equal(ndwi, expected)


def test_a_formula_is_an_index():
    found = find_index("(nir - red) / (nir + red + 0.16)")
    assert found.bands == ("nir", "red")
    assert found.evaluate(planes())[0, 0] == pytest.approx(0.32 / 0.64, rel=1e-6)
    # A formula means what it says: only the name ndvi brings the range.
    dark = planes(red=-0.1, nir=0.15)
    assert find_index("(nir - red) / (nir + red)").evaluate(dark)[0, 0] == pytest.approx(
        5, rel=1e-5
    )
    assert find_index(" NDVI ").evaluate(dark)[0, 0] == 1
    assert find_index(found) is found


def test_what_is_no_index():
    with pytest.raises(ConfigError, match="index 'ndvy' is not known") as caught:
        find_index("ndvy")
    assert "ndvi, ndwi" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="column 1"):
        find_index("os.system('true')")
    with pytest.raises(DataError, match="needs band 'nir'"):
        INDICES["ndvi"].evaluate({"red": np.zeros((1, 1), "float32")})


@pytest.mark.parametrize("nodata", [None, 0, 0.0, 65535, -9999, 7.5, float("nan")])
def test_stored_integers_without_data(nodata):
    stored = np.array([[0, 7, 65535]], "uint16")
    result = physical(stored, 0.5, -1, nodata)
    assert result.dtype == np.float32
    expected = [[float("nan") if v == nodata else v * 0.5 - 1 for v in (0, 7, 65535)]]
    np.testing.assert_array_equal(result, np.float32(expected))


def test_the_door_is_lazy_and_ndvi_is_a_case_of_it(sentinel2):
    ds = load(sentinel2(dates=2), ["red", "nir"], chunks=40)
    result = index(ds, "(nir - red) / (nir + red)")
    assert result.chunks == ds.red.chunks
    assert result.name == "index"
    assert result.attrs["formula"] == "(nir - red) / (nir + red)"
    assert result.odc.geobox == ds.odc.geobox
    both = ds.red.values + ds.nir.values > 0.05
    difference = np.abs(ndvi(ds).values - np.clip(result.values, -1, 1))
    assert np.nanmax(difference[both]) == 0
    xr.testing.assert_identical(index(ds, "ndvi"), ndvi(ds))
    renamed = ds.rename(red="B04", nir="B08")
    xr.testing.assert_equal(ndvi(renamed, red="B04", nir="B08"), ndvi(ds))
    xr.testing.assert_equal(index(renamed, "savi", red="B04", nir="B08"), index(ds, "savi"))


def test_the_door_reads_stored_integers(sentinel2):
    items = sentinel2(dates=1)
    stored = load(items, ["red", "nir"], scale=False)
    real = load(items, ["red", "nir"])
    assert stored.red.dtype == "uint16"
    np.testing.assert_array_equal(index(stored, "savi"), index(real, "savi"))
    assert "scale" not in index(stored, "savi").attrs


def test_the_door_of_one_pixel(sentinel2):
    ds = load(sentinel2(dates=1), ["red", "nir"])
    whole = index(ds, "savi")
    one = index(ds.isel(time=0, y=3, x=4), "savi")
    assert one.shape == ()
    assert float(one) == float(whole[0, 3, 4])


def test_the_door_names_what_is_wrong():
    ds = xr.Dataset({"red": (("y", "x"), np.zeros((1, 1), "float32"))})
    with pytest.raises(ConfigError, match="no variable 'nir'; it has red") as caught:
        index(ds, "evi")
    assert "nir=…, red=…, blue=…" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="has no band 'green'"):
        index(ds, "ndvi", green="red")
