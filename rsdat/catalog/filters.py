"""What a search asks for, as values, and whether an item meets it: pure."""

from __future__ import annotations

import calendar
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pystac
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from rsdat.errors import ConfigError

Moment = str | datetime
Interval = tuple[datetime | None, datetime | None]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": lambda value, allowed: value in allowed,
}


@dataclass(frozen=True)
class Query:
    """A search, ready to be compared with items."""

    interval: Interval | None = None
    area: BaseGeometry | None = None
    collections: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    properties: Mapping[str, Mapping[str, Any]] | None = None

    def meets(self, item: pystac.Item) -> bool:
        """Whether an item is what was asked for."""
        if self.ids is not None and item.id not in self.ids:
            return False
        if self.collections is not None and item.collection_id not in self.collections:
            return False
        if self.interval is not None and not _overlap(self.interval, item):
            return False
        if self.properties and not _compare(self.properties, item.properties):
            return False
        return self.area is None or _intersects(self.area, item)


def interval(asked: Moment | Sequence[Moment | None]) -> Interval:
    """Start and end (inclusive) of ``2023-08``, ``2023-08-01/2023-08-15``, ``../2023`` or the like.

    Dates and times without a zone are UTC; a shortened date means all of its day, month or year.

    Raises
    ------
    ConfigError
        When it is not a date, a time, or two of them.
    """
    if isinstance(asked, str):
        parts: list[Moment | None] = list(asked.split("/"))
    elif isinstance(asked, datetime):
        parts = [asked]
    else:
        parts = list(asked)
    if len(parts) not in (1, 2):
        raise _not_a_date(asked)
    first = _bounds(parts[0], asked)
    last = first if len(parts) == 1 else _bounds(parts[1], asked)
    start, end = first[0], last[1]
    if start and end and start > end:
        raise ConfigError(f"datetime {asked!r} ends before it starts", hint="give it as START/END")
    return start, end


_DATE = re.compile(r"^(\d{4})(?:-(\d\d))?(?:-(\d\d))?$")


def _bounds(part: Moment | None, asked: Any) -> Interval:
    if part in (None, "", ".."):
        return None, None
    if isinstance(part, datetime):
        moment = part if part.tzinfo else part.replace(tzinfo=UTC)
        return moment, moment
    text = str(part).strip()
    match = _DATE.match(text)
    try:
        if not match:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment, moment
        year, month, day = (int(group) if group else None for group in match.groups())
        start = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
        last_month = month or 12
        last_day = day or calendar.monthrange(year or 1, last_month)[1]
        end = datetime(year or 1, last_month, last_day, tzinfo=UTC) + timedelta(days=1)
        return start, end - timedelta(microseconds=1)
    except ValueError:
        raise _not_a_date(asked) from None


def _not_a_date(asked: Any) -> ConfigError:
    return ConfigError(
        f"datetime {asked!r} is not a date or an interval",
        hint="give it as 2023-08, 2023-08-15 or 2023-08-01/2023-08-31",
    )


def bounding_area(bbox: Sequence[float]) -> BaseGeometry:
    """The area of west, south, east, north in degrees; west > east crosses the antimeridian.

    Raises
    ------
    ConfigError
        When it is not four numbers on the earth.
    """
    if len(bbox) == 6:
        bbox = (bbox[0], bbox[1], bbox[3], bbox[4])
    if len(bbox) != 4:
        raise ConfigError(
            f"a bbox has four numbers, not {len(bbox)}", hint="west,south,east,north in degrees"
        )
    west, south, east, north = (float(number) for number in bbox)
    if north < south and north >= -90 and south <= 90:
        raise ConfigError(
            f"bbox {west:g},{south:g},{east:g},{north:g} has its south above its north",
            hint="the order is west,south,east,north, in degrees",
        )
    if not (-90 <= south <= north <= 90 and -180 <= west <= 360 and -180 <= east <= 360):
        raise ConfigError(
            f"bbox {west:g},{south:g},{east:g},{north:g} is not on the earth",
            hint="give west,south,east,north in degrees, south below north",
        )
    if west <= east:
        return box(west, south, east, north)
    return box(west, south, 180, north).union(box(-180, south, east, north))


def _intersects(area: BaseGeometry, item: pystac.Item) -> bool:
    if item.geometry is not None:
        return bool(shape(item.geometry).intersects(area))
    return item.bbox is not None and bool(bounding_area(item.bbox).intersects(area))


def _overlap(asked: Interval, item: pystac.Item) -> bool:
    common = item.common_metadata
    start = _utc(common.start_datetime or item.datetime)
    end = _utc(common.end_datetime or item.datetime)
    if start is None or end is None:
        return False
    return (asked[0] is None or end >= asked[0]) and (asked[1] is None or start <= asked[1])


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _compare(wanted: Mapping[str, Mapping[str, Any]], properties: Mapping[str, Any]) -> bool:
    for name, conditions in wanted.items():
        if name not in properties:
            return False
        if not isinstance(conditions, Mapping):
            conditions = {"eq": conditions}
        for word, value in conditions.items():
            if word not in _OPERATORS:
                raise ConfigError(
                    f"query on {name}: {word!r} is not known",
                    hint=f"use one of {', '.join(_OPERATORS)}",
                )
            try:
                if not _OPERATORS[word](properties[name], value):
                    return False
            except TypeError:
                return False
    return True
