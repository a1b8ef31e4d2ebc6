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

Range = tuple[str, int | None, int | None]
ReadRange = Callable[[str, int | None, int | None], Awaitable[bytes]]


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


async def read_many(read: ReadRange, wanted: Sequence[Range], gap: int | None) -> list[Any]:
    """The bytes of each range, or the exception that it ended with, in order."""
    plain: dict[str, list[tuple[int, int]]] = {}
    for path, start, stop in wanted:
        if _is_plain(start, stop):
            plain.setdefault(path, []).append((start or 0, stop or 0))
    requests: dict[Range, asyncio.Future[bytes]] = {}
    cover: dict[str, list[tuple[int, int]]] = {}
    for path, ranges in plain.items():
        cover[path] = joined(ranges, GAP if gap is None else gap)
        for start, stop in cover[path]:
            requests[path, start, stop] = asyncio.ensure_future(read(path, start, stop))
    for path, first, last in wanted:
        if not _is_plain(first, last) and (path, first, last) not in requests:
            requests[path, first, last] = asyncio.ensure_future(read(path, first, last))
    try:
        await asyncio.gather(*requests.values(), return_exceptions=True)
    finally:
        for task in requests.values():
            task.cancel()
    return [_part(one, cover, requests) for one in wanted]


def _part(
    wanted: Range,
    cover: dict[str, list[tuple[int, int]]],
    requests: dict[Range, asyncio.Future[bytes]],
) -> bytes | BaseException:
    path, start, stop = wanted
    if not _is_plain(start, stop):
        task = requests[wanted]
        return task.exception() or task.result()
    first, last = start or 0, stop or 0
    around = next(one for one in cover[path] if one[0] <= first and last <= one[1])
    task = requests[path, around[0], around[1]]
    failed = task.exception()
    if failed is not None:
        return failed
    data = task.result()
    return data if around == (first, last) else data[first - around[0] : last - around[0]]


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
