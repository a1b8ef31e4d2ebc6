"""Computing an array tile by tile, a few in flight: on the current Dask client, or in threads."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError, RsdatError, SessionError

Span = tuple[slice, ...]
Tile = tuple[Span, NDArray[Any]]


def current_client() -> Any | None:
    """The Dask client that a notebook has made current; None without one."""
    if "distributed" not in sys.modules:
        return None
    try:
        return sys.modules["distributed"].default_client()
    except ValueError:
        return None


def tiles(data: Any, client: Any | None = None) -> Iterator[Tile]:
    """The chunks of an array, as they become ready, with where they belong.

    Only a few are computed ahead of the one who takes them, so memory does not grow with the
    array. Errors of ours that were raised on a worker arrive as they were.

    Parameters
    ----------
    data
        A Dask array, or a numpy array (one tile).
    client
        Where to compute; None: threads of this process, as many as it has cores.
    """
    if isinstance(data, np.ndarray):
        yield tuple(slice(0, size) for size in data.shape), data
        return
    spans = _spans(data.chunks)
    keys = [(data.name, *index) for index in np.ndindex(*data.numblocks)]
    graph = _optimised(data, keys)
    wanted = dict(zip(keys, spans, strict=True))
    runner = _in_threads if client is None else _on_client
    yield from runner(graph, wanted, client)


def _optimised(data: Any, keys: list[Any]) -> dict[Any, Any]:
    graph: dict[Any, Any] = dict(data.__dask_optimize__(data.__dask_graph__(), keys))
    return graph


def _spans(chunks: tuple[tuple[int, ...], ...]) -> list[Span]:
    edges = [np.cumsum([0, *sizes]).tolist() for sizes in chunks]
    return [
        tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, index, strict=True))
        for index in np.ndindex(*(len(sizes) for sizes in chunks))
    ]


def _in_threads(graph: dict[Any, Any], wanted: dict[Any, Span], client: None) -> Iterator[Tile]:
    from dask.local import get_sync
    from dask.optimization import cull

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def compute(key: Any) -> Any:
        part, _ = cull(graph, [key])
        return get_sync(part, key)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        yield from _few(
            wanted, lambda: (workers or 1) + 1, lambda key: pool.submit(compute, key), _first_done
        )


def _first_done(pending: list[Future[Any]]) -> Future[Any]:
    return next(iter(wait(pending, return_when=FIRST_COMPLETED).done))


def _on_client(graph: dict[Any, Any], wanted: dict[Any, Span], client: Any) -> Iterator[Tile]:
    from dask.optimization import cull
    from distributed import wait as wait_for

    def submit(key: Any) -> Any:
        part, _ = cull(graph, [key])
        return client.get(part, key, sync=False)

    def first_done(pending: list[Any]) -> Any:
        try:
            return next(iter(wait_for(pending, return_when="FIRST_COMPLETED").done))
        except CancelledError as error:
            raise _cluster_gone() from error

    yield from _few(wanted, _twice_the_threads(client), submit, first_done)


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
    wanted: dict[Any, Span],
    ahead: Callable[[], int],
    submit: Callable[[Any], Any],
    first_done: Callable[[list[Any]], Any],
) -> Iterator[Tile]:
    waiting = iter(wanted.items())
    pending: dict[Any, Span] = {}
    try:
        while True:
            while len(pending) < ahead() and (following := next(waiting, None)) is not None:
                pending[submit(following[0])] = following[1]
            if not pending:
                return
            future = first_done(list(pending))
            span = pending.pop(future)
            yield span, _result(future)
            del future
    finally:
        for future in pending:
            future.cancel()


def _cluster_gone() -> SessionError:
    return SessionError(
        "the Dask cluster ended, or the connection to it broke, while it was computing",
        hint="look at it with `rsdat ls`, then run again; nothing half-written is left",
    )


def _result(future: Any) -> NDArray[Any]:
    from distributed.scheduler import KilledWorker

    try:
        return np.asarray(future.result())
    except RsdatError:
        raise
    except CancelledError as error:
        raise _cluster_gone() from error
    except KilledWorker as error:
        raise DataError(
            f"the workers that computed a tile were killed, several times over ({error})",
            hint="most often memory: load smaller chunks, or give the workers more memory",
        ) from error
    except MemoryError as error:
        raise DataError(
            "a tile does not fit into memory", hint='load smaller chunks, chunks={"y": …, "x": …}'
        ) from error
