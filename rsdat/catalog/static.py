"""The files of a static catalog that is made or extended: where they are, read, written anew.

Items are written first, then their collection, and the catalog last, each under its name only when
it is complete: who reads meanwhile sees the old catalog or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rsdat.catalog import servers
from rsdat.catalog.assembling import VERSION, Totals
from rsdat.catalog.copy_plan import folder_name
from rsdat.catalog.hrefs import below, joined, relative
from rsdat.catalog.walking import Found, Node, content_of, read
from rsdat.catalog.writing import write_json
from rsdat.errors import ConfigError, DataError
from rsdat.storage import absolute, shown

#: Files of a catalog that are read or written at one time.
THREADS = 16


@dataclass
class Listing:
    """The items of a collection's file, ``home``, as they go by: what it says of them.

    Parameters
    ----------
    name
        The collection's id.
    """

    home: str
    name: str
    links: list[dict[str, str]] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    def add(self, item: Mapping[str, Any], href: str) -> None:
        """Take in an item, as JSON."""
        self.totals.add(item)
        self.links.append(link("item", href, self.home, str(item["id"])))


def refresh(listing: Listing, catalog: str) -> None:
    """Write a collection anew for the items that it has now; then the catalog, if it is new there.

    Parameters
    ----------
    listing
        All its items.
    """
    home = listing.home
    old = collection_content(home, listing.name)
    others = [one for one in old.get("links") or upwards(home, catalog) if one["rel"] != "item"]
    fields = listing.totals.fields()
    fields["summaries"] = {**(old.get("summaries") or {}), **fields["summaries"]}
    write_json(home, {**old, **fields, "links": [*others, *listing.links]})
    top = content_of(catalog)
    children = {joined(catalog, one["href"]) for one in top["links"] if one["rel"] == "child"}
    if home not in children and home != catalog:
        child = link("child", home, catalog, str(old["id"]))
        write_json(catalog, {**top, "links": [*top["links"], child]})


def catalog_file(place: str | os.PathLike[str]) -> str:
    """The file of a catalog that is named by its directory or its file."""
    found = absolute(place)
    return found if found.endswith(".json") else below(found, "catalog.json")


def collections_of(catalog: str) -> dict[str, str]:
    """Ids of a catalog's collections and their files, also of those in catalogs within it."""
    found: dict[str, str] = {}
    seen, level = {catalog}, [catalog]
    while level:
        following: list[str] = []
        contents = servers.each(content_of, level, servers.threads(level, THREADS))
        for href, content in zip(level, contents, strict=True):
            if content.get("type") == "Collection":
                found[str(content["id"])] = href
            for one in content.get("links") or []:
                if one.get("rel") == "child" and (child := joined(href, one["href"])) not in seen:
                    seen.add(child)
                    following.append(child)
        level = following
    return found


def collection_in(catalog: str, name: str | None) -> tuple[str, str]:
    """Name and file of a catalog's collection: of that name, perhaps new, or the only one.

    Raises
    ------
    ConfigError
        There are several, and no name.
    """
    known = collections_of(catalog)
    if name is not None:
        return name, known.get(name) or home_of(catalog, name)
    if len(known) == 1:
        return next(iter(known.items()))
    raise ConfigError(
        f"{shown(catalog)} has the collections {', '.join(sorted(known)) or '(none)'}",
        hint="say which: --collection NAME",
    )


def home_of(catalog: str, name: str) -> str:
    """Where the file of a collection that is new in a catalog is to be."""
    return below(catalog.rpartition("/")[0], folder_name(name), "collection.json")


def items_of(content: Mapping[str, Any], home: str) -> Iterator[Found]:
    """The items of a collection's content (not of catalogs below it), which lies at ``home``."""
    links = content.get("links") or []
    nodes = [Node(joined(home, one["href"])) for one in links if one.get("rel") == "item"]
    return read(nodes)


def written_items(
    items: Iterable[tuple[dict[str, Any], str]], home: str, catalog: str
) -> Iterator[tuple[dict[str, Any], str]]:
    """Items with their hrefs, each given on when it is written; several are at one time."""

    def write(one: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], str]:
        _write_item(*one, home, catalog)
        return one

    return servers.each(write, items, servers.threads((home,), THREADS))


def _write_item(item: Mapping[str, Any], href: str, home: str, catalog: str) -> None:
    own = ("root", "parent", "collection")
    links = [one for one in item.get("links") or [] if one["rel"] not in own]
    up = [*upwards(href, catalog, home), link("collection", home, href)]
    write_json(href, {**item, "links": [*up, *links]})


def upwards(href: str, catalog: str, parent: str | None = None) -> list[dict[str, str]]:
    """The links of a file to the catalog and to what is above it; by default, that is the same."""
    return [link("root", catalog, href), link("parent", parent or catalog, href)]


def link(rel: str, target: str, own: str, title: str | None = None) -> dict[str, str]:
    """A link from the file ``own``."""
    kind = "application/geo+json" if rel == "item" else "application/json"
    found = {"rel": rel, "href": relative(target, own), "type": kind}
    return {**found, "title": title} if title else found


def collection_content(home: str, name: str) -> dict[str, Any]:
    """A collection's content; the beginning of one where there is none yet."""
    try:
        return content_of(home)
    except DataError as error:
        if "does not exist" not in error.message:
            raise
    new = {"type": "Collection", "id": name, "stac_version": VERSION, "description": name}
    return {**new, "license": "other"}


def is_there(href: str) -> bool:
    """Whether there is a file. Raises DataError where its server does not let us know."""
    try:
        content_of(href)
    except DataError as error:
        if type(error) is not DataError or "cannot be read" in error.message:
            raise
        return "does not exist" not in error.message
    return True
