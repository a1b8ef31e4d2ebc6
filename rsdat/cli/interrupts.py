"""Ctrl-C and TERM at moments when they must not tear something in two."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held() -> Iterator[None]:
    """Let the block finish; an interrupt that came meanwhile is raised at its end.

    A submission is either made and known, or not made: an interrupt in between would leave a job
    that nobody has heard of.
    """
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, frame: came.append(n)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Treat TERM and HUP as Ctrl-C: the command detaches in words, and the job goes on."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
