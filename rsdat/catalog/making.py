"""Makes catalogs of raster files, adds to them, and keeps them in step with the files.

Items are written first, then their collection, and the catalog last, each under its name only when
it is complete: who reads meanwhile sees the old catalog or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from rsdat.catalog.assembling import VERSION, Part, Totals, item_of
from rsdat.catalog.headers import File, files_in, headers
from rsdat.catalog.hrefs import below, joined, relative
from rsdat.catalog.naming import Named, Pattern, read_name
from rsdat.catalog.walking import Node, content_of, read
from rsdat.catalog.writing import write_json
from rsdat.errors import ConfigError, DataError
from rsdat.storage import absolute, shown

OnError = Literal["raise", "skip"]


@dataclass
class Made:
    """What was done to a catalog.

    Parameters
    ----------
    catalog
        Its file.
    items, assets
        Written, in number.
    removed
        Files that were taken out, as messages.
    skipped
        What could not be used, as messages.
    notes
        What to look at, as messages.
    """

    catalog: str
    items: int = 0
    assets: int = 0
    removed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_catalog(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    collection: str | None = None,
    pattern: str | None = None,
    on_error: OnError = "raise",
) -> Made:
    """Make a STAC catalog of the raster files below a directory.

    Grid, bands, nodata, scale and time are read from the files' headers, many at once; which files
    make up an item, and which band each is, from their names.

    Parameters
    ----------
    source
        The directory, on this machine or anywhere that fsspec lists; or one file.
    out
        The directory of the catalog, or its ``catalog.json``; must not be there yet. Hrefs are
        relative where the files lie on the same server.
    collection
        Id of the collection that holds the items; by default the name of the source's directory.
    pattern
        Form of the names, as ``{id}_{band}.tif`` or ``{id}/{date}_{band}.tif``. By default the
        usual forms are recognised: ``ID_B04.tif``, ``ID/B04.tif``, else each file is an item.
    on_error
        ``"skip"``: leave out files that cannot be used; they are listed in the answer.

    Raises
    ------
    DataError
        There is nothing to catalog, a file cannot be used, two files would be one asset, the
        catalog is there already or cannot be written.
    """
    catalog = catalog_file(out)
    if _is_there(catalog):
        raise DataError(
            f"{shown(catalog)} is there already",
            hint="add to it with `rsdat catalog add`, or choose another place",
        )
    place = absolute(source)
    name = collection or _name_of(place)
    home = below(catalog.rpartition("/")[0], name, "collection.json")
    made = Made(catalog)
    links, totals = [], Totals()
    for item, href in _items(place, home, name, pattern, on_error, made):
        _write_item(item, href, home, catalog)
        totals.add(item)
        links.append(_link("item", href, home, item["id"]))
    if not links:
        raise DataError(
            f"{shown(place)}: no file can be used: {made.skipped[0]}", hint="see the other messages"
        )
    description = f"Raster files of {shown(place)}"
    content = {
        "type": "Collection",
        "id": name,
        "stac_version": VERSION,
        "description": description,
        "license": "other",
        **totals.fields(),
        "links": [*_upwards(home, catalog), *links],
    }
    write_json(home, content)
    links = [_link("root", catalog, catalog), _link("child", home, catalog, name)]
    top = {"type": "Catalog", "id": name, "stac_version": VERSION, "description": description}
    write_json(catalog, {**top, "links": links})
    return made


def add_to_catalog(
    catalog: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    collection: str | None = None,
    pattern: str | None = None,
    on_error: OnError = "raise",
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

    Raises
    ------
    DataError
        As :func:`make_catalog`; or the catalog is not there.
    """
    place = absolute(source)
    top = _there(catalog)
    made = Made(top)
    home = collection_file(top, collection, make=True)
    name = str(_or_new(home)["id"])
    fresh: Iterable[tuple[dict[str, Any], str]]
    if place.endswith((".json", ".geojson")):
        fresh = [_given(place, home, name)]
        made.items, made.assets = 1, len(fresh[0][0]["assets"])
    else:
        fresh = _items(place, home, name, pattern, on_error, made)
    known = {found.content["id"]: found for found in items_of(home)}
    hrefs = {name: found.href or "" for name, found in known.items()}
    for item, href in fresh:
        old = known.get(item["id"])
        if old is not None:
            item = {**item, "assets": {**_seen_from(old, href), **item["assets"]}}
        _write_item(item, href, home, top)
        hrefs[item["id"]] = href
    refresh(home, top, hrefs.values())
    return made


def refresh(home: str, catalog: str, items: Iterable[str]) -> None:
    """Write a collection anew for the items that it has now; then the catalog, if it is new there.

    Parameters
    ----------
    home
        The collection's file.
    items
        Hrefs of its items.
    """
    totals, links = Totals(), []
    for found in read([Node(href) for href in items]):
        totals.add(found.content)
        links.append(_link("item", str(found.href), home, str(found.content["id"])))
    old = _or_new(home)
    others = [link for link in old.get("links") or _upwards(home, catalog) if link["rel"] != "item"]
    fields = totals.fields()
    fields["summaries"] = {**(old.get("summaries") or {}), **fields["summaries"]}
    write_json(home, {**old, **fields, "links": [*others, *links]})
    top = content_of(catalog)
    children = {joined(catalog, link["href"]) for link in top["links"] if link["rel"] == "child"}
    if home not in children and home != catalog:
        link = _link("child", home, catalog, str(old["id"]))
        write_json(catalog, {**top, "links": [*top["links"], link]})


def catalog_file(place: str | os.PathLike[str]) -> str:
    """The file of a catalog that is named by its directory or its file."""
    found = absolute(place)
    return found if found.endswith(".json") else below(found, "catalog.json")


def collections_of(catalog: str) -> dict[str, str]:
    """Ids of a catalog's collections and their files, also of those in catalogs within it."""
    found: dict[str, str] = {}
    seen, todo = {catalog}, [catalog]
    while todo:
        href = todo.pop()
        content = content_of(href)
        if content.get("type") == "Collection":
            found[str(content["id"])] = href
        for link in content.get("links") or []:
            if link.get("rel") == "child" and (child := joined(href, link["href"])) not in seen:
                seen.add(child)
                todo.append(child)
    return found


def collection_file(catalog: str, name: str | None, *, make: bool = False) -> str:
    """The file of a catalog's collection: of that name, or the only one.

    Raises
    ------
    ConfigError
        There are several, and no name; or none of that name, and none is to be made.
    """
    known = collections_of(catalog)
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[str(name)]
    if name is not None and make:
        return below(catalog.rpartition("/")[0], name, "collection.json")
    raise ConfigError(
        f"{shown(catalog)} has the collections {', '.join(sorted(known)) or '(none)'}"
        + (f", and no {name}" if name else ""),
        hint="say which: --collection NAME",
    )


def items_of(home: str) -> Iterator[Any]:
    """The items of a collection's file (not of catalogs below it); none where there is no file."""
    links = _or_new(home).get("links") or []
    nodes = [Node(joined(home, link["href"])) for link in links if link.get("rel") == "item"]
    return read(nodes)


def groups(
    files: Sequence[File], pattern: str | None, made: Made
) -> list[tuple[str, list[tuple[File, Named]]]]:
    """The files of each item, by what their names say; files of another form are noted."""
    form = Pattern(pattern) if pattern else None
    named = []
    for file in files:
        name = form.read(file.path) if form else read_name(file.path)
        if name is None:
            made.skipped.append(f"{shown(file.href)} is not of the form {pattern}")
        else:
            named.append((file, name))
    named.sort(key=lambda pair: (pair[1].item, pair[0].path))
    return [(item, list(pairs)) for item, pairs in groupby(named, lambda pair: pair[1].item)]


def _items(
    place: str, home: str, name: str, pattern: str | None, on_error: OnError, made: Made
) -> Iterator[tuple[dict[str, Any], str]]:
    """Items of the files below a place, each with its href; what was left out goes to ``made``."""
    grouped = groups(files_in(place), pattern, made)
    if not grouped:
        raise DataError(f"no file of {shown(place)} has the form {pattern}", hint="correct it")
    found = headers(file for _, pairs in grouped for file, _ in pairs)
    for item, pairs in grouped:
        parts = []
        for (file, header), (_, named) in zip([next(found) for _ in pairs], pairs, strict=True):
            if isinstance(header, DataError):
                _skip(header, on_error, made)
            else:
                parts.append(Part(file, named, header))
        if not parts:
            continue
        href = below(home.rpartition("/")[0], item, f"{item}.json")
        try:
            content, doubt = item_of(parts, href, name)
        except DataError as error:
            _skip(error, on_error, made)
            continue
        made.notes += [doubt] if doubt else []
        made.items += 1
        made.assets += len(parts)
        yield content, href


def _skip(error: DataError, on_error: OnError, made: Made) -> None:
    if on_error == "raise":
        raise error
    made.skipped.append(error.message)


def _given(place: str, home: str, name: str) -> tuple[dict[str, Any], str]:
    """An item that somebody else made, as it is to lie in a collection."""
    from rsdat.catalog.walking import checked_item

    content = content_of(place)
    checked_item(content, shown(place))
    href = below(home.rpartition("/")[0], content["id"], f"{content['id']}.json")
    kept = {"self", "root", "parent", "collection"}
    links = [
        {**link, "href": relative(joined(place, link["href"]), href)}
        for link in content.get("links") or []
        if link["rel"] not in kept
    ]
    assets = {
        key: {**asset, "href": relative(joined(place, asset["href"]), href)}
        for key, asset in content["assets"].items()
    }
    return {**content, "links": links, "assets": assets, "collection": name}, href


def _seen_from(old: Any, href: str) -> dict[str, Any]:
    return {
        key: {**asset, "href": relative(joined(old.href, asset["href"]), href)}
        for key, asset in old.content["assets"].items()
    }


def _write_item(item: Mapping[str, Any], href: str, home: str, catalog: str) -> None:
    own = ("root", "parent", "collection")
    links = [link for link in item.get("links") or [] if link["rel"] not in own]
    up = [*_upwards(href, catalog, home), _link("collection", home, href)]
    write_json(href, {**item, "links": [*up, *links]})


def _upwards(href: str, catalog: str, parent: str | None = None) -> list[dict[str, str]]:
    return [_link("root", catalog, href), _link("parent", parent or catalog, href)]


def _link(rel: str, target: str, own: str, title: str | None = None) -> dict[str, str]:
    kind = "application/geo+json" if rel == "item" else "application/json"
    link = {"rel": rel, "href": relative(target, own), "type": kind}
    return {**link, "title": title} if title else link


def _or_new(home: str) -> dict[str, Any]:
    """A collection's content; the beginning of one where there is none yet."""
    if _is_there(home):
        return content_of(home)
    name = home.rsplit("/", 2)[-2]
    new = {"type": "Collection", "id": name, "stac_version": VERSION, "description": name}
    return {**new, "license": "other"}


def _there(catalog: str | os.PathLike[str]) -> str:
    place = catalog_file(catalog)
    content_of(place)
    return place


def _is_there(href: str) -> bool:
    try:
        content_of(href)
    except DataError as error:
        return "does not exist" not in error.message
    return True


def _name_of(place: str) -> str:
    import re

    last = place.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", re.sub(r"\.(tiff?|jp2)$", "", last)).strip("-") or "images"
