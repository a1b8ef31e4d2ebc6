"""The commands in the documents that need a cluster, on the virtual one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import console
from tests.cluster.conftest import Laptop, VirtualCluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]

WITH_CLUSTER = [one for one in console.DOCUMENTS if console.commands(one, "console cluster")]


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    laptop = Laptop()
    yield laptop
    laptop("stop", "--all")
    laptop.close()


@pytest.mark.parametrize("document", WITH_CLUSTER, ids=lambda path: path.name)
def test_commands(
    document: Path, laptop: Laptop, installed: VirtualCluster, tmp_path: Path
) -> None:
    for command in console.commands(document, "console cluster"):
        text = command.text.replace("spider", "virtual").replace(
            "env install virtual", "env install virtual --offline"
        )
        console.run(replace(command, text=text), tmp_path, laptop.environment)
