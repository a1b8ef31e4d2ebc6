"""Adds raster files, or items that somebody else made, to a static catalog."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import shapely
from shapely.geometry import mapping

from rsdat.catalog.antimeridian import bounds
from rsdat.catalog.copy_plan import folder_name
from rsdat.catalog.filters import area_of
from rsdat.catalog.hrefs import below, joined, relative
from rsdat.catalog.making import Made, OnError, items_of_files
from rsdat.catalog.static import (
    Listing,
    catalog_file,
    collection_content,
    collection_in,
    items_of,
    refresh,
    written_items,
)
from rsdat.catalog.walking import Found, checked_item, content_of
from rsdat.storage import absolute, shown


def add_to_catalog(
    catalog: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    collection: str | None = None,
    pattern: str | None = None,
    on_error: OnError = "raise",
    progress: Callable[[int], object] | None = None,
) -> Made:
    """Add raster files, or STAC items in JSON files, to a static catalog.

    An item that is there already gets the new assets; those of the same key are replaced.

    Parameters
    ----------
    catalog
        Its directory or file.
    source
        A directory or file as in :func:`make_catalog`, or a STAC item (``.json``).
    collection
        Which of its collections, where it has several. A name that is not there is made.
    progress
        Told after each item how many were added.

    Raises
    ------
    DataError
        As :func:`make_catalog`; or the catalog is not there.
    """
    place = absolute(source)
    top = catalog_file(catalog)
    content_of(top)
    made = Made(top)
    name, home = collection_in(top, collection)
    content = collection_content(home, name)
    known = {str(found.content["id"]): found for found in items_of(content, home)}
    fresh: Iterable[tuple[dict[str, Any], str]]
    if place.endswith((".json", ".geojson")):
        given = content_of(place)
        checked_item(given, shown(place))
        fresh = [_given(given, place, known.get(given["id"]), home, name)]
        made.items, made.assets = 1, len(given["assets"])
    else:
        fresh = (
            _joined(known.get(item["id"]), item, href)
            for item, href in items_of_files(place, home, name, pattern, on_error, made)
        )
    held = {own: (found.content, str(found.href)) for own, found in known.items()}
    for count, (item, href) in enumerate(written_items(fresh, home, top), 1):
        held[item["id"]] = item, href
        if progress is not None:
            progress(count)
    listing = Listing(home, name)
    for whole, href in held.values():
        listing.add(whole, href)
    refresh(listing, top)
    return made


def _given(
    content: dict[str, Any], place: str, old: Found | None, home: str, name: str
) -> tuple[dict[str, Any], str]:
    """An item that somebody else made, as it is to lie in a collection, and where."""
    folder = folder_name(content["id"])
    href = below(home.rpartition("/")[0], folder, f"{folder}.json")
    assets: dict[str, Any] = {}
    if old is not None:
        href, assets = str(old.href), old.content["assets"]
    kept = {"self", "root", "parent", "collection"}
    links = [
        {**link, "href": relative(joined(place, link["href"]), href)}
        for link in content.get("links") or []
        if link["rel"] not in kept
    ]
    assets = {**assets, **_assets(content, place, href)}
    return {**content, "links": links, "assets": assets, "collection": name}, href


def _joined(old: Found | None, item: dict[str, Any], href: str) -> tuple[dict[str, Any], str]:
    """An item of files, in the item that is there already: it brings assets, and more ground."""
    if old is None:
        return item, href
    own = str(old.href)
    content = {**old.content, "assets": {**old.content["assets"], **_assets(item, href, own)}}
    content["properties"] = {**item["properties"], **old.content["properties"]}
    known = old.content.get("stac_extensions") or []
    more = [one for one in item["stac_extensions"] if one not in known]
    content["stac_extensions"] = [*known, *more]
    before, now = area_of(old.content), area_of(item)
    if before is None or (now is not None and not before.covers(now)):
        area = shapely.union_all([one for one in (before, now) if one is not None])
        content |= {"geometry": mapping(area), "bbox": bounds(area)}
    return content, own


def _assets(item: Mapping[str, Any], own: str, href: str) -> dict[str, Any]:
    """The assets of an item that lies at ``own``, seen from ``href``."""
    return {
        key: {**asset, "href": relative(joined(own, asset["href"]), href)}
        for key, asset in item["assets"].items()
    }
