"""A folder for generated scenes, one for all examples of a test."""

from __future__ import annotations

import pytest

from tests.raster.conftest import Scenes


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Scenes:
    return Scenes(tmp_path_factory.mktemp("scenes"))
