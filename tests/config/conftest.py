"""A site's three directories below a temporary one, and a way to write their files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.config.places import Places

Write = Callable[[str, str], Path]


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(tmp_path / "shipped", tmp_path / "etc", tmp_path / "user")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file such as ``etc/sites/x.yaml``; returns its path."""

    def to(path: str, text: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        return file

    return to
