"""``search``: items of catalogs, files and APIs, sorted; an empty answer is an error."""

from __future__ import annotations

import heapq
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cmp_to_key
from typing import Any, Literal

import pystac
from shapely.geometry import shape

from rsdat.arguments import checked
from rsdat.catalog.antimeridian import bounding_area, on_the_globe
from rsdat.catalog.api import ask, is_api
from rsdat.catalog.expressions import condition
from rsdat.catalog.filters import Moment, Query, interval
from rsdat.catalog.holdings import Holdings
from rsdat.catalog.opening import ItemFile, Opened, as_item, open_catalog
from rsdat.catalog.order import Order, compare, order_of
from rsdat.catalog.sources import found_in, leaves_out
from rsdat.catalog.walking import Found, OnError, as_mapping
from rsdat.errors import ConfigError, DataError
from rsdat.storage import shown

Href = str | os.PathLike[str]


@checked
def search(
    catalog: Href | Opened | Sequence[Href | Opened],
    *,
    bbox: Sequence[float] | None = None,
    geometry: Any = None,
    datetime: Moment | Sequence[Moment | None] | None = None,
    collections: str | Sequence[str] | None = None,
    ids: str | Sequence[str] | None = None,
    query: str | Mapping[str, Any] | None = None,
    sortby: str | Sequence[str | Mapping[str, str]] | None = None,
    limit: int | None = None,
    on_error: Literal["raise", "skip"] | Callable[[DataError], None] = "raise",
) -> list[pystac.Item]:
    """Items that meet all that is asked, sorted by time, or as asked.

    Parameters
    ----------
    catalog
        What :func:`rsdat.open_catalog` opens or has opened: a catalog, a file of items, an API; or
        several.
    bbox
        West, south, east, north in degrees; west > east crosses the antimeridian.
    geometry
        GeoJSON geometry (a mapping), or an object with ``__geo_interface__``, in degrees; with
        ``bbox``, what both have in common. A polygon with an edge longer than 180 degrees, or with
        longitudes beyond 180, crosses the antimeridian.
    datetime
        ``2023-08``, ``2023-08-01/2023-08-31``, ``2023-08-15/..``, a datetime, or two. UTC; ends
        included.
    collections, ids
        Names of collections and items.
    query
        Conditions on properties, as CQL2: ``"eo:cloud_cover < 20 AND platform = 'sentinel-2a'"``,
        the same as CQL2 JSON, or STAC's query: ``{"eo:cloud_cover": {"lt": 20}}`` (lt, lte, gt,
        gte, eq, neq, in, startsWith, endsWith, contains). An item without the property does not
        meet a condition on it.
    sortby
        Fields, the first counts most: ``"-eo:cloud_cover"`` (``-``: descending), ``["platform",
        "-datetime"]``, or STAC's ``{"field": …, "direction": …}``. Items without the field are
        last. ``datetime`` by default.
    limit
        The most items to give: the first in the order, of an API without ``sortby`` its own first.
    on_error
        ``"skip"``: leave out files of a catalog that cannot be used, with a warning that lists
        them. A function gets their errors instead.

    Raises
    ------
    DataError
        Nothing meets it: the message says what was asked, and what the catalog holds. Or a file
        cannot be read or is not valid.
    ConfigError
        What is asked is not well formed.
    """
    area = _area(geometry) if geometry is not None else None
    if bbox is not None:
        area = bounding_area(bbox) if area is None else area.intersection(bounding_area(bbox))
    span = None if datetime is None else interval(datetime)
    wanted = Query(
        interval=None if span == (None, None) else span,
        area=area,
        collections=_names(collections),
        ids=_names(ids),
        condition=None if query is None else condition(query),
    )
    if limit is not None and limit < 1:
        raise ConfigError(f"limit {limit} is not possible", hint="give a number from 1 on")
    order = order_of(sortby)
    opened = [_opened(place) for place in _several(catalog)]
    skipped: list[DataError] = []
    held = Holdings()
    tell = None if on_error == "raise" else skipped.append if on_error == "skip" else on_error
    found = _chosen(opened, wanted, order, limit, held, tell)
    if skipped:
        _warn(skipped)
    if not found:
        asked = _asked(bbox, geometry, datetime, collections, ids, query)
        raise _nothing(opened, _all_held(opened, held), asked, bbox)
    return found


def _several(catalog: Any) -> Sequence[Any]:
    if isinstance(catalog, str | os.PathLike) or not isinstance(catalog, Sequence):
        return [catalog]
    return catalog


def _area(geometry: Any) -> Any:
    try:
        found = shape(geometry)
    except Exception as error:
        raise ConfigError(
            f"{type(geometry).__name__} is no geometry: {error}", hint="give GeoJSON, in degrees"
        ) from None
    return on_the_globe(found)


def _names(names: str | Sequence[str] | None) -> frozenset[str] | None:
    if names is None:
        return None
    return frozenset([names] if isinstance(names, str) else names)


def _opened(place: Any) -> Opened:
    if isinstance(place, pystac.Catalog | pystac.Item | pystac.ItemCollection | ItemFile):
        return place
    return open_catalog(place)


def _chosen(
    opened: Sequence[Opened],
    wanted: Query,
    order: Order,
    limit: int | None,
    held: Holdings,
    on_error: OnError,
) -> list[pystac.Item]:
    def ordered(one: Found, other: Found) -> int:
        return compare(one.content, other.content, order)

    key = cmp_to_key(ordered)
    matching = (
        found for one in opened for found in _matching(one, wanted, order, limit, held, on_error)
    )
    kept: Iterable[Found] = _first_of_each(matching)
    chosen = sorted(kept, key=key) if limit is None else heapq.nsmallest(limit, kept, key=key)
    items = []
    for found in chosen:
        try:
            items.append(_item(found))
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
    return items


def _first_of_each(matching: Iterable[Found]) -> Iterator[Found]:
    """Each item once: several sources may hold it."""
    seen = set()
    for found in matching:
        key = found.content.get("collection"), found.content["id"]
        if key not in seen:
            seen.add(key)
            yield found


def _matching(
    opened: Opened,
    wanted: Query,
    order: Order,
    limit: int | None,
    held: Holdings,
    on_error: OnError,
) -> Iterator[Found]:
    if is_api(opened):
        for item in ask(opened, wanted, order, limit):
            yield Found(item.get_self_href(), as_mapping(item), item)
        return
    root = opened if isinstance(opened, pystac.Catalog) else None
    for found in found_in(opened, wanted, on_error=on_error):
        try:
            held.add(found.content)
            if wanted.meets(found.content):
                yield replace(found, root=root)
        except DataError as error:
            error = _named(error, found.href)
            if on_error is None:
                raise error from None
            on_error(error)


def _named(error: DataError, href: str | None) -> DataError:
    return DataError(f"{shown(href)}: {error.message}" if href else error.message, hint=error.hint)


def _item(found: Found) -> pystac.Item:
    if found.item is not None:
        return found.item
    item = as_item(found.content, found.href or "")
    if found.root is not None:
        item.set_root(found.root)  # it reads what the item's links lead to, with our credentials
    return item


def _warn(skipped: Sequence[DataError]) -> None:
    most = 10
    lines = [f"  {error.message}" for error in skipped[:most]]
    lines += [f"  and {len(skipped) - most} more"] if len(skipped) > most else []
    warnings.warn(
        f"{len(skipped)} files or items were left out:\n" + "\n".join(lines), stacklevel=4
    )


def _asked(bbox: Any, geometry: Any, moment: Any, collections: Any, ids: Any, query: Any) -> str:
    parts = []
    if bbox is not None:
        parts.append("bbox " + ",".join(f"{number:g}" for number in bbox))
    if geometry is not None:
        parts.append("a geometry")
    for name, value in (
        ("datetime", moment),
        ("collections", collections),
        ("ids", ids),
        ("query", query),
    ):
        if value is not None:
            parts.append(f"{name} {value}")
    return ", ".join(parts) or "(everything)"


def _all_held(opened: Sequence[Opened], held: Holdings) -> Holdings:
    """What was looked through, with what tables have left out."""
    static = [one for one in opened if not is_api(one)]
    if not any(leaves_out(one) for one in static):
        return held
    everything = Holdings()
    for one in static:
        for found in found_in(one, on_error=lambda _: None):
            everything.add(found.content)
    return everything


def _nothing(
    opened: list[Opened], held: Holdings, asked: str, bbox: Sequence[float] | None
) -> DataError:
    names = ", ".join(shown(_name(one)) for one in opened).strip(", ")
    if held.count:
        holds = held.text(bbox)
    elif any(is_api(one) for one in opened):
        holds = "see the collections that the API lists, and their extents"
    else:
        return DataError(
            f"{names or 'the list'} holds no items", hint="give a catalog or files with STAC items"
        )
    return DataError(f"no item of {names or 'the list'} meets the search for {asked}", hint=holds)


def _name(opened: Opened) -> str:
    if isinstance(opened, ItemFile):
        return opened.href
    return str(getattr(opened, "self_href", None) or getattr(opened, "id", ""))
