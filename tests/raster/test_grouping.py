"""Which dates make one image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError, DataError
from rsdat.raster.grouping import Group, groups


def dates(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[s]")


def found(times, by, longitude=None) -> dict[str, tuple[int, ...]]:
    result = groups(times, by, longitude)
    assert all(group.label.dtype == "datetime64[ns]" for group in result)
    labels = [group.label for group in result]
    assert labels == sorted(labels)
    return {str(group.label.astype("datetime64[m]")): group.indices for group in result}


def test_one_group_in_the_order_of_time():
    times = dates("2025-03-01T10:00", "2024-12-31T23:00", "2025-03-01T09:00")
    assert groups(times, None) == [Group(np.datetime64("2024-12-31T23:00", "ns"), (1, 2, 0))]
    assert groups([], "day") == []


def test_days_are_of_utc():
    times = dates("2024-02-29T23:59:59", "2024-03-01T00:00", "2024-02-29T00:00")
    assert found(times, "day") == {"2024-02-29T00:00": (2, 0), "2024-03-01T00:00": (1,)}


def test_a_solar_day_does_not_end_at_midnight_of_utc():
    # Two tiles of one pass over Japan (140° E: +9:20 h), half a minute before and after midnight.
    times = dates("2025-06-01T23:59:30", "2025-06-02T00:00:30")
    assert len(groups(times, "day")) == 2
    assert found(times, "solar_day", 140.0) == {"2025-06-02T00:00": (0, 1)}
    assert found(times, "solar_day", [140.0, 141.5]) == {"2025-06-02T00:00": (0, 1)}
    # Over Hawaii (-155°) both are the afternoon of the day before.
    assert found(times, "solar_day", -155) == {"2025-06-01T00:00": (0, 1)}


def test_a_pass_over_the_180th_meridian_is_one_day():
    times = dates("2025-06-01T22:30:00", "2025-06-01T22:30:10", "2025-06-02T22:28:00")
    expected = {"2025-06-02T00:00": (0, 1), "2025-06-03T00:00": (2,)}
    assert found(times, "solar_day", [179.5, -179.5, 179.9]) == expected
    assert found(times, "solar_day", [179.5, 180.5, 179.9]) == expected
    # Without images on the other side, -179.5 is the day of the west.
    assert found(times[:1], "solar_day", -179.5) == {"2025-06-01T00:00": (0,)}


def test_longitudes_around_greenwich_and_the_globe_keep_their_sign():
    times = dates("2025-06-01T23:30", "2025-06-02T00:30")
    assert found(times, "solar_day", [-0.5, 359.5]) == found(times, "day")
    noon = dates(*["2025-06-01T12:00"] * 3)
    assert found(noon, "solar_day", [-120, 0, 120]) == {"2025-06-01T00:00": (0, 1, 2)}


def test_months_and_years_over_a_leap_day():
    times = dates("2024-02-29T12:00", "2024-02-01", "2023-12-31T23:59", "2024-03-01")
    assert found(times, "month") == {
        "2023-12-01T00:00": (2,),
        "2024-02-01T00:00": (1, 0),
        "2024-03-01T00:00": (3,),
    }
    assert found(times, "year") == {"2023-01-01T00:00": (2,), "2024-01-01T00:00": (1, 0, 3)}


@pytest.mark.parametrize("year", [1960, 1970, 2024])
def test_a_december_belongs_to_the_winter_of_the_next_year(year):
    texts = [f"{year - 1}-11-30", f"{year - 1}-12-01", f"{year}-01-15", f"{year}-02-28"]
    texts += [f"{year}-03-01", f"{year}-08-31", f"{year}-09-01", f"{year}-12-31"]
    assert found(dates(*texts), "season") == {
        f"{year - 1}-09-01T00:00": (0,),
        f"{year - 1}-12-01T00:00": (1, 2, 3),
        f"{year}-03-01T00:00": (4,),
        f"{year}-06-01T00:00": (5,),
        f"{year}-09-01T00:00": (6,),
        f"{year}-12-01T00:00": (7,),
    }


def test_days_are_counted_from_the_first_date():
    times = dates("2024-03-09T00:00", "2024-02-28T18:00", "2024-03-08T23:59", "2024-04-01T00:00")
    assert found(times, "10d") == {
        "2024-02-28T00:00": (1, 2),
        "2024-03-09T00:00": (0,),
        "2024-03-29T00:00": (3,),
    }


MOMENTS = st.lists(st.integers(-(10**9), 3 * 10**9), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(MOMENTS, st.sampled_from([None, "day", "solar_day", "month", "season", "year", "7d"]))
def test_every_date_is_in_one_group_and_none_before_its_start(seconds, by):
    times = np.array(seconds, "datetime64[s]")
    made = groups(times, by, 0.0)
    assert sorted(i for group in made for i in group.indices) == list(range(len(times)))
    starts = [group.label for group in made]
    assert starts == sorted(set(starts))
    following = [*starts[1:], np.datetime64("2200-01-01", "ns")]
    for group, end in zip(made, following, strict=True):
        inside = times[list(group.indices)]
        assert (np.diff(inside) >= np.timedelta64(0)).all()
        assert (inside >= group.label).all()
        assert (inside < end).all()


@pytest.mark.parametrize("by", ["week", "0d", "-3d", "10D", "d", "1.5d", "", "days", 10])
def test_unknown_periods(by):
    with pytest.raises(ConfigError, match="is not known") as caught:
        groups(dates("2025-01-01"), by)
    assert "10d" in (caught.value.hint or "")


def test_what_is_missing():
    times = dates("2025-01-01", "2025-01-02")
    with pytest.raises(ConfigError, match="needs the longitudes"):
        groups(times, "solar_day")
    with pytest.raises(DataError, match="there are 3"):
        groups(times, "solar_day", [1, 2, 3])
    with pytest.raises(DataError, match="1 of them unknown"):
        groups(times, "solar_day", [1, float("nan")])
    with pytest.raises(DataError, match="date 1 is not known"):
        groups(dates("2025-01-01", "NaT"), "day")
