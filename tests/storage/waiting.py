"""Waiting in tests: for what happens, and not for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from rsdat.storage.dcache import finding, writing

T = TypeVar("T")
#: How long a loaded machine may take for anything at all.
LONG = 60.0


def eventually(ask: Callable[[], T], *, wanted: Callable[[T], object] = bool) -> T:
    """Ask until the answer is wanted, and return it; or the last one, after a long time."""
    deadline = time.monotonic() + LONG
    while not wanted(found := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a door's first words: that of the tests says them, however late."""
    monkeypatch.setattr(writing, "CONTINUE_SECONDS", LONG)
    monkeypatch.setattr(finding, "PATIENCE", LONG)


def left(ask: Callable[[], list[str]]) -> list[str]:
    """What is left when a door has noticed that an upload broke off: dCache removes it itself."""
    return eventually(ask, wanted=lambda found: not found)
