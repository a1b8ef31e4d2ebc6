"""What a search asks for, as values, and whether an item (as JSON) meets it: pure."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from rsdat.catalog.antimeridian import WIDE, bounding_area, on_the_globe
from rsdat.catalog.expressions import Condition, moment
from rsdat.errors import ConfigError, DataError

Moment = str | datetime
Interval = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class Query:
    """A search, ready to be compared with items as JSON.

    Parameters
    ----------
    area
        As :func:`~rsdat.catalog.antimeridian.on_the_globe` gives it.
    """

    interval: Interval | None = None
    area: BaseGeometry | None = None
    collections: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    condition: Condition | None = None

    def meets(self, item: Mapping[str, Any]) -> bool:
        """Whether an item is what was asked for; the cheap questions come first.

        Raises
        ------
        DataError
            The item's geometry or times cannot be read.
        """
        if self.ids is not None and item.get("id") not in self.ids:
            return False
        if self.collections is not None and item.get("collection") not in self.collections:
            return False
        if self.interval is not None and not _overlap(self.interval, item):
            return False
        if self.condition is not None and not self.condition.meets(item):
            return False
        return self.area is None or _intersects(self.area, item)


def times(item: Mapping[str, Any]) -> Interval:
    """Start and end of an item as JSON; None where it does not say.

    Raises
    ------
    DataError
        One of them is no time.
    """
    properties = item.get("properties") or {}
    moments = []
    for name in ("start_datetime", "end_datetime"):
        text = properties.get(name) or properties.get("datetime")
        found = moment(text) if isinstance(text, str) else None
        if text is not None and found is None:
            raise DataError(
                f"item {item.get('id')}: {text!r} is no time", hint="write it as 2024-05-14T10:46Z"
            )
        moments.append(found)
    return moments[0], moments[1]


def area_of(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Where an item as JSON is, cut at the antimeridian: its geometry, or else its bbox.

    A rectangle that a bbox with west > east belongs to crosses the antimeridian, too.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        if item.get("geometry"):
            return on_the_globe(shape(item["geometry"]), crossing=_crosses(item.get("bbox")))
        return bounding_area(item["bbox"]) if item.get("bbox") else None
    except (ValueError, TypeError, KeyError, AttributeError, ShapelyError, ConfigError) as error:
        raise DataError(
            f"item {item.get('id')}: its geometry cannot be read: {error}",
            hint="correct it: GeoJSON, degrees",
        ) from None


def _crosses(bbox: Any) -> bool:
    """Whether a bbox says that it crosses the antimeridian."""
    return bool(bbox) and len(bbox) in (4, 6) and bbox[0] > bbox[len(bbox) // 2]


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


def _intersects(area: BaseGeometry, item: Mapping[str, Any]) -> bool:
    if _apart(area, item.get("bbox")):
        return False
    place = area_of(item)
    return place is not None and bool(place.intersects(area))


def _apart(area: BaseGeometry, bbox: Any) -> bool:
    """Whether a bbox proves, without a look at the geometry, that there is no overlap."""
    if not isinstance(bbox, list | tuple) or len(bbox) not in (4, 6):
        return False
    half = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
    least_x, least_y, most_x, most_y = area.bounds
    if south > most_y or north < least_y:
        return True
    # A wide bbox may be that of an uncut polygon across the antimeridian.
    plain = -180 <= west <= east <= 180 and east - west < WIDE
    return bool(plain and (west > most_x or east < least_x))


def _overlap(asked: Interval, item: Mapping[str, Any]) -> bool:
    start, end = times(item)
    if start is None or end is None:
        return False
    return (asked[0] is None or end >= asked[0]) and (asked[1] is None or start <= asked[1])
