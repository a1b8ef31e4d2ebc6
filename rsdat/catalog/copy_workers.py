"""Copies files on Dask's workers, a task each; they know no secrets but references to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rsdat.errors import DataError, RsdatError
from rsdat.storage import scrubbed, shown, signing
from rsdat.storage.transfer import Copied, copy_file
from rsdat.storage.transfer_errors import explained
from rsdat.storage.transfer_many import Failed, Planned, Progress, Report

#: Tasks that are with the scheduler at one time, for each thread of the workers.
_AHEAD = 4
#: Times that a task is begun again when its worker is lost.
_RETRIES = 3


def copy_on_workers(
    client: Any,
    planned: Sequence[Planned],
    *,
    on_error: str = "continue",
    sums: tuple[str, ...] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Copy files as :func:`rsdat.storage.transfer_many.copy_many` does, on the workers of a client.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    on_error
        ``continue`` with the others and report it, or ``raise`` the first.

    Raises
    ------
    KeyboardInterrupt
        After what was not begun was taken back. A file that a worker is copying comes to its end.
    """
    began = time.monotonic()
    results: dict[int, Copied | Failed] = {}
    sizes = [one.nbytes for one in planned]
    total = 0 if None in sizes else sum(size or 0 for size in sizes)
    moved = 0
    # The largest first: a big one that begins last would be waited for alone.
    order = sorted(range(len(planned)), key=lambda i: -(planned[i].nbytes or 0))
    for number, found in _done(client, planned, order, sums):
        if isinstance(found, Failed) and on_error == "raise":
            raise found.error
        results[number] = found
        moved += found.nbytes if isinstance(found, Copied) else planned[number].nbytes or 0
        if progress is not None:
            failed = sum(isinstance(one, Failed) for one in results.values())
            name = planned[number].target
            progress(Progress(len(results), len(planned), moved, total, failed, name))
    given = [results[number] for number in sorted(results)]
    return Report(
        tuple(one for one in given if isinstance(one, Copied) and not one.skipped),
        tuple(one for one in given if isinstance(one, Copied) and one.skipped),
        tuple(one for one in given if isinstance(one, Failed)),
        time.monotonic() - began,
    )


def _done(
    client: Any, planned: Sequence[Planned], order: Sequence[int], sums: tuple[str, ...]
) -> Iterator[tuple[int, Copied | Failed]]:
    """The numbers of files with what became of them, as they come; few are under way at a time."""
    from distributed import as_completed

    run = uuid.uuid4().hex[:8]
    left = iter(order)
    numbers: dict[str, int] = {}
    signers = signing.registered()

    def submitted(number: int) -> Any:
        one = planned[number]
        key = f"rsdat-copy-{run}-{number}"
        numbers[key] = number
        return client.submit(
            copy_here, one.source, one.target, sums, signers, key=key, retries=_RETRIES, pure=False
        )

    most = max(16, _AHEAD * sum(client.nthreads().values()))
    first = [submitted(number) for _, number in zip(range(most), left, strict=False)]
    under_way = as_completed(first)
    try:
        for future in under_way:
            number = numbers.pop(future.key)
            yield number, _result(future, planned[number])
            following = next(left, None)
            if following is not None:
                under_way.add(submitted(following))
    finally:
        client.cancel([*under_way.futures])


def copy_here(
    source: str, target: str, sums: tuple[str, ...], signers: signing.Registered
) -> Copied | Failed:
    """Copy a file in this process; an error is an answer, not the task's end."""
    signing.take_over(signers)
    try:
        return copy_file(source, target, sums=sums)
    except RsdatError as error:
        return Failed(source, target, error)
    except Exception as error:  # whatever a backend raises
        return Failed(source, target, explained(error, source, target))


def _result(future: Any, one: Planned) -> Copied | Failed:
    if future.status == "finished":
        found: Copied | Failed = future.result()
        return found
    error = future.exception() if future.status == "error" else None
    words = scrubbed(str(error), one.source) if error is not None else "the task was cancelled"
    return Failed(
        one.source,
        one.target,
        DataError(
            f"{shown(one.source)} was not copied to {shown(one.target)}: the worker was lost "
            f"({words})",
            hint="see the workers' logs (`rsdat logs`), and run it again",
        ),
    )
