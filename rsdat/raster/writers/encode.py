"""Compressing a tile into the blocks of a TIFF, where the tile was computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError

#: Edge of a file's blocks, in pixels.
BLOCK = 512
COMPRESSIONS = ("zstd", "deflate", "lzw", "lerc_zstd", "none")
#: The levels of effort of each compression, and the one that is taken: on noisy images the fast
#: one of ZSTD is six times faster than its usual 9, and the file 3 % larger.
_LEVELS = {"zstd": (1, 22, 1), "deflate": (1, 12, 6), "lerc_zstd": (1, 22, 1)}
_LEVEL_OPTIONS = {"zstd": "zstd_level", "deflate": "zlevel", "lerc_zstd": "zstd_level"}


@dataclass(frozen=True)
class Codec:
    """A compression of blocks of one type."""

    compress: str
    dtype: str
    level: int | None

    @property
    def predictor(self) -> int:
        """TIFF's predictor: 2 for the differences of integers, 3 for floats, 1 for none."""
        if self.compress not in ("zstd", "deflate", "lzw"):
            return 1
        return {"i": 2, "u": 2, "f": 3}.get(np.dtype(self.dtype).kind, 1)

    def options(self) -> dict[str, Any]:
        """Creation options with which GDAL writes the same blocks."""
        options: dict[str, Any] = {"compress": self.compress}
        if self.predictor != 1:
            options["predictor"] = self.predictor
        if self.level is not None:
            options[_LEVEL_OPTIONS[self.compress]] = self.level
        return options


def codec(compress: str, dtype: str, level: int | None = None) -> Codec:
    """The compression asked for.

    Raises
    ------
    ConfigError
        It is not known, has no such level, or cannot hold the type.
    """
    check_compression(compress)
    if compress == "lerc_zstd" and dtype in ("int64", "uint64"):
        raise ConfigError("LERC has no 64-bit integers", hint="use zstd, or a smaller dtype")
    if compress not in _LEVELS:
        if level is not None:
            raise ConfigError(f"compression {compress} has no levels", hint="leave the level out")
        return Codec(compress, dtype, None)
    low, high, usual = _LEVELS[compress]
    chosen = usual if level is None else level
    if not low <= chosen <= high:
        raise ConfigError(
            f"compression {compress} has no level {level}", hint=f"use {low} to {high}"
        )
    return Codec(compress, dtype, chosen)


def check_compression(name: str) -> None:
    """Refuse a compression that the writer does not know."""
    if name not in COMPRESSIONS:
        raise ConfigError(
            f"compression {name!r} is not known", hint=f"use one of {', '.join(COMPRESSIONS)}"
        )


def blocks(plane: NDArray[Any], codec: Codec) -> Iterator[bytes]:
    """The compressed blocks of one band of a tile, row by row.

    Blocks at the right and bottom edge are filled up with the last pixels. ZSTD is called
    directly, which takes half of the time of GDAL's way through a file in memory; GDAL does the
    others.
    """
    if codec.compress in ("zstd", "none"):
        for rows in range(0, plane.shape[0], BLOCK):
            for columns in range(0, plane.shape[1], BLOCK):
                block = _full(plane[rows : rows + BLOCK, columns : columns + BLOCK], BLOCK, BLOCK)
                yield _zstd(block, codec) if codec.compress == "zstd" else block.tobytes()
    else:
        yield from _by_gdal(plane, codec)


def _full(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Values filled up to a size by repeating the last row and column."""
    rows, columns = values.shape
    if (rows, columns) == (height, width):
        return values
    full = np.empty((height, width), values.dtype)
    full[:rows, :columns] = values
    full[:rows, columns:] = values[:, -1:]
    full[rows:] = full[rows - 1]
    return full


def _zstd(block: NDArray[Any], codec: Codec) -> bytes:
    import imagecodecs

    if codec.predictor == 2:
        block = _differences(block)
    elif codec.predictor == 3:
        block = _differences(_byte_planes(block))
    encode: Any = imagecodecs.zstd_encode  # its annotations know of no arrays
    packed: bytes = encode(np.ascontiguousarray(block), codec.level)
    return packed


def _differences(rows: NDArray[Any]) -> NDArray[Any]:
    """TIFF's predictor 2 (TIFF 6.0, section 14): each number less the one on its left."""
    out = np.empty(rows.shape, rows.dtype)
    out[:, 0] = rows[:, 0]
    np.subtract(rows[:, 1:], rows[:, :-1], out=out[:, 1:])
    return out


def _byte_planes(block: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a row of floats, the highest of all first: the first half of predictor 3.

    Source: Adobe Photoshop TIFF Technical Note 3.
    """
    height, width = block.shape
    size = block.itemsize
    numbers = np.ascontiguousarray(block).view(f"u{size}")
    planes = np.empty((height, size, width), "uint8")
    for plane in range(size):
        np.right_shift(
            numbers,
            8 * (size - 1 - plane),
            out=planes[:, plane],
            casting="unsafe",
            dtype=f"u{size}",
        )
    return planes.reshape(height, size * width)


def _by_gdal(plane: NDArray[Any], codec: Codec) -> Iterator[bytes]:
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    from rsdat.raster.writers.tiff import block_places

    height, width = (-(-size // BLOCK) * BLOCK for size in plane.shape)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype=codec.dtype,
            # Of no meaning: without one it warns, and to ignore that is nothing for a thread, as
            # the filters of warnings are the whole process's.
            transform=Affine.scale(2),
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            **codec.options(),
        ) as opened:
            opened.write(_full(plane, height, width), 1)
        file = memory.getbuffer()
        for start, size in block_places(file):
            yield bytes(file[start : start + size])
