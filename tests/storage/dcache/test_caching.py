"""What an open file reads ahead."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.storage.dcache.caching import LEAST, Growing
from tests.dcache.door import Door

SIZE = 40 * LEAST
BLOCK = 8 * LEAST


def cache(data: bytes, block: int = BLOCK) -> tuple[Growing, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(data)
        asked.append((start, stop))
        return data[start:stop]

    return Growing(block, fetch, len(data)), asked


@given(
    reads=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=20),
    block=st.integers(1, 60),
)
@settings(max_examples=60)
def test_what_is_read_is_what_is_there(reads: list[tuple[int, int]], block: int) -> None:
    data = bytes(range(100))
    growing, _ = cache(data, block)
    for start, stop in reads:
        assert growing._fetch(start, stop) == data[start:stop]
    assert growing._fetch(None, None) == data


def test_reads_here_and_there_fetch_what_they_want() -> None:
    growing, asked = cache(bytes(SIZE))
    for start in (20, 5, 33, 11):
        growing._fetch(start * LEAST, start * LEAST + 2 * LEAST)
    assert [stop - start for start, stop in asked] == [2 * LEAST] * 4


def test_reading_on_reads_more_and_more_ahead() -> None:
    growing, asked = cache(bytes(SIZE))
    for start in range(0, SIZE, LEAST // 2):
        growing._fetch(start, start + LEAST // 2)
    lengths = [(stop - start) / LEAST for start, stop in asked]
    assert lengths == [1.5, 2.5, 4.5, 8.5, 8.5, 8.5, 6.0]
    assert sum(stop - start for start, stop in asked) == SIZE


def test_the_beginning_is_read_once() -> None:
    growing, asked = cache(bytes(SIZE))
    for start in (0, 16, 20 * LEAST, 8, 30 * LEAST, 0):
        growing._fetch(start, start + 8)
    assert [start for start, _ in asked] == [0, 20 * LEAST, 30 * LEAST]


def test_a_read_that_failed_changes_nothing() -> None:
    data = random.Random(1).randbytes(4 * LEAST)
    broken = True

    def fetch(start: int, stop: int) -> bytes:
        if broken:
            raise OSError("gone")
        return data[start:stop]

    growing = Growing(LEAST, fetch, len(data))
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            growing._fetch(5, 10)
    broken = False
    assert growing._fetch(5, 10) == data[5:10]


def test_an_open_file_reads_so(fs: Any, door: Door) -> None:
    data = random.Random(2).randbytes(10 * LEAST)
    door.put("/f", data)
    with fs.open("/f") as file:
        file.seek(5 * LEAST)
        assert file.read(100) == data[5 * LEAST : 5 * LEAST + 100]
        copied = pickle.loads(pickle.dumps(file))
        assert copied.read(7) == data[5 * LEAST + 100 : 5 * LEAST + 107]
    assert {r.sent for r in door.requests("pool") if r.status == 206} == {LEAST}


@pytest.mark.parametrize("kind", ["readahead", "blockcache", "none"])
def test_the_caches_of_fsspec_can_be_chosen(fs: Any, door: Door, kind: str) -> None:
    door.put("/f", bytes(3 * LEAST))
    with fs.open("/f", cache_type=kind) as file:
        assert file.cache.name == kind
        assert file.read(LEAST + 1) == bytes(LEAST + 1)
