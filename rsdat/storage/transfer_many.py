"""Copying many files at one time: big ones first, one failure does not stop the rest, a report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from rsdat.errors import RsdatError
from rsdat.storage.transfer import Copied, copy_file
from rsdat.storage.transfer_errors import Stopped, explained
from rsdat.storage.transfer_places import LOOK, facts_of, place_of

#: Copies at one time; each holds some 20 MB.
CONCURRENCY = 8


@dataclass(frozen=True)
class Planned:
    """A file to copy; ``nbytes`` is its size, None if nobody knows it yet."""

    source: str
    target: str
    nbytes: int | None = None


@dataclass(frozen=True)
class Failed:
    """A file that was not copied, and why."""

    source: str
    target: str
    error: RsdatError

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return self.error.message


@dataclass(frozen=True)
class Progress:
    """How far many copies are: files and bytes, done and in all (no bytes: nobody knows)."""

    files: int
    total_files: int
    nbytes: int
    total_bytes: int
    failed: int = 0
    name: str = ""


@dataclass(frozen=True)
class Report:
    """What became of many files, each in the order in which it was given."""

    copied: tuple[Copied, ...]
    skipped: tuple[Copied, ...]
    failed: tuple[Failed, ...]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes that were copied, without what an earlier try had left."""
        return sum(one.nbytes - one.resumed_from for one in self.copied)


def copy_many(
    pairs: Iterable[tuple[str, str] | Planned],
    *,
    overwrite: str = "different",
    verify: bool = True,
    checksum: bool = False,
    sums: tuple[str, ...] = (),
    concurrency: int = CONCURRENCY,
    on_error: str = "continue",
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Copy files, several at one time, as :func:`~rsdat.storage.transfer.copy_file` does each.

    Parameters
    ----------
    pairs
        Sources and targets, or :class:`Planned` with their sizes; sizes that are missing are
        asked for.
    concurrency
        Copies at one time.
    on_error
        ``continue`` with the others and report it, or ``raise`` the first.
    progress
        Told how far it is, from one thread at a time.

    Raises
    ------
    ValueError
        Two files have one target.
    KeyboardInterrupt
        After the copies under way were ended and tidied up.
    """
    if on_error not in ("continue", "raise"):
        raise ValueError(f"on_error is continue or raise, not {on_error!r}")
    given = [one if isinstance(one, Planned) else Planned(*one) for one in pairs]
    _check_targets(given)
    options = {"overwrite": overwrite, "verify": verify, "checksum": checksum, "sums": sums}
    work = _Work(given, options, on_error, progress)
    began = time.monotonic()
    with _Threads(concurrency, work.stop) as threads:
        work.sizes(threads)
        # The largest first: a big one that begins last would be waited for alone.
        order = sorted(range(len(given)), key=lambda i: -(work.planned[i].nbytes or 0))
        threads.do(work.copy, order)
    if work.error is not None:
        raise work.error
    found = [one for one in work.results if one is not None]
    return Report(
        tuple(one for one in found if isinstance(one, Copied) and not one.skipped),
        tuple(one for one in found if isinstance(one, Copied) and one.skipped),
        tuple(one for one in found if isinstance(one, Failed)),
        time.monotonic() - began,
    )


def _check_targets(planned: Sequence[Planned]) -> None:
    first: dict[str, str] = {}
    for one in planned:
        other = first.setdefault(one.target, one.source)
        if other != one.source:
            raise ValueError(f"{other} and {one.source} would both become {one.target}")


class _Threads:
    """Threads that all end when one is interrupted."""

    def __init__(self, count: int, stop: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(max(count, 1), thread_name_prefix="rsdat-copy")
        self._stop = stop

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is not None:
            self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def do(self, work: Callable[[int], None], numbers: Sequence[int]) -> None:
        """Do something for each number; an interrupt comes through at once."""
        left: set[Future[None]] = {self._pool.submit(work, number) for number in numbers}
        while left:
            # With a time limit: a signal is only noticed between two waits on some systems.
            done, left = wait(left, timeout=LOOK, return_when=FIRST_COMPLETED)
            for one in done:
                if not one.cancelled():
                    one.result()
            if self._stop.is_set():
                for one in left:
                    one.cancel()


class _Work:
    """The state of many copies: results, bytes so far, and whether to stop."""

    def __init__(
        self,
        planned: list[Planned],
        options: dict[str, Any],
        on_error: str,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.planned = planned
        self.results: list[Copied | Failed | None] = [None] * len(planned)
        self.stop = threading.Event()
        self.error: RsdatError | None = None
        self._options = options
        self._raises = on_error == "raise"
        self._progress = progress
        self._lock = threading.Lock()
        self._moved = [0] * len(planned)
        self._bytes = self._files = self._failed = 0

    def sizes(self, threads: _Threads) -> None:
        """Ask for the sizes that nobody has told; a source that is not there fails later."""

        def ask(number: int) -> None:
            one = self.planned[number]
            try:
                size = facts_of(place_of(one.source), self.stop).size
            except Exception:
                return
            self.planned[number] = replace(one, nbytes=size)

        threads.do(ask, [i for i, one in enumerate(self.planned) if one.nbytes is None])
        self._total = sum(one.nbytes or 0 for one in self.planned)

    def copy(self, number: int) -> None:
        """Copy one file and note what became of it."""
        one = self.planned[number]
        if self.stop.is_set():
            return
        found: Copied | Failed
        try:
            found = copy_file(
                one.source,
                one.target,
                callback=_Count(self, number),
                stop=self.stop,
                **self._options,
            )
        except Stopped:
            return
        except RsdatError as error:
            found = Failed(one.source, one.target, error)
        except Exception as error:
            found = Failed(one.source, one.target, explained(error, one.source, one.target))
        self._note(number, found)

    def _note(self, number: int, found: Copied | Failed) -> None:
        with self._lock:
            self.results[number] = found
            self._files += 1
            if isinstance(found, Failed):
                self._failed += 1
                if self._raises and self.error is None:
                    self.error = found.error
                    self.stop.set()
            # What failed, or was there, is done, too: the bar ends at its end.
            self._count(number, self.planned[number].nbytes or 0)
            self._tell(number)

    def moved(self, number: int, nbytes: int) -> None:
        """Note how many bytes of a file have arrived."""
        with self._lock:
            self._count(number, nbytes)
            self._tell(number)

    def _count(self, number: int, nbytes: int) -> None:
        self._bytes += nbytes - self._moved[number]
        self._moved[number] = nbytes

    def _tell(self, number: int) -> None:
        if self._progress is None:
            return
        name = self.planned[number].target
        self._progress(
            Progress(self._files, len(self.planned), self._bytes, self._total, self._failed, name)
        )


class _Count:
    """What an fsspec callback does, for one file of many."""

    def __init__(self, work: _Work, number: int) -> None:
        self._work = work
        self._number = number

    def set_size(self, size: int | None) -> None:
        """The size is known already."""

    def absolute_update(self, nbytes: int) -> None:
        """So many bytes have arrived."""
        self._work.moved(self._number, nbytes)
