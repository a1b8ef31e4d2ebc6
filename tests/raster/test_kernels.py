"""The numpy kernels against numpy's own, over generated arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import DataError
from rsdat.raster.coordinates import axis_indices
from rsdat.raster.grids import chunk_shape, output_grid
from rsdat.raster.indices import ndvi_of
from rsdat.raster.masks import bits_invalid, qa_invalid, scl_invalid

values = st.one_of(st.just(float("nan")), st.floats(-0.125, 1.625, width=32))


@settings(deadline=None)
@given(values, values)
def test_ndvi_stays_in_its_range(red, nir):
    index = ndvi_of(np.float32([red]), np.float32([nir]))[0]
    total = np.float32(red) + np.float32(nir)
    assert np.isnan(index) == (not total > 0)
    assert np.isnan(index) or -1 <= index <= 1


def test_scene_classes():
    masked = scl_invalid(np.arange(14, dtype="uint8"))
    assert np.flatnonzero(masked).tolist() == [0, 1, 3, 8, 9, 10, 12, 13]
    assert np.flatnonzero(scl_invalid(np.arange(12, dtype="int16"), (11,))).tolist() == [11]


def test_landsat_bits():
    clear, cloud, shadow, fill = 21824, 22280, 23888, 1
    pixels = np.array([clear, cloud, shadow, fill], "uint16")
    assert qa_invalid(pixels).tolist() == [False, True, True, True]
    assert bits_invalid(pixels, [4]).tolist() == [False, False, True, False]


def test_the_layout_before_the_collections_is_refused():
    with pytest.raises(DataError, match="not Landsat Collection 2"):
        qa_invalid(np.array([20480, 53248], "uint16"))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(-20, 20), st.sampled_from([0.5, 1.0, 2.0, 3.0]))
def test_axis_indices_are_the_pixels_under_the_centres(size, shift, scale):
    found = axis_indices(scale, shift, size)
    expected = [int(np.floor(scale * (i + 0.5) + shift)) for i in range(size)]
    assert found.tolist() == expected


@settings(deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([16, 64, 100]),
    st.integers(0, 50),
)
def test_chunks_cover_the_grid_and_end_at_the_blocks(height, width, block, start):
    from odc.geo.geobox import GeoBox
    from rasterio.transform import from_origin

    whole = GeoBox((400, 400), from_origin(0, 4000, 10, 10), "EPSG:32632")
    part = whole[start : start + height, start : start + width]
    rows, columns = chunk_shape(None, part, (block, block), whole)
    assert (sum(rows), sum(columns)) == tuple(part.shape)
    edges = np.cumsum(rows)[:-1] + start
    assert all(edge % block == 0 for edge in edges)


def test_union_of_grids_lies_on_their_pixels():
    from odc.geo.geobox import GeoBox
    from rasterio.transform import from_origin

    one = GeoBox((10, 10), from_origin(499_980, 5_100_000, 120, 120), "EPSG:32633")
    other = one.translate_pix(4, 7)
    united = output_grid([one, other])
    assert united.shape == (17, 14)
    assert united.transform == one.transform
