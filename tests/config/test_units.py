"""Memory and walltime: what people write, what is refused, and that nothing is lost on the way."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsdat.config.units import (
    format_memory,
    format_walltime,
    parse_memory,
    parse_walltime,
    short_walltime,
)

seconds = st.integers(0, 400 * 86400).map(lambda s: timedelta(seconds=s))


@given(st.integers(1, 2**60))
def test_memory_survives_being_written_and_read(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


@given(seconds)
def test_walltime_survives_being_written_and_read(walltime: timedelta) -> None:
    assert parse_walltime(format_walltime(walltime)) == walltime
    assert parse_walltime(short_walltime(walltime)) == walltime


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 * 2**30),
        ("8G", 8 * 2**30),
        ("8GB", 8 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512m", 512 * 2**20),
        ("1000", 1000),
        (1000, 1000),
    ],
)
def test_memory_is_read_as_slurm_and_people_write_it(text: object, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "8 apples", "-1G", "0", 0, -5, True, None, 1.5, [], "G"])
def test_memory_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="memory size"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "walltime"),
    [
        ("10h", timedelta(hours=10)),
        ("1h30m", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("1-12:00:00", timedelta(hours=36)),
        ("10:00:00", timedelta(hours=10)),
        ("00:90", timedelta(minutes=90)),
    ],
)
def test_walltime_is_read_as_slurm_and_people_write_it(text: str, walltime: timedelta) -> None:
    assert parse_walltime(text) == walltime


@pytest.mark.parametrize("text", ["", "10", 600, "1 hour", "h", "1:2:3:4", None, True])
def test_a_walltime_that_could_mean_two_things_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="walltime"):
        parse_walltime(text)
