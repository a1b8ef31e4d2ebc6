"""Profiles at places: the pixels of the whole result, counted by plain numpy."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely.geometry import LineString, Point, Polygon, box, mapping

from rsdat import chain
from rsdat.errors import ConfigError, DataError, EnvironmentMissing
from rsdat.raster import profiles
from rsdat.raster.profiles import plot_profile, profile_frame
from tests.raster.conftest import Scenes, real_data

EVERYTHING = ("mean", "count", "valid_fraction", "std", "min", "max", "median")
UTM = "EPSG:32632"
LEFT, TOP = 600_000, 5_000_000


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Four dates of two bands, 40 × 60 pixels of 10 m; the second holds only the left half."""
    scenes = Scenes(tmp_path_factory.mktemp("scenes"))
    rng = np.random.default_rng(5)
    made = []
    for date in range(4):
        files = {}
        for band in ("red", "nir"):
            pixels = rng.integers(1, 5000, (40, 30 if date == 1 else 60)).astype("uint16")
            pixels[rng.random(pixels.shape) < 0.3] = 0
            if date == 2:
                pixels[:20] = 0
            files[band] = scenes.write(f"{band}{date}", pixels, nodata=0, block=16)
        scl = rng.choice([4, 9], files_shape(date)).astype("uint8")
        files["scl"] = scenes.write(f"scl{date}", scl, nodata=0, edge=20, block=16)
        made.append(scenes.item(f"scene{date}", files, day=date + 1))
    return made


def files_shape(date: int) -> tuple[int, int]:
    return 20, 15 if date == 1 else 30


def at(row: float, column: float) -> tuple[float, float]:
    """Metres of a place given in pixels."""
    return LEFT + 10 * column, TOP - 10 * row


def metres(*corners: tuple[float, float]) -> Geometry:
    return Geometry(Polygon([at(*corner) for corner in corners]), UTM)


def degrees(geometry: Geometry) -> dict:
    return mapping(geometry.to_crs("EPSG:4326").geom)


def reference(made, values: np.ndarray, geometry: Geometry, statistic: str) -> np.ndarray:
    """(time, band) by numpy, of the whole result in one piece."""
    values = values if values.ndim == 4 else values[None]
    inside = geometry_mask([geometry.geom], made.geobox.shape, made.geobox.transform, invert=True)
    if not inside.any():
        point = geometry.geom.representative_point()
        column, row = ~made.geobox.transform * (point.x, point.y)
        inside[int(row), int(column)] = True
    taken = values[:, :, inside].astype("float64")
    count = np.isfinite(taken).sum(axis=-1)
    if statistic == "count":
        return count
    if statistic == "valid_fraction":
        return count / inside.sum()
    function = getattr(np, f"nan{statistic}")
    result = np.full(count.shape, np.nan)
    for place in zip(*np.nonzero(count), strict=True):
        result[place] = function(taken[place])
    return result


def same(dataset, made, geometries: dict[str, Geometry]) -> None:
    whole = made.evaluate()
    for name, geometry in geometries.items():
        for statistic in EVERYTHING:
            expected = reference(made, whole, geometry, statistic)
            for number, band in enumerate(made.bands):
                variable = band if statistic == "mean" else f"{band}_{statistic}"
                found = np.atleast_1d(dataset[variable].sel(place=name).values)
                exact = statistic in ("count", "min", "max")
                np.testing.assert_allclose(
                    found, expected[:, number], rtol=0 if exact else 1e-5, atol=1e-6 * (not exact)
                )


corner = st.tuples(
    st.floats(-3, 43, allow_nan=False, width=32), st.floats(-3, 63, allow_nan=False, width=32)
)


@settings(max_examples=40, deadline=None)
@given(
    corners=st.lists(st.lists(corner, min_size=3, max_size=5), min_size=1, max_size=4),
    cell=st.sampled_from([4, 16, 512]),
    tile=st.sampled_from([8, 16, 1024]),
)
def test_statistics_are_those_of_the_whole_result(items, corners, cell, tile):
    made = chain(items, ["red", "nir"])
    grid = made.geobox.extent.geom
    geometries = {}
    for number, ring in enumerate(corners):
        polygon = Polygon([at(*one) for one in ring])
        if polygon.is_valid and polygon.area > 1 and grid.contains(polygon.representative_point()):
            geometries[f"p{number}"] = Geometry(polygon, UTM)
    if not geometries:
        return
    with patch.object(profiles, "_edges", lambda plan: (cell, tile)):
        same(made.profile(geometries, statistics=EVERYTHING), made, geometries)


@pytest.mark.parametrize(
    "steps",
    [
        lambda c: c.mask_clouds(),
        lambda c: c.mask_clouds().index("ndvi", keep=True),
        lambda c: c.composite("median"),
        lambda c: c.composite("count"),
        lambda c: c.composite("max_ndvi", by="2d"),
        lambda c: c.apply(lambda v: v - np.pad(v, ((0, 0), (1, 0), (0, 0)))[:, :-1], halo=1),
        lambda c: c.mosaic("month"),
    ],
    ids=["mask", "index", "composite", "count", "periods", "halo", "mosaic"],
)
def test_any_chain(items, steps):
    made = steps(chain(items, ["red", "nir"]))
    geometries = {
        "triangle": metres((3, 2), (30, 8), (12, 55)),
        "field": metres((5, 5), (5, 9), (9, 9), (9, 5)),
        "sliver": metres((20.1, 3.1), (20.2, 3.1), (20.2, 50.2), (20.1, 50.2)),
    }
    with patch.object(profiles, "_edges", lambda plan: (8, 16)):
        dataset = made.profile(geometries, statistics=EVERYTHING)
    same(dataset, made, geometries)
    if made.times is None:
        assert dataset.red.dims == ("place",)
    else:
        assert dataset[made.bands[0]].dims == ("place", "time")
        np.testing.assert_array_equal(dataset.time, made.times)


def test_classes_are_numbers(items):
    made = chain(items, "scl")
    geometries = {"triangle": metres((3, 2), (30, 8), (12, 55))}
    assert made.evaluate().dtype == np.uint8
    found = made.profile(geometries)
    classes = made.evaluate()[:, 0]
    inside = geometry_mask(
        [geometries["triangle"].geom], made.geobox.shape, made.geobox.transform, invert=True
    )
    assert set(np.unique(classes[0][inside])) == {4, 9}
    for date in (0, 2, 3):
        assert found.scl[0, date].item() == pytest.approx(classes[date][inside].mean())
    # The second date holds half of the place; nodata is no class.
    taken = classes[1][inside]
    assert found.scl_count[0, 1].item() == np.count_nonzero(taken) < inside.sum()


def test_points_take_the_pixel_that_holds_them(items):
    made = chain(items, "red").mask_clouds()
    whole = made.evaluate()[:, 0]
    spots = [(0.01, 0.01), (39.99, 59.99), (17.5, 3.2), (17.9, 3.9), (8, 30)]
    points = [Geometry(Point(at(*spot)), UTM) for spot in spots]
    lonlat = [one.to_crs("EPSG:4326").geom for one in points[:4]]
    dataset = made.profile(points)
    assert dataset.pixels.values.tolist() == [1] * 5
    assert dataset.place.values.tolist() == ["0", "1", "2", "3", "4"]
    for number, (row, column) in enumerate(spots):
        np.testing.assert_array_equal(dataset.red[number], whole[:, int(row), int(column)])
    np.testing.assert_array_equal(dataset.red_count, np.isfinite(dataset.red))
    pairs = [(one.x, one.y) for one in lonlat]
    again = made.profile(pairs)
    np.testing.assert_array_equal(again.red, dataset.red[:4])
    np.testing.assert_allclose(again.lon, [one.x for one in lonlat])
    np.testing.assert_allclose(again.lat, [one.y for one in lonlat])
    np.testing.assert_array_equal(made.profile(np.array(pairs)).red, again.red)
    np.testing.assert_array_equal(made.profile(pairs[0]).red, again.red[:1])


def test_a_polygon_in_degrees_has_edges_straight_in_degrees(tmp_path):
    from pyproj import Transformer

    # 80 km from east to west: a parallel bends by more than a pixel.
    scenes = Scenes(tmp_path)
    pixels = np.arange(1, 301 * 801, dtype="float32")[: 300 * 800].reshape(300, 800)
    item = scenes.item("wide", {"a": scenes.write("wide", pixels, edge=100)})
    west, south, east, north = 10.3, 44.93, 11.2, 45.1
    columns, rows = np.meshgrid(np.arange(800) + 0.5, np.arange(300) + 0.5)
    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    x, y = to_degrees.transform(LEFT + 100 * columns, TOP - 100 * rows)
    inside = (x > west) & (x < east) & (y > south) & (y < north)
    found = chain([item], "a").profile(box(west, south, east, north), statistics=EVERYTHING)
    assert found.pixels.item() == inside.sum() > 50_000
    assert found.a_min.item() == pixels[inside].min()
    assert found.a_max.item() == pixels[inside].max()
    assert found.a.item() == pytest.approx(pixels[inside].mean(dtype="float64"))


def test_a_clip_holds_the_same_pixels(items):
    made = chain(items, "red")
    field = degrees(metres((4, 4), (4, 50), (33, 41), (30, 10)))
    clipped = made.clip(field).evaluate()[:, 0]
    found = made.profile(field)
    np.testing.assert_array_equal(found.red_count[0], np.isfinite(clipped).sum(axis=(1, 2)))
    np.testing.assert_allclose(found.red[0], np.nanmean(clipped, axis=(1, 2), dtype="float64"))


def test_dates_beside_the_place_are_empty(items):
    dataset = chain(items, "red").profile(metres((2, 40), (2, 50), (10, 50), (10, 40)))
    assert dataset.red_count.values[0, [1, 2]].tolist() == [0, 0]  # half a scene; a strip of 0
    assert np.isnan(dataset.red.values[0, [1, 2]]).all()
    assert (dataset.red_count.values[0, [0, 3]] > 0).all()
    assert (dataset.red_valid_fraction.values[0, [1, 2]] == 0).all()


def test_a_polygon_with_a_hole_and_one_of_two_parts(items):
    made = chain(items, "red")
    ring = Polygon(
        [at(5, 5), at(5, 25), at(25, 25), at(25, 5)],
        [[at(10, 10), at(10, 20), at(20, 20), at(20, 10)]],
    )
    apart = box(*at(39, 2), *at(36, 5)).union(box(*at(4, 50), *at(1, 58)))
    geometries = {"ring": Geometry(ring, UTM), "apart": Geometry(apart, UTM)}
    with patch.object(profiles, "_edges", lambda plan: (8, 16)):
        dataset = made.profile(geometries, statistics=EVERYTHING)
    assert dataset.pixels.values.tolist() == [300, 9 + 24]
    same(dataset, made, geometries)


def test_names(items):
    made = chain(items[:1], "red")
    spot, other = (
        degrees(metres((4, 4), (4, 9), (9, 4))),
        degrees(metres((20, 4), (20, 9), (29, 4))),
    )

    def feature(geometry, **fields):
        return {"type": "Feature", "geometry": geometry, "properties": {}, **fields}

    def names(places):
        return made.profile(places, statistics=["mean"]).place.values.tolist()

    assert names({"a": spot, 7: other}) == ["a", "7"]
    assert names(spot) == ["0"]
    assert names([spot, other]) == ["0", "1"]
    assert names(feature(spot, id="x")) == ["x"]
    collection = {
        "type": "FeatureCollection",
        "features": [
            feature(spot, id="0", properties={"name": "wheat"}),  # an id that only counts
            feature(other, id="plot 9", properties={"name": "barley"}),
        ],
    }
    assert names(collection) == ["wheat", "plot 9"]
    assert names(collection["features"]) == ["wheat", "plot 9"]
    frame = SimpleNamespace(__geo_interface__=collection)
    assert names(frame) == ["wheat", "plot 9"]
    assert names({"a": feature(spot), "b": box(9, 44, 11, 46)}) == ["a", "b"]
    twice = [feature(spot, id="x"), feature(other, id="x")]
    with pytest.raises(ConfigError, match="2 places are called 'x'"):
        names(twice)


def test_a_frame_in_a_crs_of_its_own(items):
    made = chain(items, "red")
    field = metres((4, 4), (4, 9), (9, 9), (9, 4))
    interface = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "id": "f", "geometry": mapping(field.geom)}],
    }
    frame = SimpleNamespace(__geo_interface__=interface, crs=UTM)
    found = made.profile(frame)
    assert found.pixels.item() == 25
    same(made.profile({"f": field}, statistics=EVERYTHING), made, {"f": field})
    np.testing.assert_array_equal(found.red, made.profile(field).red)


def test_places_outside_are_named(items):
    made = chain(items, "red")
    inside = degrees(metres((4, 4), (4, 9), (9, 4)))
    with pytest.warns(UserWarning, match="outside the items or the chain's grid: far, pole"):
        dataset = made.profile({"far": (0, 0), "near": inside, "pole": (10, 90)})
    assert dataset.attrs["outside"] == ["far", "pole"]
    assert np.isnan(dataset.red.values[[0, 2]]).all()
    assert dataset.pixels.values[[0, 2]].tolist() == [0, 0]
    assert (dataset.red_count.values[[0, 2]] == 0).all()
    assert np.isnan(dataset.red_valid_fraction.values[[0, 2]]).all()
    assert np.isfinite(dataset.red.values[1]).any()
    with pytest.raises(DataError, match="all 1 places lie outside") as caught:
        made.profile([(45.1, 9.2)])
    assert "(longitude, latitude)" in (caught.value.hint or "")


def test_places_at_the_edge_are_cut(items):
    made = chain(items, "red")
    over = metres((-3, -5), (-3, 4), (6, 4), (6, -5))
    dataset = made.profile({"over": over, "in": metres((1, 1), (1, 4), (4, 4), (4, 1))})
    assert dataset.attrs == {"cut": ["over"]}
    assert dataset.pixels.values.tolist() == [24, 9]
    same(made.profile({"over": over}, statistics=EVERYTHING), made, {"over": over})


@pytest.mark.parametrize("edges", [(-180, -90, 180, 90), (-180, -80, 45, 89), (-60, 0, 80, 80)])
def test_a_place_larger_than_the_projection(items, edges):
    made = chain(items, "red")
    dataset = made.profile({"wide": box(*edges)}, statistics=EVERYTHING)
    grid = Geometry(made.geobox.extent.geom, UTM)
    assert dataset.attrs == {"cut": ["wide"]}
    same(dataset.assign_coords(place=["grid"]), made, {"grid": grid})
    np.testing.assert_array_equal(made.clip(box(*edges)).evaluate(), made.evaluate())


def test_a_tiny_place_beside_the_grid_is_outside(items):
    made = chain(items, "red")
    # Its box meets the grid, no centre of a pixel does, and its middle is beyond the edge.
    sliver = metres((-4, 3.1), (0.2, 3.1), (-4, 3.2))
    with pytest.warns(UserWarning, match="outside"):
        dataset = made.profile({"sliver": sliver, "in": metres((1, 1), (1, 4), (4, 4), (4, 1))})
    assert dataset.attrs["outside"] == ["sliver"]
    assert np.isnan(dataset.red.values[0]).all()


def test_a_grid_that_goes_on_beyond_180_degrees(tmp_path):
    scenes = Scenes(tmp_path)
    pixels = np.arange(1, 101, dtype="uint16").reshape(10, 10)
    path = scenes.write("dateline", pixels, crs="EPSG:4326", edge=0.2, origin=(179, 10))
    dataset = chain([scenes.item("one", {"a": path})], "a").profile([(179.1, 9.9), (-179.5, 9.9)])
    assert dataset.a.values.ravel().tolist() == [1, 8]
    assert dataset.lon.values.tolist() == [179.1, -179.5]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([], "there are no places"),
        ({"road": LineString([(9, 45), (10, 46)])}, "the place road is a LineString"),
        ({"none": Polygon()}, "the place none is empty"),
        ([(600_000, 5_000_000)], "not in degrees"),
        ([(5, 100)], "not in degrees"),
        ("somewhere", "str is no place"),
        ([3, 4, 5], "int is no place"),
        (None, "NoneType is no place"),
        ({"type": "Feature", "geometry": {"type": "Bar"}}, "is no place"),
        ([(float("nan"), 3.0)], "not in degrees"),
        (Geometry(Point(1, 2), None), "has no CRS"),
    ],
)
def test_what_is_no_place(items, places, message):
    with pytest.raises(ConfigError, match=message) as caught:
        chain(items, "red").profile(places)
    assert caught.value.hint


def test_statistics_that_cannot_be(items, monkeypatch):
    made = chain(items, "red")
    field = metres((4, 4), (4, 20), (9, 20), (9, 4))
    with pytest.raises(ConfigError, match="'mode' is not known"):
        made.profile(field, statistics=["mean", "mode"])
    with pytest.raises(ConfigError, match="is no list of names"):
        made.profile(field, statistics="mean")
    monkeypatch.setattr(profiles, "_WHOLE", 10)
    with pytest.raises(ConfigError, match="the place 0 has 5 × 16 pixels; at most 10 × 10"):
        made.profile(field, statistics=["median"])
    assert made.profile(field, statistics=["std", "min"]).data_vars.keys() == {"red_std", "red_min"}


def test_a_file_that_is_gone(items, scenes):
    broken = scenes.item("broken", {"red": scenes.directory / "gone.tif"}, day=9)
    field = metres((4, 4), (4, 9), (9, 9), (9, 4))
    with pytest.raises(DataError, match="item broken"):
        chain([*items, broken], "red").profile(field)
    with pytest.warns(UserWarning, match="left out"):
        dataset = chain([*items, broken], "red", on_error="skip").profile(field)
    assert len(dataset.attrs["skipped"]) == 1
    assert dataset.attrs["skipped"][0].startswith("broken red: ")
    assert dataset.red_count.values[0, -1] == 0
    np.testing.assert_array_equal(dataset.red[:, :-1], chain(items, "red").profile(field).red)


def test_progress(items):
    seen = []
    field = metres((4, 4), (4, 50), (35, 50), (35, 4))
    tiny = metres((1.1, 1.1), (1.1, 1.2), (1.2, 1.2))
    with patch.object(profiles, "_edges", lambda plan: (8, 16)):
        chain(items, "red").profile([field, tiny], progress=seen.append)
    assert [one.done for one in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].done == seen[-1].total > 10
    assert seen[-1].bytes_done > 0


def test_near_places_are_read_together(items, monkeypatch):
    from rsdat.raster.chains import pixels

    reads = []
    real = pixels.read_stored
    monkeypatch.setattr(
        pixels, "read_stored", lambda *a, **k: reads.append(a[0].item) or real(*a, **k)
    )
    points = [Geometry(Point(at(r + 0.5, c + 0.5)), UTM) for r in range(0, 40, 4) for c in (2, 20)]
    chain(items, "red").profile(points)
    assert sorted(reads) == [item.id for item in items]


def test_on_a_cluster(items):
    from distributed import Client, LocalCluster

    made = chain(items, ["red", "nir"]).mask_clouds().index("ndvi")
    fields = {"a": metres((3, 2), (30, 8), (12, 55)), "b": metres((5, 5), (5, 9), (9, 9))}
    expected = made.profile(fields, statistics=EVERYTHING)
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        patch.object(profiles, "_edges", lambda plan: (8, 16)),
    ):
        found = made.profile(fields, statistics=EVERYTHING)  # the current one
        keys = client.run(
            lambda dask_worker: len(dask_worker.state.task_counter.cumulative_elapsed())
        )
        assert keys
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_as_a_table(items):
    made = chain(items, "red").mask_clouds()
    places = {"west": (at_degrees(8, 4)), "east": (at_degrees(8, 44))}
    dataset = made.profile(places, statistics=("mean", "count", "std"))
    frame = profile_frame(dataset, empty=True)
    assert list(frame) == [
        "place", "time", "lon", "lat", "pixels", "red", "red_count", "red_std",
    ]  # fmt: skip
    assert frame.place.tolist() == ["west"] * 4 + ["east"] * 4
    assert pd.api.types.is_datetime64_any_dtype(frame.time)
    assert frame.red_count.tolist() == dataset.red_count.values.ravel().tolist()
    seen = profile_frame(dataset)
    assert len(seen) == int(dataset.red_count.sum())
    assert seen.red.notna().all()
    assert seen.index.tolist() == list(range(len(seen)))
    counted = profile_frame(made.profile(places, statistics=["count", "valid_fraction"]))
    assert counted.red_count.tolist() == seen.red_count.tolist()
    single = profile_frame(made.composite("mean").profile(places))
    assert list(single)[:3] == ["place", "lon", "lat"]


def at_degrees(row: int, column: int) -> tuple[float, float]:
    point = Geometry(Point(at(row + 0.5, column + 0.5)), UTM).to_crs("EPSG:4326").geom
    return point.x, point.y


@pytest.fixture
def pictures():
    matplotlib = pytest.importorskip("matplotlib", reason="plots need matplotlib")
    matplotlib.use("Agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.usefixtures("pictures")
def test_the_plot(items):
    import matplotlib.pyplot as plt

    dataset = chain(items, ["red", "nir"]).profile(
        {
            "west": metres((2, 2), (2, 9), (9, 2)),
            "east": metres((2, 42), (2, 49), (9, 42)),
        },
        statistics=("mean", "std"),
    )
    drawn = plot_profile(dataset, "nir")
    assert drawn.get_ylabel() == "nir"
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == ["west", "east"]
    # The eastern place lacks dates: its line is broken there, with a dotted one over the gap.
    solid, dotted = (
        line for line in drawn.lines if line.get_color() == drawn.lines[-1].get_color()
    )
    np.testing.assert_array_equal(solid.get_ydata(), dataset.nir[1])
    assert np.isnan(solid.get_ydata()).any()
    assert (dotted.get_linestyle(), len(dotted.get_ydata())) == (":", 2)
    assert len(drawn.collections) == 2  # the standard deviations
    _, axes = plt.subplots()
    assert plot_profile(dataset.isel(place=[0]), ax=axes) is axes
    assert (axes.get_title(), axes.get_ylabel(), axes.get_legend()) == ("west", "red", None)
    median = chain(items, "red").profile((at_degrees(3, 3)), statistics=["median"])
    assert plot_profile(median).get_ylabel() == "red, median"


@pytest.mark.usefixtures("pictures")
def test_what_cannot_be_drawn(items, monkeypatch):
    made = chain(items, "red")
    spot = at_degrees(3, 3)
    with pytest.raises(ConfigError, match="no dates"):
        plot_profile(made.composite("mean").profile(spot))
    with pytest.raises(ConfigError, match="no mean or median of any band"):
        plot_profile(made.profile(spot, statistics=["count"]))
    with pytest.raises(ConfigError, match="no mean or median of nir; it has red"):
        plot_profile(made.profile(spot), "nir")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(EnvironmentMissing, match="need matplotlib"):
        plot_profile(made.profile(spot))


@pytest.mark.skipif(real_data() is None, reason="the real scenes are not here (RSDAT_TEST_DATA)")
def test_real_scenes(slovenia):
    made = chain(slovenia, ["red", "nir"]).mask_clouds().index("ndvi")
    grid = made.geobox
    centre = grid.extent.centroid.geom
    field = Geometry(centre.buffer(60 * abs(grid.resolution.x)), grid.crs)
    dataset = made.profile({"disc": field}, statistics=EVERYTHING)
    same(dataset, made, {"disc": field})
    assert 0.3 < float(dataset.ndvi.max()) < 1
    with rasterio.open(slovenia[0].assets["red"].href) as opened:
        column, row = ~opened.transform * (centre.x, centre.y)
        stored = opened.read(1)[int(row), int(column)]
    (x, y) = Geometry(centre, grid.crs).to_crs("EPSG:4326").coords[0]
    point = chain(slovenia[:1], "red").profile((x, y))
    assert point.red.item() == pytest.approx(float(stored) * 1e-4, abs=1e-6)
