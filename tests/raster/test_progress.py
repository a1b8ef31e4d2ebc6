"""The bar that a writer shows when it is asked for one: in a notebook, on a terminal, nowhere."""

from __future__ import annotations

import io
from itertools import count
from types import SimpleNamespace

import IPython
import IPython.display
import pytest

from rsdat import chain, load, write_cog
from rsdat.errors import ConfigError
from rsdat.raster.progress import Progress, reporter

STEPS = [
    Progress(2, 4, kept=2),
    Progress(3, 4, 8_000_000, 0.5, kept=2),
    Progress(4, 4, 16_000_000, 1.0, kept=2),
]


@pytest.fixture
def now(monkeypatch):
    """A clock on which every look is long after the one before."""
    ticks = count(10, 10)
    hold(monkeypatch, lambda: next(ticks))


def hold(monkeypatch, clock):
    """Put a clock in the bar's place of one; the other threads of the process keep theirs."""
    monkeypatch.setattr("rsdat.raster.progress.time", SimpleNamespace(monotonic=clock))


def test_a_terminal_sees_tiles_throughput_and_time_left(monkeypatch, now):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    report = reporter(True, "a.tif")
    for step in STEPS:
        report(step)
    assert screen.getvalue().split("\r\x1b[2K")[1:] == [
        "a.tif: 2 of 4 tiles, 2 of them from an earlier run",
        "a.tif: 3 of 4 tiles, 2 of them from an earlier run, 16 MB/s, 0:00 left",
        "a.tif: 4 of 4 tiles, 2 of them from an earlier run\n",
    ]


def test_a_notebook_sees_one_bar_that_grows(monkeypatch, now):
    seen = []

    def display(what, *, display_id):
        assert display_id
        seen.append(what.data)
        return SimpleNamespace(update=lambda what: seen.append(what.data))

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", display)
    report = reporter(True, "<a>.tif")
    for step in STEPS:
        report(step)
    assert len(seen) == 4
    assert '<progress value="3" max="4">' in seen[2]
    assert "&lt;a&gt;.tif: 3 of 4 tiles" in seen[2]
    assert "16 MB/s, 0:00 left" in seen[2]


def test_a_log_sees_nothing_and_the_last_look_is_never_left_out(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("rsdat.raster.progress._line", lambda name, step: seen.append(step.done))
    hold(monkeypatch, lambda: 5.0)
    report = reporter(True, "a.tif")
    for step in STEPS:
        report(step)
    assert seen == [2, 4]
    monkeypatch.undo()
    for step in STEPS:
        reporter(True, "a.tif")(step)
    assert capsys.readouterr() == ("", "")


def test_every_door_takes_a_bar_or_a_function(sentinel2, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("rsdat.raster.progress._line", lambda name, step: shown.append(name))
    made = chain(sentinel2(), ["red"]).composite("mean")
    image = load(sentinel2(), "red").red.isel(time=0)
    doors = (
        lambda progress: made.to_cog(tmp_path / "a.tif", progress=progress),
        lambda progress: made.to_zarr(tmp_path / "a.zarr", progress=progress),
        lambda progress: made.profile(made.geobox.extent, progress=progress),
        lambda progress: write_cog(image, tmp_path / "b.tif", progress=progress),
    )
    for door in doors:
        seen: list[Progress] = []
        door(seen.append)
        assert seen[-1].done == seen[-1].total
        door(True)
        door(False)
        with pytest.raises(ConfigError, match="progress 5 is no function"):
            door(5)
    assert shown == ["a.tif", "a.zarr", "profile", "b.tif"]
