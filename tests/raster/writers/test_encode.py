"""Blocks are what GDAL would have written: it reads them back to the same pixels."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from rsdat.errors import ConfigError
from rsdat.raster.writers.encode import BLOCK, COMPRESSIONS, blocks, codec
from rsdat.raster.writers.tiff import block_places, first_directory, head

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
TYPES += ["float32", "float64"]


def by_gdal(values: np.ndarray, options: dict) -> bytes:
    height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype=values.dtype.name,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            crs="EPSG:32632",
            transform=rasterio.transform.from_origin(5, 5, 10, 10),
            **options,
        ) as opened:
            opened.write(values, 1)
        return bytes(memory.getbuffer())


def with_blocks(file: bytes, made: list[bytes]) -> bytes:
    """A file of GDAL's whose blocks are exchanged for ours: appended, and pointed to."""
    tags = first_directory(file)
    sizes = np.array([len(block) for block in made], "u4").reshape(1, 1, -1)
    start, _ = head([tags], [sizes])
    body = b"".join(struct.pack("<I", len(b)) + b + b[-4:].rjust(4, b"\0") for b in made)
    return start + body


CASES = [
    (compress, dtype)
    for compress in COMPRESSIONS
    for dtype in TYPES
    if (compress, dtype) not in {("lerc_zstd", "int64"), ("lerc_zstd", "uint64")}
]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("compress", "dtype"), CASES)
def test_gdal_reads_the_pixels(compress, dtype):
    rng = np.random.default_rng(1)
    values = rng.normal(50, 20, (600, 530)).astype("float64")
    values = np.clip(values, 0, 100).astype(dtype)
    packing = codec(compress, dtype)
    made = list(blocks(values, packing))
    assert len(made) == 4
    file = with_blocks(by_gdal(values, packing.options()), made)
    with MemoryFile(file) as memory, memory.open() as opened:
        np.testing.assert_array_equal(opened.read(1), values)


def test_blocks_at_the_edge_repeat_the_last_pixels():
    values = np.arange(12, dtype="uint8").reshape(3, 4)
    (block,) = blocks(values, codec("none", "uint8"))
    full = np.frombuffer(block, "uint8").reshape(BLOCK, BLOCK)
    np.testing.assert_array_equal(full[:3, :4], values)
    assert (full[3:, 3:] == 11).all()


def test_gdal_gets_the_level():
    values = np.random.default_rng(0).integers(0, 99, (512, 512)).astype("uint16")
    for level in (1, 12):
        made = next(blocks(values, codec("deflate", "uint16", level)))
        options = {"compress": "deflate", "predictor": 2, "zlevel": level}
        ((_, expected),) = block_places(by_gdal(values, options))
        assert len(made) == expected


def test_what_is_not_possible():
    with pytest.raises(ConfigError, match="jpeg"):
        codec("jpeg", "uint8")
    with pytest.raises(ConfigError, match="no level 23"):
        codec("zstd", "uint8", 23)
    with pytest.raises(ConfigError, match="has no levels"):
        codec("lzw", "uint8", 1)
    with pytest.raises(ConfigError, match="64-bit"):
        codec("lerc_zstd", "int64")


@pytest.mark.parametrize("compress", ["deflate", "lzw", "lerc_zstd"])
def test_blocks_are_made_without_a_warning_and_without_touching_those_of_other_threads(
    compress, monkeypatch
):
    plane = np.arange(300, dtype="uint16").reshape(15, 20)
    with warnings.catch_warnings(), monkeypatch.context() as patched:
        warnings.simplefilter("error")
        patched.setattr(warnings, "catch_warnings", None)
        assert len(list(blocks(plane, codec(compress, "uint16")))) == 1
