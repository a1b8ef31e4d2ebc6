"""Fixtures: doors for the tests of every room, imported by ``tests/conftest.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.dcache.door import Door


@pytest.fixture
def make_door() -> Iterator[Callable[..., Door]]:
    """Doors with options, as many as a test wants; see `Door`."""
    # Here, so that the tests that need no door do not wait for aiohttp.
    from tests.dcache.door import Door

    with ExitStack() as stack:

        def make(**options: Any) -> Door:
            return stack.enter_context(Door(**options))

        yield make


@pytest.fixture
def door(make_door: Callable[..., Door]) -> Door:
    """A door with REST frontend, WebDAV and two pools, empty, that knows one token."""
    return make_door()


@pytest.fixture
def webdav_door(make_door: Callable[..., Door]) -> Door:
    """A door without a REST frontend."""
    return make_door(rest=False)
