"""``open_catalog``: what an href leads to, static or API, as pystac's own objects."""

from __future__ import annotations

import json
import os
import posixpath
from pathlib import Path
from typing import Any

import pystac
from pystac.utils import is_absolute_href

from rsdat.catalog.stac_io import StorageIO
from rsdat.errors import DataError
from rsdat.storage import absolute, is_remote, read_text, scrubbed, shown

Opened = pystac.Catalog | pystac.Item | pystac.ItemCollection


def open_catalog(href: str | os.PathLike[str]) -> Opened:
    """Open a STAC catalog, collection, item, list of items, or API.

    Parameters
    ----------
    href
        A file or address of a catalog, collection, item or FeatureCollection; the landing page of
        a STAC API; or a directory: its ``catalog.json`` or ``collection.json``, else all items
        that lie in it.

    Returns
    -------
    ``pystac.Catalog``, ``pystac.Collection``, ``pystac.Item``, ``pystac.ItemCollection``, or for an
    API ``pystac_client.Client`` (a Catalog as well). Hrefs of assets are absolute.

    Raises
    ------
    DataError
        When there is nothing, it does not answer, or it is not STAC.
    """
    place = absolute(href)
    if not is_remote(place) and os.path.isdir(place):
        return _directory(Path(place))
    return _from_dict(_json(place), place)


def _json(place: str) -> dict[str, Any]:
    try:
        content = json.loads(read_text(place))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{shown(place)} is not JSON (line {error.lineno}: {error.msg})",
            hint="give a STAC catalog, collection, item or FeatureCollection",
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{shown(place)} is JSON, but not STAC", hint="give a STAC file")
    return content


def _from_dict(content: dict[str, Any], place: str) -> Opened:
    if content.get("conformsTo") and is_remote(place):
        return _api(place)
    if content.get("type") == "FeatureCollection":
        return _collection_of_items(content, place)
    # A copy of an item keeps the self link of where it came from, and its relative hrefs would
    # lead there: what lies beside the copy is meant.
    links = content.get("links") or []
    if not is_remote(place):
        links = [link for link in links if link.get("rel") != "self"]
    content = {**content, "links": links}
    io = StorageIO()
    try:
        opened = io.stac_object_from_dict(content, href=place)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{shown(place)} is not a valid STAC object: {error}",
            hint="give a STAC catalog, collection, item or FeatureCollection",
        ) from error
    if isinstance(opened, pystac.Catalog):
        opened.set_root(opened)
        opened._stac_io = io
        return opened
    assert isinstance(opened, pystac.Item)
    return _with_absolute_assets(opened, place)


def _api(place: str) -> pystac.Catalog:
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        client: pystac.Catalog = Client.open(place)
    except (APIError, OSError, ValueError) as error:
        raise DataError(
            f"the STAC API {shown(place)} does not answer as it should: "
            f"{scrubbed(str(error), place)}",
            hint="check the address and the network",
        ) from error
    return client


def _collection_of_items(content: dict[str, Any], place: str) -> pystac.ItemCollection:
    items = []
    for feature in content.get("features") or []:
        try:
            item = pystac.Item.from_dict(feature, preserve_dict=True)
        except Exception as error:
            raise DataError(
                f"{shown(place)}: feature {feature.get('id', '(without id)')} is no valid item: "
                f"{error}",
                hint="correct it, or remove it from the file",
            ) from error
        items.append(_with_absolute_assets(item, item.get_self_href() or place))
    return pystac.ItemCollection(items, clone_items=False)


def _with_absolute_assets(item: pystac.Item, place: str) -> pystac.Item:
    for asset in item.assets.values():
        if not is_absolute_href(asset.href):
            directory = posixpath.dirname(place)
            asset.href = posixpath.normpath(posixpath.join(directory, asset.href))
            if is_remote(place):
                asset.href = asset.href.replace(":/", "://", 1)
    return item


def _directory(place: Path) -> Opened:
    for name in ("catalog.json", "collection.json"):
        if (place / name).is_file():
            return open_catalog(place / name)
    items = []
    for file in sorted(place.rglob("*.json")):
        content = _json(str(file))
        if content.get("type") == "Feature" and "assets" in content:
            opened = _from_dict(content, str(file))
            assert isinstance(opened, pystac.Item)
            items.append(opened)
    if not items:
        raise DataError(
            f"{place} holds neither a catalog.json nor STAC items",
            hint="give the directory or file of a STAC catalog",
        )
    return pystac.ItemCollection(items, clone_items=False)
