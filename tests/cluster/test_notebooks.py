"""The example notebooks, run in a SLURM session with worker jobs, over JupyterLab's kernel API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import ROOT, Laptop, VirtualCluster
from tests.kernels import Server

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]


@pytest.fixture(scope="module")
def session(installed: VirtualCluster) -> Iterator[dict[str, Any]]:
    laptop = Laptop()
    done = laptop(
        "launch", "virtual", "--no-browser", "--json", "--name", "books", "--workers", "2",
        check=True,
    )  # fmt: skip
    body: dict[str, Any] = json.loads(done.stdout)
    yield body
    laptop("stop", body["session"], check=True)
    laptop.close()


@pytest.fixture(scope="module")
def workplace(session: dict[str, Any], installed: VirtualCluster) -> Iterator[str]:
    """A folder of the researcher's for the notebooks and what they write."""
    installed.run("login", "mkdir", "-p", "/home/researcher/notebooks", user="researcher")
    yield "notebooks"
    installed.run("login", "rm", "-rf", "/home/researcher/notebooks", user="researcher")


@pytest.mark.parametrize("name", ["ndvi", "composite"])
def test_notebook(
    name: str, session: dict[str, Any], workplace: str, installed: VirtualCluster
) -> None:
    server = Server(session["url"])
    results = server.run_notebook(ROOT / "examples" / f"{name}.ipynb", f"{workplace}/{name}.ipynb")
    assert any(result.images for result in results), "the notebook shows no plot"
    folder = installed.home() / workplace
    assert list(folder.rglob("*.tif")), "the notebook wrote no COG"
    # The work was done by worker jobs, not by the notebook's own process.
    status = server.request("GET", "rsdat/status")
    assert len(status["workers"]) == 2


def test_the_composite_equals_plain_numpy(
    session: dict[str, Any], workplace: str, installed: VirtualCluster
) -> None:
    """What the worker jobs wrote, against rasterio and numpy on the same catalog."""
    from tests.plain import plain_composite

    folder = installed.home() / workplace
    written = sorted(folder.rglob("*composite*.tif"))
    assert written, [str(path) for path in folder.rglob("*")]
    plain_composite(folder).assert_equal(Path(written[0]))
