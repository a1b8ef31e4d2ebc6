"""``open_catalog``: what an href leads to, static or API, as pystac's own objects."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pystac

from rsdat.arguments import checked
from rsdat.catalog.hrefs import below, joined
from rsdat.catalog.stac_io import StorageIO
from rsdat.catalog.walking import checked_item, content_of
from rsdat.errors import DataError
from rsdat.storage import absolute, is_remote, shown

#: Endings of files that hold one item after the other, and are read so.
TABLES = (".parquet", ".geoparquet")
LINES = (".ndjson", ".jsonl", ".geojsonl")


@dataclass(frozen=True)
class ItemFile:
    """A file of many items that is read when they are wanted: stac-geoparquet, or JSON lines.

    Parameters
    ----------
    href
        The file, absolute.
    """

    href: str

    def get_items(self) -> Iterator[pystac.Item]:
        """The items, one after the other; hrefs of assets are absolute.

        Raises
        ------
        DataError
            The file cannot be read, or holds something else.
        """
        from rsdat.catalog.sources import found_in

        for found in found_in(self):
            yield as_item(found.content, found.href or self.href)


Opened = pystac.Catalog | pystac.Item | pystac.ItemCollection | ItemFile


@checked
def open_catalog(href: str | os.PathLike[str]) -> Opened:
    """Open a STAC catalog, collection, item, file of items, or API.

    Parameters
    ----------
    href
        A file or address of a catalog, collection, item or FeatureCollection; a stac-geoparquet
        file (``.parquet``) or one with an item on each line (``.ndjson``); the landing page of a
        STAC API; or a directory: its ``catalog.json`` or ``collection.json``, else all items that
        lie in it. Addresses are those that fsspec knows (``https://``, ``s3://``, ``dcache://``,
        ``sftp://``), with the credentials that are configured for them.

    Returns
    -------
    ``pystac.Catalog``, ``pystac.Collection``, ``pystac.Item``, ``pystac.ItemCollection``, for an
    API ``pystac_client.Client`` (a Catalog as well), for a file that is read in pieces an
    :class:`ItemFile`. Hrefs of assets of items are absolute.

    Raises
    ------
    DataError
        When there is nothing, it does not answer, or it is not STAC.
    """
    place = absolute(href)
    if place.endswith((*TABLES, *LINES)):
        if not is_remote(place) and not os.path.exists(place):
            raise DataError(f"{place} does not exist", hint="check the name of the file")
        return ItemFile(place)
    if not is_remote(place) and os.path.isdir(place):
        return _directory(Path(place))
    if is_remote(place) and posixpath.splitext(urlsplit(place).path)[1] == "":
        return _remote_directory(place)
    return _from_dict(content_of(place), place)


def as_item(content: Mapping[str, Any], place: str) -> pystac.Item:
    """An item from its JSON, as read at a place; hrefs of its assets are made absolute.

    Raises
    ------
    DataError
        It is not a valid item.
    """
    checked_item(content, shown(place))
    # A copy keeps the self link of where it came from, and its relative hrefs would lead there:
    # what lies beside the copy is meant.
    links = [
        link
        for link in content.get("links") or []
        if isinstance(link, Mapping) and link.get("rel") != "self"
    ]
    try:
        item = pystac.Item.from_dict({**content, "links": links}, href=place)
    except Exception as error:  # pystac raises whatever the first wrong value leads to
        raise DataError(
            f"{shown(place)} is not a valid STAC object: {error}",
            hint="correct it, or remove it from the catalog",
        ) from error
    for asset in item.assets.values():
        asset.href = joined(place, asset.href)
    return item


def _from_dict(content: dict[str, Any], place: str) -> Opened:
    if content.get("conformsTo") and is_remote(place):
        from rsdat.catalog.api import open_api

        return open_api(place)
    if content.get("type") == "FeatureCollection":
        return _collection_of_items(content, place)
    if content.get("type") == "Feature":
        return as_item(content, place)
    links = content.get("links") or []
    if isinstance(links, list):
        links = [link for link in links if link.get("rel") != "self"]
    io = StorageIO()
    try:
        opened = io.stac_object_from_dict({**content, "links": links}, href=place)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{shown(place)} is not a valid STAC object: {error}",
            hint="give a STAC catalog, collection, item or FeatureCollection",
        ) from error
    assert isinstance(opened, pystac.Catalog)
    opened.set_root(opened)
    opened._stac_io = io
    return opened


def _collection_of_items(content: dict[str, Any], place: str) -> pystac.ItemCollection:
    items = []
    for feature in content.get("features") or []:
        name = f"feature {feature.get('id', '(without id)')}" if feature else "a feature"
        try:
            own = [one["href"] for one in feature.get("links", []) if one.get("rel") == "self"]
            item = as_item(feature, own[0] if own else place)
        except (AttributeError, KeyError, TypeError) as error:
            raise _invalid(place, name, error) from error
        except DataError as error:
            raise _invalid(place, name, error.message) from error
        items.append(item)
    return pystac.ItemCollection(items, clone_items=False)


def _invalid(place: str, name: str, why: object) -> DataError:
    return DataError(
        f"{shown(place)}: {name} is no valid item: {why}",
        hint="correct it, or remove it from the file",
    )


def _directory(place: Path) -> Opened:
    for name in ("catalog.json", "collection.json"):
        if (place / name).is_file():
            return open_catalog(place / name)
    items = []
    for file in sorted(place.rglob("*.json")):
        content = content_of(str(file))
        if content.get("type") == "Feature" and "assets" in content:
            items.append(as_item(content, str(file)))
    if not items:
        raise DataError(
            f"{place} holds neither a catalog.json nor STAC items",
            hint="give the directory or file of a STAC catalog",
        )
    return pystac.ItemCollection(items, clone_items=False)


def _remote_directory(place: str) -> Opened:
    """An address without an ending: a landing page or file; on an archive perhaps a directory."""
    scheme = urlsplit(place).scheme
    if scheme not in ("http", "https"):
        for name in ("catalog.json", "collection.json"):
            file = below(place, name)
            try:
                return _from_dict(content_of(file), file)
            except DataError as error:
                if "does not exist" not in error.message:
                    raise
    return _from_dict(content_of(place), place)
