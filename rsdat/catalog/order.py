"""The order of a search's answer: by fields, ascending or descending, the unknown last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rsdat.catalog.expressions import moment
from rsdat.errors import ConfigError

#: Names of fields and whether each descends.
Order = tuple[tuple[str, bool], ...]


def order_of(sortby: str | Sequence[str | Mapping[str, str]] | None) -> Order:
    """The order that is asked for; none: by time.

    Raises
    ------
    ConfigError
        It is neither names nor mappings with ``field`` and ``direction``.
    """
    if sortby is None:
        return ()
    if isinstance(sortby, str):
        sortby = [part.strip() for part in sortby.split(",")]
    elif isinstance(sortby, Mapping):
        sortby = [sortby]
    return tuple(_one(part) for part in sortby)


def _one(part: Any) -> tuple[str, bool]:
    if isinstance(part, str) and part.strip("+-"):
        return part.lstrip("+-").removeprefix("properties."), part.startswith("-")
    if isinstance(part, Mapping) and isinstance(part.get("field"), str):
        direction = str(part.get("direction", "asc")).lower()
        if direction in ("asc", "desc"):
            return part["field"].removeprefix("properties."), direction == "desc"
    raise ConfigError(
        f"sortby {part!r} is not understood", hint='give names of fields: "-eo:cloud_cover"'
    )


def compare(one: Mapping[str, Any], other: Mapping[str, Any], order: Order) -> int:
    """Less than 0 where one item (as JSON) comes before the other; ties by time, then by id."""
    for name, down in (*order, ("datetime", False), ("id", False)):
        first, second = _field(one, name), _field(other, name)
        if first is None or second is None:
            if first is not second:
                return 1 if first is None else -1
            continue
        try:
            less, more = first < second, first > second
        except TypeError:  # of two types: as text, so that there is one order
            less, more = str(first) < str(second), str(first) > str(second)
        if less or more:
            return -1 if less != down else 1
    return 0


def time_of(item: Mapping[str, Any]) -> datetime:
    """The time of an item, as JSON; the earliest there is where it has none."""
    properties = item.get("properties") or {}
    text = properties.get("datetime") or properties.get("start_datetime")
    found = moment(text) if isinstance(text, str) else text
    if not isinstance(found, datetime):
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _field(item: Mapping[str, Any], name: str) -> Any:
    if name == "datetime":
        return time_of(item)
    if name in ("id", "collection"):
        return item.get(name)
    return (item.get("properties") or {}).get(name)
