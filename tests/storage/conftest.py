"""Fixtures of the storage room's tests."""

from __future__ import annotations

import pytest

from tests.storage.secrets import person
from tests.storage.waiting import unhurried

__all__ = ["person"]


@pytest.fixture(autouse=True)
def _unhurried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "make_door" in request.fixturenames:
        unhurried(monkeypatch)
