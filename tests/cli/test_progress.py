"""What a run says while it computes."""

from __future__ import annotations

import io
import re

from rsdat.cli.progress import tile_bars
from rsdat.raster.progress import Progress

STEPS = [
    Progress(120, 400, kept=120),
    Progress(121, 400, 8_000_000, 0.5, kept=120),
    Progress(260, 400, 1_120_000_000, 70.0, kept=120),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_tiles_throughput_and_time_left(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    with tile_bars(quiet=False) as counters:
        report = counters("[2025] c.tif")
        for step in STEPS:
            report(step)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert text.count("120 of 400 tiles were there from an earlier run") == 1
    assert "[2025] c.tif" in text
    assert "260/400" in text
    assert "16 MB/s, 1:10 left" in text


def test_a_log_sees_only_what_was_there(capsys):
    with tile_bars(quiet=False) as counters:
        for name, steps in (("a.tif", STEPS), ("b.tif", [Progress(1, 2, 8, 1.0)])):
            report = counters(name)
            for step in steps:
                report(step)
    assert capsys.readouterr().err == ("a.tif: 120 of 400 tiles were there from an earlier run\n")


def test_a_script_sees_nothing():
    with tile_bars(quiet=True) as counters:
        assert counters is None
