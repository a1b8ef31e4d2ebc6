"""What copies and stagings say while they run, and durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from rsdat.cli.data_words import copying, period_of, progress_words
from rsdat.errors import ConfigError
from rsdat.storage.transfer_many import Progress
from tests.cli.test_progress import Terminal

HALF = Progress(2, 4, 45_000_000, 90_000_000, failed=1)


def lines(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    """What a terminal of some width shows of a copy."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    with copying() as tell:
        assert tell is not None
        tell(HALF)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_a_bar_says_what_counts_first() -> None:
    share, words = progress_words(HALF, 10.0)
    assert share == 0.5
    assert words == "2 of 4 files, 1 failed, 45.0 MB of 90.0 MB, 4.5 MB/s, 0:00:10 left"
    assert progress_words(Progress(0, 4, 0, 90), 0.0) == (0.0, "0 of 4 files, 0 B of 90 B")


def test_files_count_where_nobody_knows_the_bytes() -> None:
    assert progress_words(Progress(1, 4, 5_000, 0), 2.0) == (0.25, "1 of 4 files, 5.0 kB")
    assert progress_words(Progress(0, 0, 0, 0), 0.0) == (None, "0 of 0 files, 0 B")


@pytest.mark.parametrize("columns", [100, 40, 24])
def test_a_narrow_terminal_has_one_line_too(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    found = lines(monkeypatch, columns)
    assert any("2 of 4 files" in line for line in found)
    for line in found:
        assert len(line) <= columns
        assert "2 of 4 files" in line or "looking" in line


def test_a_log_and_a_script_see_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for silent in (True, False):
        with copying(silent=silent) as tell:
            assert tell is None
    assert capsys.readouterr().err == ""


def test_durations() -> None:
    assert period_of("P1DT2H", "--x") == timedelta(days=1, hours=2)
    assert period_of("12h", "--x") == timedelta(hours=12)
    with pytest.raises(ConfigError, match="--lifetime 'long'"):
        period_of("long", "--lifetime")
