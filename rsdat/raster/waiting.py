"""Threads that wait for servers: what is asked of several remote files is asked side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from rsdat.raster.sources import Source
from rsdat.storage import is_remote

T = TypeVar("T")

#: Threads of a process; they wait, and use little of its cores.
MOST = 24


@cache
def pool() -> ThreadPoolExecutor:
    """The threads. What they do must not wait for others of them."""
    return ThreadPoolExecutor(max_workers=MOST, thread_name_prefix="rsdat-read")


def side_by_side(work: Callable[[Source], T], sources: Sequence[Source]) -> list[T]:
    """What work makes of each source, in their order; one after the other where files are here."""
    if len(sources) < 2 or not is_remote(sources[0].href):
        return [work(one) for one in sources]
    asked = [pool().submit(work, one) for one in sources]
    try:
        return [one.result() for one in asked]
    finally:
        for one in asked:
            one.cancel()
