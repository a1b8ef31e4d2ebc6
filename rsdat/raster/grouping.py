"""Which dates make one image: by day, solar day, n days, month, season or year."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError

#: What :func:`groups` takes beside None and a number of days such as ``10d``.
PERIODS = ("day", "solar_day", "month", "season", "year")
_DAYS = re.compile(r"([1-9][0-9]{0,4})d")


@dataclass(frozen=True)
class Group:
    """The dates of one period.

    Attributes
    ----------
    label
        Start of the period, datetime64[ns].
    indices
        Positions in the times that were given, in the order of time.
    """

    label: np.datetime64
    indices: tuple[int, ...]


def check_period(by: str | None) -> None:
    """Refuse a period that :func:`groups` does not know."""
    if by is not None and by not in PERIODS and not (isinstance(by, str) and _DAYS.fullmatch(by)):
        raise ConfigError(
            f"the period {by!r} is not known",
            hint=f"use {', '.join(PERIODS)}, or a number of days such as 10d",
        )


def groups(
    times: Sequence[np.datetime64] | NDArray[np.datetime64],
    by: str | None,
    longitude: Sequence[float] | float | None = None,
) -> list[Group]:
    """Dates that belong together.

    Parameters
    ----------
    times
        UTC, in any order.
    by
        None: one group. ``day``: of UTC. ``solar_day``: of the mean solar time, UTC + longitude /
        15 h, so that one pass over the Pacific is one day. ``month``, ``year``. ``season``:
        December to February and so on; a December belongs to the winter that ends in the next
        year. ``10d`` (any number): so many days each, from the day of the first date.
    longitude
        Degrees east of each date's image, or one for all; for ``solar_day`` only. 190 is -170;
        images on both sides of the 180th meridian are counted from its western side (179, 181).

    Returns
    -------
    The groups that have dates, in the order of time. Labels: the first moment of the period, of
    solar time with ``solar_day``; the first date itself where ``by`` is None.

    Raises
    ------
    ConfigError
        When the period is not known, or ``solar_day`` has no longitudes.
    DataError
        When a date is NaT, or the longitudes are not as many as the dates.
    """
    check_period(by)
    moments = np.asarray(times, dtype="datetime64[ns]").reshape(-1)
    if np.isnat(moments).any():
        raise DataError(
            f"date {int(np.flatnonzero(np.isnat(moments))[0])} is not known (NaT)",
            hint="leave that item out, or give it a datetime",
        )
    if not len(moments):
        return []
    order = np.argsort(moments, kind="stable")
    if by is None:
        return [Group(moments[order[0]], tuple(order.tolist()))]
    if by == "solar_day":
        moments = _solar(moments, longitude)
    starts = _starts(moments, by)
    return [
        Group(label, tuple(order[starts[order] == label].tolist())) for label in np.unique(starts)
    ]


def _starts(moments: NDArray[Any], by: str) -> NDArray[Any]:
    """The first moment of each date's period, in nanoseconds."""
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if by in ("day", "solar_day"):
        found = days
    elif by == "month":
        found = months
    elif by == "season":
        # Months counted from a December: the seasons start at multiples of three.
        since = (months - np.datetime64("1969-12", "M")).astype("int64")
        found = np.datetime64("1969-12", "M") + since // 3 * 3
    elif by == "year":
        found = days.astype("datetime64[Y]")
    else:
        size = int(by.removesuffix("d"))
        found = days.min() + (days - days.min()) // np.timedelta64(size, "D") * size
    return found.astype("datetime64[ns]")


def _solar(moments: NDArray[Any], longitude: Sequence[float] | float | None) -> NDArray[Any]:
    if longitude is None:
        raise ConfigError(
            "solar_day needs the longitudes of the images", hint="give them, or group by day"
        )
    degrees = np.asarray(longitude, dtype="float64").reshape(-1)
    if len(degrees) not in (1, len(moments)) or not np.isfinite(degrees).all():
        raise DataError(
            f"{len(moments)} dates need as many longitudes, or one; there are {len(degrees)}, "
            f"{int((~np.isfinite(degrees)).sum())} of them unknown",
            hint="give one longitude for each date, in degrees east",
        )
    east = (degrees + 180) % 360 - 180
    if np.ptp(east) > 180 >= np.ptp(degrees % 360):
        # Images on both sides of the 180th meridian: a pass there is one day, not two.
        east = degrees % 360
    shifted: NDArray[Any] = moments + np.round(east / 15 * 3600).astype("timedelta64[s]")
    return shifted
