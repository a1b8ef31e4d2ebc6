"""The head of a file: read back by our own reader and by GDAL's rules."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rsdat.raster.writers.tiff import Tag, block_places, first_directory, head, overview_of

MAIN = {
    256: Tag(4, 1, struct.pack("<I", 1000)),
    257: Tag(4, 1, struct.pack("<I", 700)),
    258: Tag(3, 2, struct.pack("<HH", 16, 16)),
    259: Tag(3, 1, struct.pack("<H", 1)),
    33550: Tag(12, 3, struct.pack("<3d", 10, 10, 0)),
    42113: Tag(2, 3, b"-1\0"),
}
SIZES = [np.array([[[5, 6], [7, 8]]]), np.array([[[9]]])]


@pytest.mark.parametrize("big", [False, True])
def test_tags_and_places_survive(big):
    overview = overview_of(MAIN, 350, 500)
    start, size = head([MAIN, overview], SIZES, big=big)
    found = first_directory(start)
    assert {tag: found[tag] for tag in MAIN} == MAIN
    # Overview first, then rows of the full resolution; each block after its leader.
    first = len(start)
    at = [first + 8 + 9 + 4]
    for block in (5, 6, 7):
        at.append(at[-1] + block + 8)
    assert block_places(start) == list(zip(at, (5, 6, 7, 8), strict=True))
    assert size == at[-1] + 8 + 4
    assert 33550 not in overview
    assert overview[42113] == MAIN[42113]


def test_the_ghost_area_stands_after_the_header():
    start, _ = head([MAIN], SIZES[:1])
    ghost = start[8:]
    assert ghost.startswith(
        b"GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\nLAYOUT=IFDS_BEFORE_DATA\n"
    )
    announced = ghost[43 : 43 + 140]
    assert announced.endswith(b"KNOWN_INCOMPATIBLE_EDITION=NO\n ")


def test_bigtiff_exactly_where_it_is_needed():
    start, size = head([MAIN], [np.full((1, 1, 1), 1000)])
    overhead = size - 1000
    fits = 2**32 - 1 - overhead
    assert head([MAIN], [np.full((1, 1, 1), fits)])[0][2:4] == b"\x2a\0"
    start, size = head([MAIN], [np.full((1, 1, 1), fits + 1)])
    assert start[2:4] == b"\x2b\0"
    assert block_places(start) == [(len(start) + 4, fits + 1)]
    many = np.full((1, 2, 2), 2**32 - 5)
    start, size = head([MAIN], [many])
    assert block_places(start)[-1][0] + 2**32 - 5 + 4 == size
