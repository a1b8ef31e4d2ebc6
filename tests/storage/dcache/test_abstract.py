"""fsspec's own test-suite, on a dCache door in both modes and on servers of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[str, Any]]:
    """One door for all tests of this module: they clean up after themselves."""
    from tests.dcache.door import Door

    with Door() as door:
        door.call(lambda: door.state.access.__setattr__("anonymous", frozenset(ALL)))
        common = {"webdav": door.webdav, "pause": 0.01, "skip_instance_cache": True}
        made = {
            "rest": fsspec.filesystem("dcache", api=f"{door.rest}/api/v1", **common),
            "webdav": fsspec.filesystem("dcache", api=False, **common),
        }
        yield made
        for one in made.values():
            one.close()


class Fixtures(AbstractFixtures):
    @pytest.fixture
    def fs_path(self, fs: Any) -> Iterator[str]:
        fs.mkdir("/work")
        yield "/work"
        fs.rm("/work", recursive=True)

    @pytest.fixture(params=["rest", "webdav"])
    def fs(self, request: pytest.FixtureRequest, doors: dict[str, Any]) -> Any:
        return doors[request.param]


class TestGet(Fixtures, AbstractGetTests):
    pass


class TestPut(Fixtures, AbstractPutTests):
    pass


class TestCopy(Fixtures, AbstractCopyTests):
    pass


class TestOpen(Fixtures, AbstractOpenTests):
    pass


class TestPipe(Fixtures, AbstractPipeTests):
    pass


ALL = (
    "READ_METADATA",
    "UPDATE_METADATA",
    "LIST",
    "DOWNLOAD",
    "MANAGE",
    "UPLOAD",
    "DELETE",
    "STAGE",
)
