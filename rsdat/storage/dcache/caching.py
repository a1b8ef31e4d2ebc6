"""What an open file reads ahead: little at random, more and more in sequence."""

from __future__ import annotations

from fsspec.caching import BaseCache, register_cache

# What a request reads at least: a header and what stands beside it.
LEAST = 256 * 1024


class Growing(BaseCache):  # type: ignore[misc]
    """fsspec's cache of an open file with a window that grows while reading goes on in order.

    fsspec's own ``readahead`` reads a block of 5 MB behind each read. Who reads tiles or chunks
    here and there would transfer ten times what is wanted. Here the first bytes behind a read are
    256 kB at most, and twice as many after each read that goes on where the last one ended, up to a
    block. The beginning of the file is kept: headers are read again and again.

    Parameters
    ----------
    blocksize
        The most bytes that are read ahead.
    fetcher
        Reads from a start to a stop.
    size
        Bytes of the file.
    """

    name = "growing"

    def __init__(self, blocksize: int, fetcher: object, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._head = b""
        self._window = b""
        self._start = 0
        self._ahead = 0

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        first = start or 0
        last = self.size if stop is None else min(stop, self.size)
        if first >= last:
            return b""
        if last <= len(self._head):
            self.hit_count += 1
            return self._head[first:last]
        end = self._start + len(self._window)
        if self._start <= first and last <= end:
            self.hit_count += 1
            return self._window[first - self._start : last - self._start]
        self.miss_count += 1
        return self._miss(first, last, end)

    def _miss(self, first: int, last: int, end: int) -> bytes:
        goes_on = self._start <= first <= end
        have = self._window[first - self._start :] if goes_on else b""
        least = min(LEAST, self.blocksize)
        self._ahead = min(max(2 * self._ahead, least), self.blocksize) if goes_on else 0
        begin = first + len(have)
        until = min(max(last + self._ahead, begin + least), self.size)
        self.total_requested_bytes += until - begin
        # Only now, so that a read that fails changes nothing.
        self._window, self._start = self.fetcher(begin, until), begin
        if begin == 0:
            self._head = self._window[:LEAST]
        return have + self._window[: last - begin]


register_cache(Growing, clobber=True)
