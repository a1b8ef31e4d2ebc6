"""Computing an image tile by tile, a few in flight: on a Dask client, or in threads.

What a tile becomes (an encoded part of a file, say) is made where the tile was computed, so that
pixels do not travel. Over the wire go the function once, and a few numbers for each tile.
"""

from __future__ import annotations

import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError, RsdatError, SessionError
from rsdat.raster.image import Computed, Skipped, Span

T = TypeVar("T")
Pixels = Callable[[Span], Computed]
Finish = Callable[[Span, NDArray[Any]], T]


@dataclass(frozen=True)
class Done(Generic[T]):
    """A tile that is ready: where it belongs, what it became, and what is missing from it."""

    span: Span
    result: T
    skipped: tuple[Skipped, ...]


def current_client() -> Any | None:
    """The Dask client that a notebook has made current; None without one."""
    if "distributed" not in sys.modules:
        return None
    try:
        return sys.modules["distributed"].default_client()
    except ValueError:
        return None


def cores() -> int:
    """How many threads of this process can compute at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def place(span: Span) -> str:
    """A tile in words."""
    rows, columns = span
    return (
        f"tile of rows {rows.start} to {rows.stop - 1}, "
        f"columns {columns.start} to {columns.stop - 1}"
    )


def compute(
    pixels: Pixels | Any,
    spans: Sequence[Span],
    finish: Finish[T],
    client: Any | None = None,
    *,
    threads: int | None = None,
) -> Generator[Done[T], None, None]:
    """Tiles as they become ready, each finished where it was computed.

    Only a few are computed ahead of the one who takes them, so memory does not grow with the
    image. Closing the iterator cancels the rest.

    Parameters
    ----------
    pixels
        A picklable function of a span; or a numpy array, whose last two axes are y and x; or a
        Dask array whose chunks along y and x are the spans' grid, and one chunk along the others.
    spans
        The tiles that are wanted.
    finish
        Picklable; takes a span and its pixels and returns what to hand on: something small.
    client
        Where to compute; None: threads of this process.
    threads
        How many of them; default as many as there are cores. A client has its own.

    Raises
    ------
    RsdatError
        What was raised as one, here or on a worker, as it was.
    DataError
        Anything else that a tile raised, with the tile's place; or a tile beyond the memory.
    SessionError
        The cluster ended.
    """
    if isinstance(pixels, np.ndarray):
        pixels = _Cut(pixels)
    if client is None:
        work = pixels if callable(pixels) else _Chunks(pixels)
        yield from _in_threads(work, spans, finish, threads or cores())
    elif callable(pixels):
        yield from _few(spans, *_function_on_client(pixels, finish, client))
    else:
        yield from _few(spans, *_array_on_client(pixels, finish, client))


@dataclass(frozen=True)
class _Cut:
    """Tiles of an array in memory."""

    array: NDArray[Any]

    def __call__(self, span: Span) -> Computed:
        return Computed(self.array[(..., *span)])


class _Chunks:
    """The chunks of a Dask array, each with the part of the graph that it needs."""

    def __init__(self, array: Any) -> None:
        starts = [np.cumsum([0, *sizes]).tolist() for sizes in array.chunks[-2:]]
        leading = (0,) * (array.ndim - 2)
        self._keys = {
            (starts[0][row], starts[1][column]): (array.name, *leading, row, column)
            for row, column in np.ndindex(*array.numblocks[-2:])
        }
        wanted = list(self._keys.values())
        self._graph: dict[Any, Any] = dict(array.__dask_optimize__(array.__dask_graph__(), wanted))

    def part(self, span: Span) -> tuple[Any, dict[Any, Any]]:
        """The key of a chunk, and what computes it."""
        from dask.optimization import cull

        key = self._keys[span[0].start, span[1].start]
        return key, cull(self._graph, [key])[0]

    def __call__(self, span: Span) -> Computed:
        from dask.local import get_sync

        key, graph = self.part(span)
        return Computed(np.asarray(get_sync(graph, key)))


_Outcome = tuple[Any, tuple[Skipped, ...]]


def _one(pixels: Pixels, finish: Finish[Any], span: Span) -> _Outcome:
    computed = pixels(span)
    return finish(span, computed.values), computed.skipped


def _in_threads(
    pixels: Pixels, spans: Sequence[Span], finish: Finish[T], threads: int
) -> Generator[Done[T], None, None]:
    def submit(index: int, span: Span) -> Future[_Outcome]:
        return pool.submit(_one, pixels, finish, span)

    def first(pending: list[Future[Any]]) -> Future[Any]:
        return next(iter(wait(pending, return_when=FIRST_COMPLETED).done))

    with ThreadPoolExecutor(threads, thread_name_prefix="tile") as pool:
        yield from _few(spans, submit, first, lambda: threads + 1)


_Runner = tuple[
    Callable[[int, Span], Any], Callable[[list[Any]], Any], Callable[[], int]
]  # submit, the first that is done, how many to have in flight


def _function_on_client(pixels: Pixels, finish: Finish[Any], client: Any) -> _Runner:
    run = f"tile-{uuid.uuid4().hex[:12]}"
    what, then = _once(client, pixels), _once(client, finish)

    def submit(index: int, span: Span) -> Any:
        return client.submit(_by_bounds, what, then, _bounds(span), key=(run, index), pure=False)

    return submit, _first_on_client, _twice_the_threads(client)


def _array_on_client(array: Any, finish: Finish[Any], client: Any) -> _Runner:
    from dask._task_spec import Task, TaskRef

    run = f"tile-{uuid.uuid4().hex[:12]}"
    chunks, then = _Chunks(array), _once(client, finish)

    def submit(index: int, span: Span) -> Any:
        key, graph = chunks.part(span)
        name = (run, index)
        graph[name] = Task(name, _finished, then, _bounds(span), TaskRef(key))
        return client.get(graph, name, sync=False)

    return submit, _first_on_client, _twice_the_threads(client)


def _once(client: Any, value: Any) -> Any:
    """A future of an object that goes to the scheduler once, however many tiles need it.

    A task and not scattered data: when the worker that holds it dies, it is made again.
    """
    import hashlib

    from distributed.protocol.pickle import dumps

    blob = dumps(value)
    return client.submit(_load, blob, key=f"once-{hashlib.sha256(blob).hexdigest()[:16]}")


def _load(blob: bytes) -> Any:
    from distributed.protocol.pickle import loads

    return loads(blob)


_Bounds = tuple[int, int, int, int]


def _bounds(span: Span) -> _Bounds:
    return span[0].start, span[0].stop, span[1].start, span[1].stop


def _span(bounds: _Bounds) -> Span:
    return slice(*bounds[:2]), slice(*bounds[2:])


def _by_bounds(pixels: Pixels, finish: Finish[Any], bounds: _Bounds) -> _Outcome:
    return _one(pixels, finish, _span(bounds))


def _finished(finish: Finish[Any], bounds: _Bounds, values: Any) -> _Outcome:
    return finish(_span(bounds), np.asarray(values)), ()


def _first_on_client(pending: list[Any]) -> Any:
    from distributed import wait as wait_for

    try:
        return next(iter(wait_for(pending, return_when="FIRST_COMPLETED").done))
    except CancelledError as error:
        raise _cluster_gone() from error


def _twice_the_threads(client: Any) -> Callable[[], int]:
    """How many tiles to have in flight; asked again now and then, because workers come and go."""
    asked, number = -math.inf, 0

    def ahead() -> int:
        nonlocal asked, number
        if time.monotonic() - asked > 2:
            asked = time.monotonic()
            # Some even without workers: an adaptive cluster starts them when tasks wait.
            number = max(8, 2 * sum(client.nthreads().values()))
        return number

    return ahead


def _few(
    spans: Sequence[Span],
    submit: Callable[[int, Span], Any],
    first_done: Callable[[list[Any]], Any],
    ahead: Callable[[], int],
) -> Generator[Done[Any], None, None]:
    waiting = iter(enumerate(spans))
    pending: dict[Any, Span] = {}
    try:
        while True:
            while len(pending) < ahead() and (following := next(waiting, None)) is not None:
                pending[submit(*following)] = following[1]
            if not pending:
                return
            future = first_done(list(pending))
            span = pending.pop(future)
            result, skipped = _result(future, span)
            del future
            yield Done(span, result, skipped)
    finally:
        for future in pending:
            future.cancel()


def _cluster_gone() -> SessionError:
    return SessionError(
        "the Dask cluster ended, or the connection to it broke, while it was computing",
        hint="look at it with `rsdat ls`, then run again",
    )


def _result(future: Any, span: Span) -> _Outcome:
    try:
        outcome: _Outcome = future.result()
    except RsdatError:
        raise
    except CancelledError as error:
        raise _cluster_gone() from error
    except MemoryError as error:
        raise DataError(
            f"{place(span)} does not fit into memory", hint="use smaller tiles or chunks"
        ) from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise DataError(
                f"the workers that computed the {place(span)} were killed, several times over "
                f"({error})",
                hint="most often memory: use smaller tiles or chunks, or give the workers more",
            ) from error
        raise DataError(
            f"{place(span)}: {type(error).__name__}: {error}",
            hint="what is raised inside a tile's computation comes from its function or its data",
        ) from error
    return outcome
