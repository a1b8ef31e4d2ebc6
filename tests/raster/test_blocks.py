"""Blocks that are decoded here are what GDAL reads; what cannot be is left to it."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsdat.errors import DataError
from rsdat.raster import blocks, handles
from rsdat.raster.files import header
from rsdat.raster.reading import read
from rsdat.raster.sources import Source

#: Top row, left column, rows and columns.
Places = tuple[int, int, int, int]

TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


def _write(path: Path, values: NDArray[Any], **options: Any) -> None:
    count, height, width = values.shape
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype.name,
        "count": count,
        "height": height,
        "width": width,
        "crs": "EPSG:32632",
        "transform": from_origin(600_000, 5_000_000, 10, 10),
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile | options) as opened:
        opened.write(values)


def _numbers(dtype: str, *shape: int, seed: int = 0) -> NDArray[Any]:
    drawn = np.random.default_rng(seed).integers(0, 1 << 16, shape)
    kind = np.dtype(dtype)
    return (drawn / 7).astype(dtype) if kind.kind == "f" else drawn.astype(dtype)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    handles.forget()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each reading was done by the blocks."""
    found: list[bool] = []
    real = blocks.read

    def noted(*given: Any) -> bool:
        found.append(real(*given))
        return found[-1]

    monkeypatch.setattr(blocks, "read", noted)
    return found


def _read(
    path: Path, band: int, window: tuple[int, int, int, int], level: int | None = None
) -> Any:
    with handles.borrowing():
        return handles.borrow(str(path), level).read(band, *window)


def _by_gdal(path: Path, band: int, window: Places, **options: Any) -> Any:
    top, left, height, width = window
    with rasterio.open(path, **options) as opened:
        return opened.read(band, window=Window(left, top, width, height))


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    dtype = draw(st.sampled_from(TYPES))
    predictors = [1, 3] if dtype.startswith("float") else [1, 2]
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    options: dict[str, Any] = {
        "compress": draw(st.sampled_from(["deflate", "zstd"])),
        "predictor": draw(st.sampled_from(predictors)),
        "interleave": "band",
    }
    if draw(st.booleans()):
        edges = st.sampled_from([16, 32, 48])
        options |= {"tiled": True, "blockxsize": draw(edges), "blockysize": draw(edges)}
    else:
        options["blockysize"] = draw(st.integers(1, height))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    window = (top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))
    shape = draw(st.integers(1, 2)), height, width
    return {"dtype": dtype, "shape": shape, "options": options, "window": window}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=_cases())
def test_any_window_of_any_layout_is_what_gdal_reads(
    tmp_path: Path, taken: list[bool], case: dict[str, Any]
) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.tif"
    _write(path, _numbers(case["dtype"], *case["shape"]), **case["options"])
    band = case["shape"][0]
    found = _read(path, band, case["window"])
    again = _read(path, band, case["window"])  # the blocks' places and some pixels are known now
    expected = _by_gdal(path, band, case["window"])
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again, expected)
    # Only tiles as wide as their image, whose last row looks like a strip, may be left to GDAL.
    ambiguous = case["options"].get("blockxsize") == case["shape"][2]
    assert ambiguous or taken[-2:] == [True, True]


def test_pixels_are_put_into_a_part_of_a_larger_array(tmp_path: Path, taken: list[bool]) -> None:
    path = tmp_path / "a.tif"
    values = _numbers("uint16", 1, 128, 128)
    _write(path, values, tiled=True, blockxsize=64, blockysize=64, predictor=2)
    room = np.zeros((3, 64, 64), "uint16")
    with handles.borrowing():
        handles.borrow(str(path)).read(1, 64, 0, 64, 64, room[1])
    np.testing.assert_array_equal(room[1], values[0, 64:, :64])
    assert not room[[0, 2]].any()
    assert taken == [True]


@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
def test_overviews(tmp_path: Path, taken: list[bool], beside: bool) -> None:
    path = tmp_path / "a.tif"
    _write(path, _numbers("uint16", 1, 200, 180), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(TIFF_USE_OVR=beside), rasterio.open(path, "r+") as opened:
        opened.build_overviews([2, 4], Resampling.average)
    assert path.with_name("a.tif.ovr").exists() == beside
    window = (3, 5, 40, 30)
    expected = _by_gdal(path, 1, window, overview_level=1)
    np.testing.assert_array_equal(_read(path, 1, window, level=1), expected)
    assert taken == ([] if beside else [True])


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"},
        {"compress": "none"},
        {"ENDIANNESS": "BIG"},
        {"NBITS": 12},
        {"interleave": "pixel"},
    ],
    ids=str,
)
def test_other_layouts_are_left_to_gdal(
    tmp_path: Path, taken: list[bool], options: dict[str, Any]
) -> None:
    path = tmp_path / "a.tif"
    _write(path, _numbers("uint16", 2, 70, 60) % 4096, **{"interleave": "band"} | options)
    window = (1, 2, 50, 40)
    np.testing.assert_array_equal(_read(path, 2, window), _by_gdal(path, 2, window))
    assert taken == []


def test_blocks_that_a_file_leaves_out(tmp_path: Path, taken: list[bool]) -> None:
    path = tmp_path / "a.tif"
    values = np.zeros((1, 128, 128), "uint16")
    values[:, :64] = 7
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": True, "nodata": 5}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=1,
        height=128,
        width=128,
        compress="deflate",
        transform=from_origin(600_000, 5_000_000, 10, 10),
        **options,
    ) as opened:
        opened.write(values[0, :64], 1, window=Window(0, 0, 128, 64))
    found = _read(path, 1, (0, 0, 128, 128))
    np.testing.assert_array_equal(found, _by_gdal(path, 1, (0, 0, 128, 128)))
    assert (found[64:] == 5).all()
    assert taken == [False]


def _damaged(path: Path, cut: bool) -> None:
    with rasterio.open(path) as opened:
        offset = int(opened.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        size = int(opened.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    if cut:
        content = content[: offset + size // 2]
    else:
        content[offset : offset + size] = b"\xff" * size
    path.write_bytes(content)


@pytest.mark.parametrize("cut", [False, True], ids=["damaged", "cut off"])
@pytest.mark.parametrize("compress", ["deflate", "zstd"])
def test_a_damaged_block_is_an_error_that_names_its_place(
    tmp_path: Path, cut: bool, compress: str
) -> None:
    path = tmp_path / "a.tif"
    values = _numbers("uint16", 1, 128, 128)
    _write(path, values, tiled=True, blockxsize=64, blockysize=64, compress=compress)
    _damaged(path, cut)
    source = Source(item="scene", asset="red", href=str(path))
    grid = header(source).geobox
    np.testing.assert_array_equal(read(source, grid[:64], dtype="uint16"), values[0, :64])
    with pytest.raises(DataError, match=r"item scene: asset red .*a\.tif.* cannot be read, at x"):
        read(source, grid[64:], dtype="uint16")


def test_a_file_replaced_after_it_was_opened_is_not_mixed_with_the_old(tmp_path: Path) -> None:
    path, other = tmp_path / "a.tif", tmp_path / "b.tif"
    first = _numbers("uint16", 1, 64, 64, seed=1)
    _write(path, first)
    _write(other, _numbers("uint16", 1, 64, 64, seed=2) // 1000)
    with handles.borrowing():
        opened = handles.borrow(str(path))
        opened.read(1, 0, 0, 64, 64)
        shutil.move(other, path)
        # The dataset still has the file that it opened.
        np.testing.assert_array_equal(opened.read(1, 0, 0, 64, 64), first[0])


def test_threads_share_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    values = _numbers("uint8", 1, 256, 256)
    _write(path, values, tiled=True, blockxsize=128, blockysize=128)
    wrong: list[tuple[int, int]] = []

    def look(seed: int) -> None:
        for top, left in np.random.default_rng(seed).integers(0, 200, (60, 2)).tolist():
            if (
                _read(path, 1, (top, left, 40, 50)) != values[0, top : top + 40, left : left + 50]
            ).any():
                wrong.append((top, left))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_kept_is_bounded() -> None:
    shared = blocks._Shared()
    block = np.zeros(blocks._SMALL, "u1")
    for number in range(40):
        shared.put(number, block)
    kept = [number for number in range(40) if shared.get(number) is not None]
    assert len(kept) * block.nbytes <= blocks._KEPT
    assert kept[-1] == 39
