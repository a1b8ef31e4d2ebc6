"""Ranges and downloads: fsspec's starts and ends, many ranges in few requests, local files."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from rsdat.storage.dcache import checksums, retrying
from rsdat.storage.dcache.reading import Reader
from rsdat.storage.dcache.retrying import Tries
from rsdat.storage.dcache.spans import Span

# A gap that takes less time to read than a request takes to be answered.
GAP = 64 * 1024
# Above this a joined range is cut again: several connections are faster than one.
LONGEST = 8 * 1024 * 1024
# Ranges of one file are spread over so many requests at least, and so many of them are in one at
# most: the header of a request must not get longer than servers take.
STREAMS = 8
MOST_PARTS = 32
# Longer ranges have a request of their own, which goes on where it broke.
LONGEST_PART = 1024 * 1024

Range = tuple[str, int | None, int | None]
ReadRange = Callable[[str, int | None, int | None], Awaitable[bytes]]
ReadParts = Callable[[str, list[Span]], Awaitable[list[bytes | None]]]


def span(start: int | None, end: int | None) -> Span | None:
    """A span from fsspec's start and end; None if the size has to be known for it."""
    if (end is not None and end < 0) or (start is not None and start < 0 and end is not None):
        return None
    return Span(start or 0, end)


def positive(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """Start and end counted from the beginning, as slices count them."""
    first, last, _ = slice(start, end).indices(size)
    return first, last


def joined(ranges: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """The requests for ranges of one file: those that lie close together are joined.

    Returns
    -------
    list
        Sorted, and covering each range by one of them.
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1] + gap:
            first, last = found[-1]
            if start < last or max(stop, last) - first <= LONGEST:
                found[-1] = first, max(stop, last)
                continue
        found.append((start, stop))
    return found


def together(ranges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Which ranges of one file are asked for by one request.

    Each request costs the door as much as half a megabyte: a few with several ranges each are
    faster than one for each range, and several at one time faster than one. Long ranges stay alone.
    """
    short = [one for one in ranges if one[1] - one[0] <= LONGEST_PART]
    each = min(-(-len(short) // STREAMS), MOST_PARTS)
    groups: list[list[tuple[int, int]]] = []
    size = 0
    for start, stop in short:
        length = stop - start
        if groups and len(groups[-1]) < each and size + length <= LONGEST:
            groups[-1].append((start, stop))
            size += length
        else:
            groups.append([(start, stop)])
            size = length
    return groups + [[one] for one in ranges if one[1] - one[0] > LONGEST_PART]


async def read_many(
    read: ReadRange, read_parts: ReadParts, wanted: Sequence[Range], gap: int | None
) -> list[Any]:
    """The bytes of each range, or the exception that it ended with, in order.

    Parameters
    ----------
    read
        Reads one range, and tries again.
    read_parts
        Reads several ranges of a file; None for those that have to be read alone.
    gap
        Bytes between two ranges that are read in vain to save one of them.
    """
    plain: dict[str, list[tuple[int, int]]] = {}
    others: dict[Range, None] = {}
    for path, start, stop in wanted:
        if stop is not None and _is_plain(start, stop):
            plain.setdefault(path, []).append((start or 0, stop))
        else:
            others[path, start, stop] = None
    gap = GAP if gap is None else gap
    cover = {path: joined(ranges, gap) for path, ranges in plain.items()}
    reading = Reading(read, read_parts)
    work = [reading.group(path, one) for path, ones in cover.items() for one in together(ones)]
    await asyncio.gather(*work, *(reading.alone(one) for one in others))
    return [_part(one, cover, reading.found) for one in wanted]


class Reading:
    """Reads ranges, and keeps the bytes of each, or the exception that it ended with."""

    def __init__(self, read: ReadRange, read_parts: ReadParts) -> None:
        self.found: dict[Range, bytes | Exception] = {}
        self._read = read
        self._read_parts = read_parts

    async def alone(self, one: Range) -> None:
        """One range by a request of its own."""
        try:
            self.found[one] = await self._read(*one)
        except Exception as error:
            self.found[one] = error

    async def group(self, path: str, group: Sequence[tuple[int, int]]) -> None:
        """Ranges of one file by one request; alone where that did not bring them."""
        ones: list[Range] = [(path, start, stop) for start, stop in group]
        if len(ones) > 1:
            try:
                parts = await self._read_parts(path, [Span(*one) for one in group])
            except Exception as error:
                self.found |= dict.fromkeys(ones, error)
                return
            self.found |= {
                one: data for one, data in zip(ones, parts, strict=True) if data is not None
            }
        await asyncio.gather(*(self.alone(one) for one in ones if one not in self.found))


def _part(
    wanted: Range,
    cover: dict[str, list[tuple[int, int]]],
    found: dict[Range, bytes | Exception],
) -> bytes | Exception:
    path, start, stop = wanted
    if stop is None or not _is_plain(start, stop):
        return found[wanted]
    first = start or 0
    around = next(one for one in cover[path] if one[0] <= first and stop <= one[1])
    data = found[path, around[0], around[1]]
    if isinstance(data, Exception) or around == (first, stop):
        return data
    return data[first - around[0] : stop - around[0]]


def _is_plain(start: int | None, stop: int | None) -> bool:
    return (start is None or start >= 0) and stop is not None and stop >= (start or 0)


async def download(reader: Reader, path: str, stream: Any, callback: Any) -> None:
    """A whole file into an open stream; one that can seek is rewound after a wrong checksum."""
    begin = stream.tell() if stream.seekable() else None
    tries = Tries(reader.policy)
    while True:
        sums = checksums.Sums()

        def write(data: bytes, sums: checksums.Sums = sums) -> None:
            stream.write(data)
            sums.update(data)
            callback.relative_update(len(data))

        arrived = await reader.stream(path, Span(), write, callback.set_size)
        if not checksums.differences(sums.values(), arrived.sums or {}):
            return
        if begin is None or not tries.left(retrying.DOUBTFUL_TRIES):
            raise reader.wrong_checksum(path)
        stream.seek(begin)
        stream.truncate()
        callback.absolute_update(0)
        await tries.pause()


async def download_to(reader: Reader, path: str, target: str, callback: Any) -> None:
    """A whole file to a local name, where it appears when it is complete."""
    if os.path.isdir(target):
        raise IsADirectoryError(target)
    growing = f"{target}.{secrets.token_hex(4)}.part"
    try:
        with open(growing, "wb") as stream:
            await download(reader, path, stream, callback)
        os.replace(growing, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(growing)
