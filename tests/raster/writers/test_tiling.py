"""By how much memory an image is computed how: threads, tiles, in memory or on a disk."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from rsdat.raster.image import Image, OnDisk
from rsdat.raster.writers.pyramid import tile_shape
from rsdat.raster.writers.tiling import Budget, Tiling, better_on_disk, fitting
from rsdat.raster.writers.zarr_layout import _shard

#: A median of 100 dates, two bands: 440 bytes a pixel, or 40 and 400 on a disk.
HUNDRED = OnDisk(lambda beside: None, 40, 16_000_000, 400)


def image(size=10980, blocks=1024, each=440, disk: OnDisk | None = HUNDRED) -> Image:
    return Image(
        geobox=GeoBox((size, size), from_origin(600_000, 5_000_000, 10, 10), "EPSG:32632"),
        bands=("red", "nir"),
        dtype="uint16",
        nodata=0,
        scales=(1.0, 1.0),
        offsets=(0.0, 0.0),
        pixels=None,
        token="",
        blocks=(blocks, blocks),
        bytes_per_pixel=each,
        on_disk=disk,
    )


def found(memory, threads, one=None, room=lambda size: True) -> Tiling:
    one = one or image()
    shape = partial(tile_shape, one.geobox.shape, one.blocks, 1)
    return fitting(one, Budget(int(memory), threads, 8, room), shape)


@pytest.mark.parametrize(
    ("memory", "threads", "expected"),
    [
        (8e9, 2, Tiling(2, (2048, 2048))),
        (2e9, 2, Tiling(2, (1024, 2048))),
        (1e9, 2, Tiling(2, (1024, 1024))),
        (900e6, 2, Tiling(2, (1024, 1024), on_disk=True)),
        (200e6, 2, Tiling(2, (1024, 1024), on_disk=True)),
        (100e6, 2, Tiling(1, (1024, 1024), on_disk=True)),
        (50e6, 2, Tiling(1, (512, 1024), on_disk=True)),
        (40e6, 2, Tiling(1, (512, 512), on_disk=True)),
        (1e6, 2, Tiling(1, (512, 512), on_disk=True)),
        (4e9, 8, Tiling(8, (1024, 1024))),
        (3.5e9, 8, Tiling(7, (1024, 1024))),
        (3e9, 8, Tiling(8, (1024, 1024), on_disk=True)),
        (600e6, 8, Tiling(8, (1024, 1024), on_disk=True)),
        (300e6, 8, Tiling(4, (1024, 1024), on_disk=True)),
    ],
)
def test_whole_blocks_come_first_then_threads(memory, threads, expected):
    assert found(memory, threads) == expected


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (1e9, Tiling(2, (1024, 1024))),
        (900e6, Tiling(1, (1024, 1024))),
        (400e6, Tiling(1, (512, 1024))),
        (100e6, Tiling(1, (512, 512))),
    ],
)
def test_without_a_disk_fewer_threads_before_smaller_tiles(memory, expected):
    assert found(memory, 2, image(disk=None)) == expected
    assert found(memory, 2, room=lambda size: False) == expected


def test_a_disk_has_to_have_room_for_all_threads():
    asked = []
    found(400e6, 2, room=lambda size: asked.append(size) or True)
    tile = 1024 * 1024 * HUNDRED.bytes_on_disk
    assert set(asked) == {tile, 2 * tile}
    few = found(200e6, 2, room=lambda size: size <= tile)
    assert few == Tiling(1, (1024, 1024), on_disk=True)


def test_small_images_are_their_own_blocks():
    small = image(size=512)
    assert found(30e6, 2, small) == Tiling(1, (512, 512), on_disk=True)
    assert found(150e6, 2, small) == Tiling(1, (512, 512))  # a second thread had nothing to do


def test_usual_tiles_stay_in_memory_where_they_are_whole_blocks_or_far_away():
    assert better_on_disk(image(), 512)
    assert not better_on_disk(image(), 1024)
    assert not better_on_disk(image(disk=None), 512)
    assert not better_on_disk(replace(image(), waits=True), 512)


def test_a_small_image_is_shared_by_the_threads():
    stores = partial(fitting, image(size=2048), shape_of=partial(_shard, 512))
    assert stores(Budget(8_000_000_000, 2, 8, bool)) == Tiling(2, (1024, 1024))
    assert stores(Budget(8_000_000_000, 1, 8, bool)) == Tiling(1, (2048, 2048))


@pytest.mark.parametrize("memory", [30e6, 100e6, 333e6, 1e9, 5e9])
@pytest.mark.parametrize("threads", [1, 2, 16])
def test_the_memory_is_kept_to(memory, threads):
    one = image()
    cut = found(memory, threads)
    each = HUNDRED.bytes_per_pixel if cut.on_disk else one.bytes_per_pixel
    tile = math.prod(cut.shape) * (each + 8) + (HUNDRED.strip if cut.on_disk else 0)
    assert cut.threads * tile <= memory
