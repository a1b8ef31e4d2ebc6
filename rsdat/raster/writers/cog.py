"""Putting part files together into a cloud optimised GeoTIFF."""

from __future__ import annotations

import errno
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.raster.image import Image
from rsdat.raster.writers.encode import BLOCK, Codec
from rsdat.raster.writers.parts import Part
from rsdat.raster.writers.pyramid import Pass
from rsdat.raster.writers.tiff import Directory, Tag, first_directory, head, overview_of
from rsdat.raster.writers.workroom import cannot_write

#: The parts of one pass, by the row and column where their tile begins.
Parts = Mapping[tuple[int, int], Part]

#: Part files kept open: those of one row of tiles, in nearly all images.
_OPEN = 128
#: Bytes after which the disk is told to begin writing.
_TO_DISK = 16 << 20
#: What file systems say that cannot copy from file to file.
_CANNOT_COPY = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


def directory_of(image: Image, codec: Codec, tags: Mapping[str, str]) -> Directory:
    """The tags of the full resolution, as GDAL writes them for an image of this kind."""
    from rasterio.io import MemoryFile

    count = len(image.bands)
    # Four bands of bytes would become red, green, blue and a mask, if GDAL were not told.
    colours = count == 3 and image.dtype == "uint8"
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=BLOCK,
            width=BLOCK,
            count=count,
            dtype=image.dtype,
            crs=image.geobox.crs.to_wkt(),
            transform=image.geobox.transform,
            nodata=image.nodata,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            interleave="band",
            photometric="RGB" if colours else "MINISBLACK",
            SPARSE_OK=True,
            ENDIANNESS="LITTLE",
            **codec.options(),
        ) as opened:
            opened.descriptions = image.bands
            if any(scale != 1.0 for scale in image.scales) or any(image.offsets):
                opened.scales = image.scales
                opened.offsets = image.offsets
            opened.update_tags(**tags)
        found = first_directory(memory.getbuffer())
    height, width = image.geobox.shape
    sides = {256: width, 257: height}
    return found | {tag: Tag(4, 1, size.to_bytes(4, "little")) for tag, size in sides.items()}


def assemble(
    file: Path,
    target: Path,
    main: Directory,
    passes: Sequence[Pass],
    parts: Sequence[Parts],
    bands: int,
) -> int:
    """Write a complete file from part files beside it; its size in bytes.

    Raises
    ------
    DataError
        The file does not fit on the disk.
    OSError
        The disk refuses.
    """
    levels = [
        _Level(step, found, step.first + index, bands)
        for step, found in zip(passes, parts, strict=True)
        for index in range(step.encoded)
    ]
    images = [
        main if not level.level else overview_of(main, *level.step.shapes[level.level])
        for level in levels
    ]
    start, size = head(images, [level.sizes() for level in levels])
    if shutil.disk_usage(file.parent).free < size:
        raise cannot_write(target, f"the finished file takes {size / 1e6:.0f} MB")
    with open(file, "wb", buffering=0) as out, _Copier(file.parent, out.fileno()) as copier:
        out.write(start)
        written = passed_on = len(start)
        for level in reversed(levels):
            for part, begin, end in level.runs():
                copier.copy(part.name, begin, end)
                written += end - begin
                if written - passed_on > _TO_DISK:
                    _begin_to_store(out.fileno(), passed_on, written)
                    passed_on = written
        os.fsync(out.fileno())
    return size


def _begin_to_store(file: int, begin: int, end: int) -> None:
    """Have the disk write while more is copied: the sync at the end then waits for little.

    Linux answers the advice to forget pages that are not stored yet by beginning to store them.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, begin, end - begin, os.POSIX_FADV_DONTNEED)


class _Level:
    """One level's blocks, and where they lie in the parts of the pass that made them."""

    def __init__(self, step: Pass, parts: Parts, level: int, bands: int) -> None:
        self.step, self.level, self.bands = step, level, bands
        self._parts = parts
        self._before = [self._edges(earlier) for earlier in range(step.first, level)]
        self._rows, self._columns = self._edges(level)

    def _edges(self, level: int) -> tuple[list[int], list[int]]:
        """Where tiles begin and end in this level, counted in blocks."""
        rows, columns = ([-(-edge // BLOCK) for edge in side] for side in self.step.at(level))
        return rows, columns

    def _place(self, row: int, column: int) -> tuple[Part, int]:
        """A tile's part, and the index of this level's first block in it."""
        first = sum(
            self.bands * (rows[row + 1] - rows[row]) * (columns[column + 1] - columns[column])
            for rows, columns in self._before
        )
        return self._parts[self.step.rows[row], self.step.columns[column]], first

    def sizes(self) -> NDArray[np.uint32]:
        """Of all blocks in bytes, as (bands, rows, columns)."""
        sizes = np.empty((self.bands, self._rows[-1], self._columns[-1]), "u4")
        for row in range(len(self._rows) - 1):
            for column in range(len(self._columns) - 1):
                part, first = self._place(row, column)
                into = sizes[
                    :,
                    self._rows[row] : self._rows[row + 1],
                    self._columns[column] : self._columns[column + 1],
                ]
                into[...] = part.sizes[first : first + into.size].reshape(into.shape)
        return sizes

    def runs(self) -> Iterator[tuple[Part, int, int]]:
        """Parts and the bytes to take from them, in the order of the blocks."""
        for band in range(self.bands):
            for row in range(len(self._rows) - 1):
                height = self._rows[row + 1] - self._rows[row]
                places = [self._place(row, column) for column in range(len(self._columns) - 1)]
                for line in range(height):
                    for column, (part, first) in enumerate(places):
                        width = self._columns[column + 1] - self._columns[column]
                        begin = first + (band * height + line) * width
                        yield part, int(part.starts[begin]), int(part.starts[begin + width])


class _Copier:
    """Appends ranges of part files to the output, keeping the last used ones open."""

    def __init__(self, directory: Path, out: int) -> None:
        self._directory, self._out = directory, out
        self._open: OrderedDict[str, int] = OrderedDict()
        # In the kernel, or by the file server itself, without a way through this process.
        self._directly = hasattr(os, "copy_file_range")

    def __enter__(self) -> _Copier:
        return self

    def __exit__(self, *_: Any) -> None:
        for number in self._open.values():
            os.close(number)

    def copy(self, name: str, begin: int, end: int) -> None:
        part = self._file(name)
        while begin < end:
            copied = self._some(part, begin, end - begin)
            if not copied:
                raise OSError(f"part {name} is cut short")
            begin += copied

    def _file(self, name: str) -> int:
        number = self._open.pop(name, None)
        if number is None:
            number = os.open(self._directory / name, os.O_RDONLY)
            if len(self._open) >= _OPEN:
                os.close(self._open.popitem(last=False)[1])
        self._open[name] = number
        return number

    def _some(self, part: int, begin: int, size: int) -> int:
        if self._directly:
            try:
                return os.copy_file_range(part, self._out, size, offset_src=begin)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                self._directly = False
        return os.write(self._out, os.pread(part, size, begin))


def check(file: Path, bands: int, levels: int) -> None:
    """Read the last pixel of the file and of its overviews: a cut file is found in time.

    Raises
    ------
    rasterio.errors.RasterioError
        It cannot be read.
    OSError
        It lacks a level.
    """
    import rasterio
    from rasterio.windows import Window

    for level in range(levels):
        options = {"overview_level": level - 1} if level else {}
        with rasterio.open(file, **options) as opened:
            if not level and len(opened.overviews(1)) != levels - 1:
                raise OSError("the finished file lacks overviews")
            last = Window(opened.width - 1, opened.height - 1, 1, 1)
            opened.read(bands, window=last)
