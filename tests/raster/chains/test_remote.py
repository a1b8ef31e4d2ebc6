"""Files at a server, read ahead of their use: the same pixels, errors and ends as beside us."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pystac
import pytest

from rsdat import chain, load
from rsdat.errors import ConfigError, DataError
from rsdat.raster import handles, loading, waiting
from rsdat.raster.chains import pixels
from rsdat.raster.reading import read_stored
from tests.raster.chains.cases import Stack
from tests.raster.conftest import Scenes

equal = np.testing.assert_array_equal
DATES = 20


@pytest.fixture(scope="module")
def here(shelf) -> Stack:
    """Twenty dates with clouds: the third all cloud, the fourth all clear."""
    rng = np.random.default_rng(6)
    stack = Stack()
    for day in range(1, DATES + 1):
        bands = {n: rng.integers(1, 9000, (64, 48)).astype("uint16") for n in ("red", "nir")}
        bands["scl"] = rng.choice(np.array([4, 9], "uint8"), (32, 24))
        if day in (3, 4):
            bands["scl"][...] = 9 if day == 3 else 4
        stack.add(shelf, bands, day=day, block=32, nodata={"scl": 0})
    return stack


# In a process of its own: GDAL holds the interpreter's lock in some of its questions.
_PROGRAM = """
import sys, pathlib
from benchmarks.raster.range_server import serve
with serve(pathlib.Path(sys.argv[1]), latency=0.002) as counted:
    print(counted.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The address of a server of a directory's files."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # it ends then
            process.wait()


@pytest.fixture(scope="module")
def server(shelf):
    with serving(shelf.directory) as url:
        yield url


@pytest.fixture
def there(here, server, shelf) -> list[pystac.Item]:
    """The same items, their files at the server."""
    handles.forget()
    return at(server, here.items, shelf)


def at(url: str, items: list[pystac.Item], shelf: Scenes) -> list[pystac.Item]:
    moved = [item.clone() for item in items]
    for item in moved:
        for asset in item.assets.values():
            asset.href = asset.href.replace(str(shelf.directory), url)
    return moved


@pytest.fixture(autouse=True)
def nothing_is_left_waiting():
    yield
    # All threads meet: what was cancelled is gone, what was under way is done, and nothing hangs.
    meet = threading.Barrier(waiting.MOST).wait
    for met in [waiting.pool().submit(meet, 60) for _ in range(waiting.MOST)]:
        met.result(timeout=60)
    names = [one.name for one in threading.enumerate() if one.name.startswith("rsdat-read")]
    assert len(names) <= waiting.MOST


def composed(items, **options):
    return chain(items, ["red", "nir"], **options).mask_clouds()


@pytest.mark.parametrize(
    "make",
    [
        lambda made: made,
        lambda made: made.composite("median"),
        lambda made: made.composite("first"),
        lambda made: made.composite("most_recent"),
        lambda made: made.composite("max_ndvi"),
        lambda made: made.composite("mean", by="5d"),
        lambda made: made.mosaic("10d").index("ndvi"),
    ],
)
def test_the_same_pixels(here, there, make):
    equal(make(composed(there)).evaluate(), make(composed(here.items)).evaluate())


@pytest.fixture
def bands_read(monkeypatch) -> list[str]:
    """The items whose bands are read."""
    asked: list[str] = []

    def noting(source, *args, **kwargs):
        asked.append(source.item)
        return read_stored(source, *args, **kwargs)

    monkeypatch.setattr(pixels, "read_stored", noting)
    return asked


def test_bands_of_what_is_all_cloud_are_not_asked_for(there, bands_read):
    composed(there).composite().evaluate()
    assert set(bands_read) == {item.id for item in there} - {there[2].id}


def test_a_composite_that_is_complete_asks_no_further(there, bands_read, monkeypatch):
    monkeypatch.setattr(pixels, "AHEAD", 3)
    # The first date is all clear: what was asked ahead of it is asked, and no more.
    composed(there[3:]).composite("first").evaluate()
    assert there[3].id in bands_read
    assert len(set(bands_read)) <= 4


@pytest.mark.parametrize("band", ["red", "nir", "scl"])
def test_what_is_missing_is_named_or_skipped(here, there, band):
    lost = there[7]
    lost.assets[band].href += ".gone"
    with pytest.raises(DataError, match=rf"item {lost.id}: asset {band} .*cannot be read"):
        composed(there).composite().evaluate()
    made = composed(there, on_error="skip").composite()
    computed = made.plan.evaluate(made.geobox)
    assert [one.item for one in computed.skipped] == [lost.id]
    rest = [item for item in here.items if item.id != lost.id]
    equal(computed.values, composed(rest).composite().evaluate())


def test_a_wrong_mask_function_ends_it(there):
    def odd(values):
        raise ValueError("odd")

    made = chain(there, "red", on_error="skip").mask_clouds("scl", function=odd)
    with pytest.raises(ConfigError, match="odd raised ValueError"):
        made.composite().evaluate()


def test_a_server_that_goes_away(here, shelf):
    with serving(shelf.directory) as url:
        made = chain(at(url, here.items[:3], shelf), "red").composite()
        _ = made.plan
    handles.forget()
    with socket.socket() as taken:  # bound, and not listening: no other server takes the port
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", urlsplit(url).port))
        with pytest.raises(DataError, match="cannot be read") as caught:
            made.evaluate()
    assert "network" in caught.value.hint


def test_dates_of_a_task_are_loaded_side_by_side(here, there, monkeypatch):
    meet = threading.Barrier(DATES)
    real = loading.read

    def together(one, **options):
        meet.wait(60)  # it breaks where they come one after the other
        return real(one, **options)

    expected = load(here.items, "red", chunks={"time": -1}).red.values
    asked = load(there, "red", chunks={"time": -1}).red
    monkeypatch.setattr(loading, "read", together)
    equal(asked.values, expected)


def test_a_date_that_cannot_be_loaded_is_named(here, shelf, tmp_path):
    handles.forget()
    copy = tmp_path / "copies"
    copy.mkdir()
    for one in shelf.directory.glob("*-red.tif"):
        shutil.copy(one, copy)
    with serving(copy) as url:
        items = at(url, here.items, shelf)
        asked = load(items, "red", chunks={"time": -1}).red
        gone = items[DATES // 2]
        (copy / gone.assets["red"].href.rpartition("/")[2]).unlink()
        handles.forget()
        with pytest.raises(DataError, match=rf"item {gone.id}: asset red .*no such file \(404\)"):
            asked.values  # noqa: B018 (it is computed)
