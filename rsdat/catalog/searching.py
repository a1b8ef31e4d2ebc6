"""``search``: items of catalogs, files and APIs, sorted by time; an empty answer is an error."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pystac
from shapely.geometry import mapping, shape

from rsdat.catalog.filters import Moment, Query, bounding_area, interval
from rsdat.catalog.opening import Opened, open_catalog
from rsdat.errors import DataError
from rsdat.storage import shown

Href = str | os.PathLike[str]


def search(
    catalog: Href | Opened | Sequence[Href | Opened],
    *,
    bbox: Sequence[float] | None = None,
    geometry: Any = None,
    datetime: Moment | Sequence[Moment | None] | None = None,
    collections: str | Sequence[str] | None = None,
    ids: str | Sequence[str] | None = None,
    query: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> list[pystac.Item]:
    """Items that meet all that is asked, sorted by time.

    Parameters
    ----------
    catalog
        What :func:`rsdat.open_catalog` opens or has opened: a catalog, a file of items, an API; or
        several.
    bbox
        West, south, east, north in degrees; west > east crosses the antimeridian.
    geometry
        GeoJSON geometry (a mapping), or an object with ``__geo_interface__``, in degrees; instead
        of ``bbox``.
    datetime
        ``2023-08``, ``2023-08-01/2023-08-31``, ``2023-08-15/..``, a datetime, or two. UTC; ends
        included.
    collections, ids
        Names of collections and items.
    query
        Conditions on properties: ``{"eo:cloud_cover": {"lt": 20}}``; lt, lte, gt, gte, eq, neq, in.
    limit
        The most items to give: the earliest of a static catalog, the API's first of an API.

    Raises
    ------
    DataError
        Nothing meets it: the message says what was asked, and what the catalog holds.
    """
    area = shape(geometry) if geometry is not None else None
    if bbox is not None:
        area = bounding_area(bbox) if area is None else area.intersection(bounding_area(bbox))
    wanted = Query(
        interval=None if datetime is None else interval(datetime),
        area=area,
        collections=_names(collections),
        ids=_names(ids),
        properties=query,
    )
    places = [catalog] if isinstance(catalog, str | os.PathLike) else catalog
    if not isinstance(places, Sequence):
        places = [places]
    opened = [_opened(place) for place in places]
    held: list[pystac.Item] = []
    found: dict[tuple[str | None, str], pystac.Item] = {}
    for one in opened:
        for item in _candidates(one, wanted, limit, held):
            found[item.collection_id, item.id] = item
    if not found:
        asked = _asked(bbox, geometry, datetime, collections, ids, query)
        raise _nothing(opened, held, asked, bbox)
    return sorted(found.values(), key=lambda item: (_time(item), item.id))[:limit]


def _names(names: str | Sequence[str] | None) -> frozenset[str] | None:
    if names is None:
        return None
    return frozenset([names] if isinstance(names, str) else names)


def _opened(place: Any) -> Opened:
    if isinstance(place, pystac.Catalog | pystac.Item | pystac.ItemCollection):
        return place
    return open_catalog(place)


def _candidates(
    opened: Opened, wanted: Query, limit: int | None, held: list[pystac.Item]
) -> Iterator[pystac.Item]:
    if hasattr(opened, "conforms_to"):
        yield from _ask_api(opened, wanted, limit)
        return
    try:
        for item in _items(opened):
            held.append(item)
            if wanted.meets(item):
                yield item
    except pystac.STACError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, DataError):
            raise cause from None
        raise DataError(
            f"{getattr(opened, 'id', opened)} cannot be read to its end: {error}",
            hint="a link in the catalog leads nowhere: correct it",
        ) from error


def _items(opened: Opened) -> Iterable[pystac.Item]:
    if isinstance(opened, pystac.Item):
        return [opened]
    if isinstance(opened, pystac.ItemCollection):
        return opened.items
    return opened.get_items(recursive=True)


def _ask_api(client: Any, wanted: Query, limit: int | None) -> Iterator[pystac.Item]:
    from pystac_client.exceptions import APIError

    try:
        yield from client.search(
            max_items=limit,
            intersects=None if wanted.area is None else mapping(wanted.area),
            datetime=wanted.interval,
            collections=sorted(wanted.collections) if wanted.collections else None,
            ids=sorted(wanted.ids) if wanted.ids else None,
            query=wanted.properties,
        ).items()
    except (APIError, OSError) as error:
        raise DataError(
            f"the STAC API {client.self_href} refused the search: {error}",
            hint="check the names of collections and properties; some APIs need collections=",
        ) from error


def _time(item: pystac.Item) -> dt.datetime:
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


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


def _nothing(
    opened: list[Opened], held: list[pystac.Item], asked: str, bbox: Sequence[float] | None
) -> DataError:
    names = ", ".join(
        shown(str(getattr(one, "self_href", None) or getattr(one, "id", ""))) for one in opened
    ).strip(", ")
    if held:
        holds = _held(held, bbox)
    elif any(hasattr(one, "conforms_to") for one in opened):
        holds = "see the collections that the API lists, and their extents"
    else:
        return DataError(
            f"{names or 'the list'} holds no items", hint="give a catalog or files with STAC items"
        )
    return DataError(f"no item of {names or 'the list'} meets the search for {asked}", hint=holds)


def _held(items: list[pystac.Item], bbox: Sequence[float] | None) -> str:
    """What there is instead; and the likeliest slip, where it would explain that nothing met."""
    times = sorted(_time(item) for item in items)
    text = f"it holds {len(items)} items from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
    boxes = [item.bbox for item in items if item.bbox]
    if boxes:
        edges = [min(b[0] for b in boxes), min(b[1] for b in boxes)]
        edges += [max(b[len(b) // 2] for b in boxes), max(b[len(b) // 2 + 1] for b in boxes)]
        text += ", bbox " + ",".join(f"{edge:.4f}" for edge in edges)
    known = sorted({item.collection_id for item in items if item.collection_id})
    text += f", collections {', '.join(known)}" if known else ""
    if boxes and bbox is not None and len(bbox) == 4:
        south, west, north, east = bbox
        within = edges[0] <= east and west <= edges[2] and edges[1] <= north and south <= edges[3]
        if within and west <= east and south <= north:
            text += "; latitude and longitude look exchanged: a bbox is west,south,east,north"
    return text
