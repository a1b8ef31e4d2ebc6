"""Several ranges by one request: the answers that servers give, and those that break."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rsdat.storage.dcache import multipart, ranges
from rsdat.storage.dcache.multipart import Part
from rsdat.storage.dcache.retrying import DOUBTFUL_TRIES, ShortRead
from rsdat.storage.dcache.spans import Span
from tests.dcache.door import Door

DATA = random.Random(3).randbytes(1 << 20)
SPANS = [Span(0, 4), Span(10, 14)]

PLAIN = (
    b"\r\n--b1\r\nContent-Type: image/tiff\r\nContent-Range: bytes 0-3/20\r\n\r\nabcd"
    b"\r\n--b1\r\ncontent-range: bytes 10-13/20\r\n\r\nk\r\nm\r\n--b1--\r\n"
)


def taken(body: bytes, spans: Sequence[Span] = SPANS) -> tuple[list[Part], type | None]:
    """The parts of a body, and the kind of error that they ended with."""
    received: list[Part] = []

    async def take() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(body)
        stream.feed_eof()
        async for part in multipart.parts(stream, b"b1", spans):
            # One by one: what came before an error is looked at, too.
            received.append(part)  # noqa: PERF401

    try:
        asyncio.run(take())
    except (ShortRead, ValueError) as error:
        return received, type(error)
    return received, None


def test_the_parts_of_an_answer() -> None:
    parts, error = taken(PLAIN)
    assert error is None
    assert parts == [Part(0, 20, b"abcd"), Part(10, 20, b"k\r\nm")]
    assert [multipart.cut(span, parts) for span in SPANS] == [b"abcd", b"k\r\nm"]


def test_words_before_the_first_part_are_passed_over() -> None:
    assert taken(b"for old programs:\r\n" + PLAIN) == taken(PLAIN)


def test_an_answer_that_breaks_off_keeps_what_came() -> None:
    for end in range(len(PLAIN) - 9):
        parts, error = taken(PLAIN[:end])
        assert error in (ShortRead, ValueError), end
        assert parts == [Part(0, 20, b"abcd"), Part(10, 20, b"k\r\nm")][: len(parts)]
    assert len(parts) == 2


@pytest.mark.parametrize(
    "place", [b"bytes 3-1/20", b"bytes */20", b"pages 1-2/3", b"", b"bytes 0-99999/100000"]
)
def test_a_part_that_makes_no_sense_is_not_taken(place: bytes) -> None:
    body = b"--b1\r\nContent-Range: " + place + b"\r\n\r\n" + bytes(100_000) + b"\r\n--b1--\r\n"
    assert taken(body) == ([], ValueError)


def test_a_head_without_an_end_is_not_read_on() -> None:
    assert taken(b"--b1\r\n" + b"X-Y: z\r\n" * 1000) == ([], ValueError)


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("multipart/byteranges; boundary=b1", b"b1"),
        ('Multipart/ByteRanges; charset=x; boundary="b 1"', b"b 1"),
        ("multipart/byteranges", None),
        ("image/tiff", None),
        ("", None),
    ],
)
def test_what_stands_between_parts(kind: str, mark: bytes | None) -> None:
    assert multipart.boundary({"Content-Type": kind}) == mark


def test_spans_are_cut_out_of_longer_parts() -> None:
    whole = [Part(2, 10, b"cdefghij")]
    cases = {
        Span(2, 5): b"cde",
        Span(8, 15): b"ij",
        Span(12, 15): b"",
        Span(0, 3): None,
        Span(2, 10): b"cdefghij",
    }
    assert {span: multipart.cut(span, whole) for span in cases} == cases
    assert multipart.cut(Span(8, 15), [Part(2, None, b"cdefghij")]) is None


def test_few_ranges_stay_alone_and_many_share_requests() -> None:
    ones = [(n * 1000, n * 1000 + 10) for n in range(500)]
    assert ranges.together(ones[: ranges.STREAMS]) == [[one] for one in ones[: ranges.STREAMS]]
    for count in (9, 95, 500):
        groups = ranges.together(ones[:count])
        assert [one for group in groups for one in group] == ones[:count]
        assert len(groups) >= 5
        assert max(map(len, groups)) <= ranges.MOST_PARTS
    long = [(n << 22, (n + 1) << 22) for n in range(20)]
    assert ranges.together(long) == [[one] for one in long]
    middle = [(n << 21, (n << 21) + (1 << 20)) for n in range(200)]
    sizes = [sum(stop - start for start, stop in group) for group in ranges.together(middle)]
    assert max(sizes) <= ranges.LONGEST
    assert ranges.together([]) == []


# --- at the door

STARTS = list(range(0, len(DATA), len(DATA) // 64))
STOPS = [start + 100 for start in STARTS]
WANTED = [DATA[a:b] for a, b in zip(STARTS, STOPS, strict=True)]


def read(fs: Any, **options: Any) -> list[Any]:
    found: list[Any] = fs.cat_ranges(["/f"] * len(STARTS), STARTS, STOPS, max_gap=0, **options)
    return found


@pytest.fixture
def full(door: Door) -> Door:
    door.put("/f", DATA)
    return door


@pytest.mark.parametrize("kind", ["first", "whole"])
def test_a_server_that_sends_no_parts_is_asked_for_them_once(
    make_fs: Callable[..., Any], make_door: Callable[..., Door], kind: str
) -> None:
    door = make_door(several_ranges=kind, redirect_reads=False)
    door.put("/f", DATA)
    fs = make_fs(door)
    assert read(fs) == WANTED
    door.clear_log()
    assert read(fs) == WANTED
    assert len(door.requests()) == len(STARTS)
    assert all("," not in r.headers["range"] for r in door.requests())


def test_a_short_file_instead_of_its_ranges_is_taken(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(several_ranges="whole", redirect_reads=False)
    door.put("/f", DATA[:1000])
    fs = make_fs(door)
    starts = list(range(0, 1000, 50))
    for _ in range(2):
        door.clear_log()
        found = fs.cat_ranges(["/f"] * 20, starts, [one + 40 for one in starts], max_gap=0)
        assert found == [DATA[:1000][one : one + 40] for one in starts]


def test_ranges_at_the_end_and_behind_it(fs: Any, full: Door) -> None:
    size = len(DATA)
    starts = [n * 1000 for n in range(20)] + [size - 10, size, size + 5000]
    found = fs.cat_ranges(["/f"] * 23, starts, [one + 100 for one in starts], max_gap=0)
    assert found == [DATA[one : one + 100] for one in starts]
    behind = [size + n * 1000 for n in range(20)]
    assert fs.cat_ranges(["/f"] * 20, behind, [n + 9 for n in behind], max_gap=0) == [b""] * 20


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_what_a_break_left_out_is_read_alone(rest_fs: Any, full: Door, kind: Any) -> None:
    full.fault(kind, path="/f", origin="pool", value=60)
    assert read(rest_fs) == WANTED
    served = [r for r in full.requests("pool") if r.status == 206]
    alone = [r for r in served if "," not in r.headers["range"]]
    assert 0 < len(alone) <= len(STARTS) // ranges.STREAMS


@pytest.mark.parametrize("status", [500, 503])
def test_a_passing_trouble_of_the_door_is_waited_for(rest_fs: Any, full: Door, status: int) -> None:
    # No more than one request bears, should it be the one that meets them all.
    full.fault("status", path="/f", origin="webdav", value=status, times=DOUBTFUL_TRIES - 1)
    assert read(rest_fs) == WANTED


def test_a_refusal_is_asked_for_once_a_request(rest_fs: Any, door: Door) -> None:
    found = read(rest_fs)
    assert {type(one) for one in found} == {type(found[0])}
    assert isinstance(found[0], FileNotFoundError)
    assert len(door.requests()) == ranges.STREAMS
    with pytest.raises(FileNotFoundError):
        read(rest_fs, on_error="raise")


def test_a_file_on_tape_is_said_to_be_there(rest_fs: Any, full: Door) -> None:
    full.to_tape("/f")
    assert {type(one).__name__ for one in read(rest_fs)} == {"Nearline"}


def test_a_directory_is_no_file(fs: Any, full: Door) -> None:
    full.put("/d/x", b"")
    found = fs.cat_ranges(["/d"] * 64, STARTS, STOPS, max_gap=0)
    assert all(isinstance(one, IsADirectoryError) for one in found)
