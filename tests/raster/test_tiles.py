"""Computing by tiles: in threads and on a cluster, with errors that say where."""

from __future__ import annotations

import os
import threading

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, WorkerPlugin

from rsdat.errors import DataError
from rsdat.raster.image import Computed, Skipped
from rsdat.raster.tiles import compute, place

VALUES = np.arange(6 * 40 * 50).reshape(6, 40, 50)
SPANS = [
    (slice(r, min(r + 16, 40)), slice(c, min(c + 20, 50)))
    for r in range(0, 40, 16)
    for c in range(0, 50, 20)
]


def cut(span):
    return Computed(VALUES[(slice(None), *span)], (Skipped("a", "red", str(span[0].start)),))


def total(span, values):
    assert values.shape[1:] == tuple(part.stop - part.start for part in span)
    return int(values.sum())


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(params=["threads", "cluster"])
def where(request):
    return request.getfixturevalue("client") if request.param == "cluster" else None


def pixels_of(kind):
    dask = da.from_array(VALUES, chunks=(6, 16, 20))
    return {"function": cut, "numpy": VALUES, "dask": dask}[kind]


@pytest.mark.parametrize("kind", ["function", "numpy", "dask"])
def test_every_tile_once(where, kind):
    done = list(compute(pixels_of(kind), SPANS, total, where))
    expected = {place(span): int(VALUES[(slice(None), *span)].sum()) for span in SPANS}
    assert {place(one.span): one.result for one in done} == expected
    assert len(done) == len(SPANS)
    if kind == "function":
        assert {one.skipped[0].reason for one in done} == {"0", "16", "32"}


def test_some_of_the_tiles_of_a_dask_array(where):
    done = list(compute(pixels_of("dask"), SPANS[4:6], total, where))
    assert {place(one.span) for one in done} == {place(span) for span in SPANS[4:6]}


def raise_data_error(span):
    raise DataError("item x cannot be read", hint="fetch it")


def raise_odd(span):
    raise ValueError("odd")


def test_our_errors_arrive_as_they_were(where):
    with pytest.raises(DataError) as caught:
        list(compute(raise_data_error, SPANS, total, where))
    assert (caught.value.message, caught.value.hint) == ("item x cannot be read", "fetch it")


def test_other_errors_get_the_tile(where):
    with pytest.raises(DataError, match="rows 0 to 15, columns 20 to 39: ValueError: odd"):
        list(compute(raise_odd, SPANS[1:2], total, where))


def test_only_a_few_are_ahead_and_closing_ends_it():
    begun = []
    tiles = compute(lambda span: begun.append(span) or cut(span), SPANS * 20, total, threads=2)
    next(tiles)
    tiles.close()
    assert len(begun) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("tile")]


def die_once(span):
    """Kill the first worker that comes here, as a node's failure would."""
    flag = os.environ["RSDAT_TEST_FLAG"]
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return cut(span)
    os._exit(1)


def test_a_worker_that_dies_is_survived(client, tmp_path):
    flag = str(tmp_path / "flag")
    client.register_plugin(_Environment(flag))
    done = list(compute(die_once, SPANS, total, client))
    assert len(done) == len(SPANS)
    assert os.path.exists(flag)


class _Environment(WorkerPlugin):
    """The variable also for the worker that comes in place of the dead one."""

    def __init__(self, flag):
        self.flag = flag

    def setup(self, worker):
        os.environ["RSDAT_TEST_FLAG"] = self.flag


class Heavy:
    """A function that takes a megabyte to send."""

    def __init__(self):
        self.ballast = os.urandom(1_000_000)

    def __call__(self, span):
        return cut(span)


def test_a_large_function_goes_to_the_scheduler_once_and_tiles_are_small(client, monkeypatch):
    from distributed.utils import nbytes

    sent = []
    send = client._send_to_scheduler

    def spy(message):
        if message.get("op") == "update-graph":
            graph = message["expr_ser"]
            sent.append(sum(map(nbytes, graph.frames)) + len(str(message["code"])))
        return send(message)

    monkeypatch.setattr(client, "_send_to_scheduler", spy)
    assert len(list(compute(Heavy(), SPANS, total, client))) == len(SPANS)
    assert sorted(size > 1_000_000 for size in sent).count(True) == 1
    tiles = sorted(sent)[: len(SPANS)]
    assert max(tiles) < 1000, tiles
