"""Conditions on properties: CQL2 and STAC's query, read into one form and tried on an item.

CQL2 text is parsed by the `cql2` library of the STAC community. Its own evaluation raises for an
item that lacks a property, and takes 0.2 ms for an item; here an unknown value makes a comparison
unknown, as SQL has it, and an unknown condition is not met.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from shapely.geometry import mapping, shape

from rsdat.catalog.antimeridian import bounding_area, on_the_globe
from rsdat.errors import ConfigError

Json = Mapping[str, Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "t_after": operator.gt,
    "t_before": operator.lt,
    "t_equals": operator.eq,
}
_COUNT: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "div": operator.floordiv,
    "^": math.pow,  # of floats: numbers of any length would take any time
}
_SPACE = {
    "s_intersects": "intersects",
    "s_within": "within",
    "s_contains": "contains",
    "s_disjoint": "disjoint",
    "s_touches": "touches",
    "s_crosses": "crosses",
    "s_overlaps": "overlaps",
    "s_equals": "equals",
}
_ARRAY: dict[str, Callable[[set[Any], set[Any]], bool]] = {
    "a_contains": operator.ge,
    "a_containedby": operator.le,
    "a_equals": operator.eq,
    "a_overlaps": lambda one, other: bool(one & other),
}
_OTHER = {"and", "or", "not", "between", "in", "like", "isNull", "casei", "accenti"}
_KNOWN = {*_COMPARE, *_COUNT, *_SPACE, *_ARRAY, *_OTHER}

#: STAC's query extension, in CQL2's words.
_QUERY = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_QUERY_OTHER = ("in", "startsWith", "endsWith", "contains")


@dataclass(frozen=True)
class Condition:
    """A condition on an item's fields.

    Parameters
    ----------
    cql2
        As CQL2 JSON.
    query
        As STAC's query extension, where it was given so.
    """

    cql2: Json
    query: Json | None = None

    def meets(self, item: Json) -> bool:
        """Whether an item, as JSON, meets it: certainly, not perhaps."""
        return _value(self.cql2, item) is True

    @property
    def portable(self) -> Json:
        """As CQL2 JSON in words that more servers understand, and understand alike."""
        found: Json = _portable(self.cql2)
        return found


def condition(asked: str | Json) -> Condition:
    """A condition from CQL2 text, CQL2 JSON, or the mapping of STAC's query extension.

    Raises
    ------
    ConfigError
        It is none of these, or uses an operator or a function that is not known here.
    """
    if isinstance(asked, str):
        return Condition(_checked(_parsed(asked)))
    if "op" in asked:
        return Condition(_checked(asked))
    return Condition(_from_query(asked), asked)


def _parsed(text: str) -> Json:
    import cql2

    try:
        expression: Json = cql2.parse_text(text).to_json()
    except Exception as error:  # the library raises plain exceptions
        raise ConfigError(
            f"query {text!r} is not CQL2{_where(text, str(error))}",
            hint="write it as: eo:cloud_cover < 20 AND platform = 'sentinel-2a'",
        ) from None
    if not isinstance(expression, Mapping) or "op" not in expression:
        raise ConfigError(
            f"query {text!r} compares nothing", hint="write it as: eo:cloud_cover < 20"
        )
    return expression


def _where(text: str, message: str) -> str:
    """Where a text stops being CQL2; the parser lists all that could follow there."""
    match = re.search(r"--> (\d+):(\d+)", message)
    if match is None:
        return f": {message}"
    line, column = int(match[1]), int(match[2])
    rest = "\n".join(text.splitlines()[line - 1 :])[column - 1 :].strip()
    return f" from {rest!r} on" if rest else ": it ends too early"


def _checked(expression: Json) -> Json:
    word = expression.get("op")
    arguments = expression.get("args")
    if word not in _KNOWN or not isinstance(arguments, list | tuple) or not arguments:
        raise ConfigError(
            f"query: {word!r} is not known, or has no arguments",
            hint=f"use one of {', '.join(sorted(_KNOWN))}",
        )
    for one in arguments:
        for inner in one if isinstance(one, list) else [one]:
            if isinstance(inner, Mapping) and "op" in inner:
                _checked(inner)
    return expression


def _from_query(query: Json) -> Json:
    parts: list[Json] = []
    for name, conditions in query.items():
        if not isinstance(conditions, Mapping):
            conditions = {"eq": conditions}
        parts += [_one(name, word, value) for word, value in conditions.items()]
    if not parts:
        raise ConfigError("the query is empty", hint='give {"eo:cloud_cover": {"lt": 20}}')
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _one(name: str, word: str, value: Any) -> Json:
    place = {"property": name}
    if word in _QUERY:
        return {"op": _QUERY[word], "args": [place, value]}
    if word == "in":
        return {"op": "in", "args": [place, list(value)]}
    if word in _QUERY_OTHER:
        text = re.sub(r"([\\%_])", r"\\\1", str(value))
        before, after = word != "startsWith", word != "endsWith"
        return {"op": "like", "args": [place, "%" * before + text + "%" * after]}
    raise ConfigError(
        f"query on {name}: {word!r} is not known",
        hint=f'use one of {", ".join([*_QUERY, *_QUERY_OTHER])}, or CQL2: "{name} < 20"',
    )


def _portable(node: Any) -> Any:
    """Dates as the times at which they begin; boxes and crossings as polygons that are cut."""
    if isinstance(node, list):
        return [_portable(one) for one in node]
    if not isinstance(node, Mapping):
        return node
    if "date" in node:
        found = moment(str(node["date"]))
        return {"timestamp": f"{found:%Y-%m-%dT%H:%M:%SZ}"} if found else node
    if "bbox" in node:
        return mapping(bounding_area(node["bbox"]))
    if "coordinates" in node:
        return mapping(_area(node))
    return {name: _portable(one) for name, one in node.items()}


def _value(node: Any, item: Json) -> Any:
    """What an expression gives for an item; None is unknown."""
    if isinstance(node, list):
        return [_value(one, item) for one in node]
    if not isinstance(node, Mapping):
        return node
    if "property" in node:
        return _property(node["property"], item)
    if "op" in node:
        return _applied(node["op"], node["args"], item)
    if "timestamp" in node or "date" in node:
        return node.get("timestamp") or node["date"]
    if "bbox" in node:
        return dict(bounding_area(node["bbox"]).__geo_interface__)
    return node


def _property(name: str, item: Json) -> Any:
    if name in ("id", "collection", "geometry"):
        return item.get(name)
    value = item.get("properties") or {}
    name = name.removeprefix("properties.")
    if name in value:
        return value[name]
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _applied(word: str, arguments: list[Any], item: Json) -> Any:
    if word in ("and", "or"):
        return _joined(word == "and", arguments, item)
    values = [_value(one, item) for one in arguments]
    if word == "isNull":
        return values[0] is None
    if values[0] is None or (word != "in" and any(value is None for value in values)):
        return None
    try:
        return _of_values(word, values)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _joined(all_of: bool, arguments: list[Any], item: Json) -> bool | None:
    unknown = False
    for one in arguments:
        value = _value(one, item)
        if value is (not all_of):
            return not all_of
        unknown = unknown or value is None
    return None if unknown else all_of


def _of_values(word: str, values: list[Any]) -> Any:
    first: Any = values[0]
    second: Any = values[1] if len(values) > 1 else None
    if word in _COMPARE:
        return _COMPARE[word](*_alike(first, second))
    if word == "not":
        return not first
    if word == "between":
        low, high = _alike(second, first), _alike(first, values[2])
        return bool(low[0] <= low[1] and high[0] <= high[1])
    if word == "in":
        return any(_COMPARE["="](*_alike(first, one)) for one in second or ())
    if word == "like":
        return bool(_pattern(second).fullmatch(first))
    if word in ("casei", "accenti"):
        return _folded(word, first)
    if word in _ARRAY:
        return _ARRAY[word](set(first), set(second or ()))
    if word in _SPACE:
        return bool(getattr(_area(first), _SPACE[word])(_area(second)))
    return _COUNT[word](first, second)


def _area(geometry: Json) -> Any:
    return on_the_globe(shape(geometry))


def _folded(word: str, text: str) -> str:
    import unicodedata

    if word == "casei":
        return text.casefold()
    apart = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """Two values to compare: times in text as times, whatever their zone is."""
    if isinstance(one, str) and isinstance(other, str):
        times = moment(one), moment(other)
        if None not in times:
            return times
    return one, other


_TIME = re.compile(r"\d{4}-\d\d-\d\d")


@lru_cache(4096)
def moment(text: str) -> datetime | None:
    """The time (UTC where no zone is named) that a text says, or None."""
    if not _TIME.match(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    """CQL2's LIKE: % is any text, _ any letter, a backslash takes the next one as it is."""
    parts = []
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            parts.append(re.escape(next(letters, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
    return re.compile("".join(parts), re.DOTALL)
