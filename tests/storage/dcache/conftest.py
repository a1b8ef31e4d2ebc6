"""Filesystems on the doors of the tests: dCache with REST, WebDAV alone, and servers of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rsdat.storage.dcache import storing
from tests.dcache.door import Door

#: Short pauses: what is tested is that there is another try, not how long it waits.
#: A door that is busy is no silent one.
QUICK = {"pause": 0.01, "retries": 4, "timeout": 60.0}


@pytest.fixture
def nothing_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long looks for what a server might show late: the door shows nothing, unless told to."""
    monkeypatch.setattr(storing, "SWEEPS", storing.LOOKS)


@pytest.fixture
def token_file(tmp_path: Path, door: Door) -> Path:
    path = tmp_path / "token"
    path.write_text(door.token)
    path.chmod(0o600)
    return path


@pytest.fixture
def make_fs(token_file: Path) -> Iterator[Callable[..., Any]]:
    """Filesystems on a door, whose connections are closed after the test."""
    made = []

    def make(door: Door, *, rest: bool = True, **options: Any) -> Any:
        given = {
            "webdav": door.webdav,
            "api": f"{door.rest}/api/v1" if rest else False,
            "token_file": str(token_file),
            "skip_instance_cache": True,
            **QUICK,
            **options,
        }
        made.append(fsspec.filesystem("dcache", **given))
        return made[-1]

    yield make
    for one in made:
        if not one.asynchronous:
            one.close()


@pytest.fixture(params=["rest", "webdav"])
def fs(request: pytest.FixtureRequest, door: Door, make_fs: Callable[..., Any]) -> Any:
    """A filesystem on a dCache door, through its REST interface and through WebDAV alone."""
    return make_fs(door, rest=request.param == "rest")


@pytest.fixture
def rest_fs(door: Door, make_fs: Callable[..., Any]) -> Any:
    return make_fs(door)
