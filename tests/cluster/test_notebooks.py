"""The example notebooks, run in a SLURM session with worker jobs, over JupyterLab's kernel API."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from tests.cluster.conftest import ROOT, Laptop, VirtualCluster, eventually
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
def written(installed: VirtualCluster) -> Iterator[Path]:
    """Where the notebooks write, empty at first; as this machine sees it."""
    places = ("/home/researcher/rsdat-examples", "/home/researcher/notebooks")
    installed.run("login", "rm", "-rf", *places, user="researcher")
    installed.run("login", "mkdir", "/home/researcher/notebooks", user="researcher")
    yield installed.home() / "rsdat-examples"
    installed.run("login", "rm", "-rf", *places, user="researcher")


@pytest.mark.parametrize(
    ("name", "image"),
    [("ndvi", "*_ndvi.tif"), ("composite", "median.tif")],
    ids=["ndvi", "composite"],
)
def test_notebook(name: str, image: str, session: dict[str, Any], written: Path) -> None:
    server = Server(session["url"])
    results = server.run_notebook(ROOT / "examples" / f"{name}.ipynb", f"notebooks/{name}.ipynb")
    assert sum(len(result.images) for result in results) >= 2, "the notebook shows no plots"
    assert list(written.glob(image)), "the notebook wrote no COG"
    # The work was done by worker jobs, not by the notebook's own process; a quick one may have
    # done it all before the other is there.
    eventually("two workers", lambda: workers(server) == (2, ["running", "running"]))


def workers(server: Server) -> tuple[int, list[str]]:
    """How many workers are connected, and the states of the worker jobs."""
    status = server.request("GET", "rsdat/status")
    return len(status["workers"]), [job["state"] for job in status["jobs"]]


def test_what_the_workers_wrote_equals_plain_numpy(session: dict[str, Any], written: Path) -> None:
    """The composite notebook's COG, against rasterio and numpy in this process."""
    catalog = pystac.Catalog.from_file(str(written / "sample-catalog" / "catalog.json"))
    items = sorted(catalog.get_items(recursive=True), key=lambda item: item.id)
    assert len(items) == 3
    with rasterio.open(written / "median.tif") as composite:
        for number, band in enumerate(("red", "green", "blue", "nir"), start=1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # pixels without a clear date
                expected = np.nanmedian([clear(item, band) for item in items], axis=0)
            np.testing.assert_array_equal(composite.read(number), expected)


def clear(item: pystac.Item, band: str) -> np.ndarray:
    """Reflectance of one band, NaN where there is no data or cloud; nothing of ours in it."""
    with rasterio.open(item.assets[band].get_absolute_href()) as opened:
        stored = opened.read(1)
    with rasterio.open(item.assets["scl"].get_absolute_href()) as opened:
        classes = np.kron(opened.read(1), np.ones((2, 2), "uint8"))
    values = stored * np.float32(0.0001) + np.float32(-0.1)
    return np.where((stored == 0) | np.isin(classes, [0, 1, 3, 8, 9, 10]), np.nan, values)
