"""How the many small requests for a catalog treat a server: how many at once, and after a break."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rsdat.errors import DataError
from rsdat.storage import transfer
from rsdat.storage.transfer_errors import passing
from rsdat.storage.transfer_reading import ANSWERED, Patience, origin

Thing = TypeVar("Thing")
Result = TypeVar("Result")

#: Each thread has a connection of its own there, and sshd drops some when ten begin at one time.
_SFTP = 6


def threads(hrefs: Iterable[str], most: int) -> int:
    """How many threads may ask for some hrefs at one time."""
    ssh = any(href.startswith(("sftp://", "ssh://")) for href in hrefs)
    return min(most, _SFTP) if ssh else most


def each(
    work: Callable[[Thing], Result], things: Iterable[Thing], threads: int
) -> Iterator[Result]:
    """What ``work`` makes of things, in their order, several at one time.

    Few are under way or wait to be taken, however many there are: an executor's own ``map`` would
    begin with all of them.

    Raises
    ------
    What ``work`` raises first, in the order of the things; those that were not begun are left.
    """
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "rsdat-catalog") as pool:
        try:
            for thing in things:
                ahead.append(pool.submit(work, thing))
                if len(ahead) >= 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Bridge:
    """Tries again what a broken connection ended, as long as copying a file does."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def over(self, href: str, work: Callable[[], Result]) -> Result:
        """What ``work`` at a server gives; its error, if that does not pass."""
        patience = Patience(transfer.PATIENCE)
        while True:
            try:
                found = work()
            except Exception as error:
                if not _passes(error) or not patience.left(href):
                    raise
            else:
                ANSWERED.add(origin(href))
                return found
            patience.pause(self._stop)

    def stop(self) -> None:
        """End the waits that are under way.

        Each of them raises :class:`~rsdat.storage.transfer_errors.Stopped`.
        """
        self._stop.set()


def _passes(error: BaseException) -> bool:
    if type(error) is DataError and error.__cause__ is not None:
        return passing(error.__cause__)
    return passing(error)
