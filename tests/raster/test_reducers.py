"""Composites on xarray: all methods, periods, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from rsdat.errors import ConfigError
from rsdat.raster import composite, load, mask_clouds, ndvi
from rsdat.raster.kernels import METHODS, result_bands

NAMED = (*METHODS, "p10", "percentile:12.5")


def clear(items, **options):
    return mask_clouds(load(items, ["red", "nir", "scl"], **options))


@pytest.mark.parametrize("method", NAMED)
def test_stored_integers_physical_values_and_no_dask_give_the_same(sentinel2, method):
    items = sentinel2(dates=4)
    physical = composite(clear(items), method)
    stored = composite(clear(items, scale=False), method)
    eager = composite(clear(items).compute(), method)
    assert tuple(physical.data_vars) == result_bands(method, ("red", "nir"))
    assert physical.chunks
    for name, variable in physical.data_vars.items():
        assert variable.dims == ("y", "x")
        assert variable.dtype == np.float32
        assert variable.odc.geobox == clear(items).odc.geobox
        np.testing.assert_array_equal(stored[name], variable)
        np.testing.assert_array_equal(eager[name], variable)
        assert not {"scale", "offset"} & set(variable.attrs)


def test_max_ndvi_holds_the_bands_of_the_date_that_it_names(sentinel2):
    ds = clear(sentinel2(dates=4)).compute()
    greenest = composite(ds, "max_ndvi")
    index = ndvi(ds).values
    np.testing.assert_array_equal(greenest.ndvi, np.fmax.reduce(index))
    day = (ds.time.values.astype("datetime64[D]") - np.datetime64(0, "D")).astype("float32")
    for date, layer in enumerate(index):
        here = greenest.date.values == day[date]
        assert here.any()
        np.testing.assert_array_equal(greenest.ndvi.values[here], layer[here])
        np.testing.assert_array_equal(greenest.red.values[here], ds.red.values[date][here])
    assert greenest.date.attrs["units"] == "days since 1970-01-01"


def test_variables_by_other_names(sentinel2):
    ds = clear(sentinel2())
    named = composite(ds.rename(red="B04", nir="B08"), "max_ndvi", red="B04", nir="B08")
    np.testing.assert_array_equal(named.ndvi, composite(ds, "max_ndvi").ndvi)
    with pytest.raises(ConfigError, match="needs the bands red and nir"):
        composite(ds.rename(red="B04"), "max_ndvi").compute()


def dated(days, **coordinates):
    """One pixel row; the value of a date is its position."""
    times = np.array(days, "datetime64[ns]")
    values = np.arange(len(days), dtype="float32")[:, None, None] * np.ones((1, 1, 3), "float32")
    return xr.DataArray(values, {"time": times, **coordinates}, ("time", "y", "x"), "a")


def test_one_image_for_each_period():
    array = dated(["2024-01-30", "2024-03-02", "2024-01-01", "2024-03-09"])
    monthly = composite(array, "mean", by="month")
    assert monthly.dims == ("time", "y", "x")
    assert monthly.name == "a"
    np.testing.assert_array_equal(
        monthly.time, np.array(["2024-01-01", "2024-03-01"], "datetime64[ns]")
    )
    assert monthly[:, 0, 0].values.tolist() == [1.0, 2.0]
    lazy = composite(array.to_dataset().chunk(time=1, x=2).assign(height=("x", [1, 2, 3])), by="1d")
    assert lazy.a.shape == (4, 1, 3)
    assert lazy.height.values.tolist() == [1, 2, 3]
    assert lazy.a.chunks


def test_solar_days_are_those_of_the_images_place(scenes):
    array = np.full((4, 4), 7, "uint16")
    items = [
        scenes.item(f"i{day}", {"a": scenes.write(f"a{day}", array)}, day=day) for day in (1, 2)
    ]
    found = composite(load(items, "a"), "count", by="solar_day")
    assert found.a.shape == (2, 4, 4)
    with pytest.raises(ConfigError, match="no CRS"):
        composite(dated(["2024-01-01"]), by="solar_day")


def test_the_most_recent_of_dates_out_of_order():
    array = dated(["2024-03-01", "2024-05-01T12:00", "2024-05-01T10:00", "2024-01-01"])
    assert composite(array, "most_recent")[0, 0] == 1
    assert composite(array, "first")[0, 0] == 0


def test_types_that_no_kernel_takes_are_turned_to_float32():
    array = dated(["2024-01-01", "2024-01-02", "2024-01-03"]).astype("int32")
    array.attrs = {"scale": 0.5, "offset": 1.0, "nodata": 2}
    assert composite(array, "max")[0, 0] == 1.5
    assert composite(array.astype("float64"), "max").dtype == np.float32


@pytest.mark.parametrize("method", ["median", "mean", "p10", "medoid", "max_ndvi"])
def test_a_band_of_classes_is_not_averaged(sentinel2, method):
    ds = load(sentinel2(), ["red", "nir", "scl"])
    with pytest.raises(ConfigError, match="'scl' holds classes or bits") as caught:
        composite(ds, method)
    assert "mask_clouds" in caught.value.hint
    with pytest.raises(ConfigError, match="'scl' holds classes or bits"):
        composite(
            load(sentinel2(), ["scl"], scale=False).scl, method if method == "mean" else "max"
        )
    assert set(composite(ds, "first").data_vars) == {"red", "nir", "scl"}


def test_what_cannot_be_composited_is_refused(sentinel2):
    ds = clear(sentinel2())
    with pytest.raises(ConfigError, match="needs the bands of a Dataset"):
        composite(ds.red, "medoid")
    with pytest.raises(ConfigError, match="no dimension time"):
        composite(ds.isel(time=0))
    with pytest.raises(ConfigError, match="period 'week' is not known"):
        composite(ds, by="week")
    with pytest.raises(ConfigError, match="not dates"):
        composite(ds.assign_coords(time=[1, 2, 3]), by="month")
