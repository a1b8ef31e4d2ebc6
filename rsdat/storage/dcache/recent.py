"""Questions about many names of one directory, answered by a listing of it.

Programs ask about files one by one, and each question takes a round trip. Where several about one
directory have come at one time, or closely one after the other, the directory is listed once, and
the listing answers the rest for a moment. What it did not show is asked for: a listing never says
that something is missing.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rsdat.storage.dcache.namespace import Entry, Namespace
from rsdat.storage.dcache.paths import parent

# The facts that both a question and the listing in its place have.
FLAGS = ("locality",)
# Questions one after the other, and such that wait at one time, that are worth a listing.
MANY = 8
TOGETHER = 32
# Seconds for which a directory is left alone whose listing was refused, slow or too long.
LEFT_ALONE = 60.0
# Directories whose questions are counted.
DIRECTORIES = 64


@dataclass(eq=False)
class _Directory:
    """What was asked about one directory, and what its listing showed."""

    pauses: deque[float] = field(default_factory=lambda: deque(maxlen=MANY))
    waiting: int = 0
    answered: float = float("-inf")
    shown: dict[str, Entry] = field(default_factory=dict)
    until: float = float("-inf")
    listing: asyncio.Task[None] | None = None
    alone_until: float = float("-inf")


class Recent:
    """Describes entries of a door with a REST interface, many of them by few requests.

    Parameters
    ----------
    namespace
        Asks the door.
    seconds
        How long a listing answers, counted from the moment when it was asked for; 0: never.
    now
        The clock.
    """

    def __init__(
        self, namespace: Namespace, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._namespace = namespace
        self._seconds = seconds
        self._now = now
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Directory]] = (
            weakref.WeakKeyDictionary()
        )

    async def info(self, path: str) -> Entry:
        """One entry with its locality, from a listing or from the door.

        Raises
        ------
        NotFound
            There is none, says the door.
        """
        # Only dCache lists page by page: elsewhere a listing may be larger than can be foreseen.
        if not self._seconds or path == "/" or not self._namespace.has_rest:
            return await self._namespace.info(path, FLAGS)
        directory = self._directory(parent(path))
        if self._now() >= directory.until:
            directory.shown = {}
            if directory.listing is not None or self._is_worth_it(directory):
                await self._listed(parent(path), directory)
        found = directory.shown.get(path)
        # Of a link, a listing and a question may say different things.
        if found is not None and found["type"] in ("file", "directory"):
            return dict(found)
        with self._asking(directory):
            return await self._namespace.info(path, FLAGS)

    def forget(self, path: str | None = None) -> None:
        """Answer nothing from before now: about a path, what is in it, and what it is in."""
        for known in list(self._loops.values()):
            if path is None:
                known.clear()
                continue
            # A directory's own time changes with its entries: the one above shows it.
            for one in (path, parent(path), parent(parent(path))):
                known.pop(one, None)

    def _directory(self, path: str) -> _Directory:
        known = self._loops.setdefault(asyncio.get_running_loop(), {})
        # The last in order are the last that were asked about.
        directory = known[path] = known.pop(path) if path in known else _Directory()
        if len(known) > DIRECTORIES:
            del known[next(iter(known))]
        return directory

    def _is_worth_it(self, directory: _Directory) -> bool:
        """Whether a listing will answer more questions than were asked until now."""
        if self._now() < directory.alone_until:
            return False
        # Not counting the door's own time: the next answers come without it.
        closely = len(directory.pauses) == MANY and sum(directory.pauses) < self._seconds
        return closely or directory.waiting >= TOGETHER

    @contextmanager
    def _asking(self, directory: _Directory) -> Iterator[None]:
        pause = 0.0 if directory.waiting else self._now() - directory.answered
        directory.waiting += 1
        try:
            yield
        finally:
            directory.waiting -= 1
            directory.answered = self._now()
            directory.pauses.append(pause)

    async def _listed(self, path: str, directory: _Directory) -> None:
        if directory.listing is None:
            directory.listing = asyncio.ensure_future(self._list(path, directory))
        # Shielded: others wait for it, too.
        await asyncio.shield(directory.listing)

    async def _list(self, path: str, directory: _Directory) -> None:
        began = self._now()
        directory.pauses.clear()
        # Counted as left alone until it is known to have helped.
        directory.alone_until = began + LEFT_ALONE
        try:
            page, whole = await self._namespace.page(path, FLAGS)
        except OSError:
            return  # who may not list may still ask
        finally:
            directory.listing = None
        directory.shown = {entry["name"]: entry for entry in page}
        directory.until = began + self._seconds
        self._drop_old()
        if whole and self._now() - began < self._seconds / 2:
            directory.alone_until = began

    def _drop_old(self) -> None:
        """Give the memory of listings free that answer no more."""
        now = self._now()
        for known in list(self._loops.values()):
            for directory in list(known.values()):
                if now >= directory.until:
                    directory.shown = {}
