"""The catalog at the target of a copy: what it holds before, and how it is written, root last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rsdat.catalog import servers, static
from rsdat.catalog.assembling import VERSION, Totals
from rsdat.catalog.copy_plan import STRUCTURE, ItemPlan, outward
from rsdat.catalog.hrefs import below, joined
from rsdat.catalog.static import collections_of, link, upwards
from rsdat.catalog.walking import Found, Node, content_of, read
from rsdat.catalog.writing import write_json
from rsdat.errors import DataError
from rsdat.storage import shown

_THREADS = 16

#: Collection and id: what an item is known by.
Key = tuple[str | None, str]


@dataclass(frozen=True)
class Existing:
    """What a target holds before a copy.

    Parameters
    ----------
    catalog
        Where its ``catalog.json`` is, or is to be.
    items, collections
        Those that it holds, and where the collections' files are.
    """

    catalog: str
    items: Mapping[Key, Found] = field(default_factory=dict)
    collections: Mapping[str, str] = field(default_factory=dict)

    def size_of(self, collection: str | None, item: str, asset: str) -> int | None:
        """Bytes that the target's item says of an asset."""
        found = self.items.get((collection, item))
        size = found.content["assets"].get(asset, {}).get("file:size") if found else None
        return size if isinstance(size, int) else None


@dataclass(frozen=True)
class Finished:
    """An item as it is to be written; ``new``: no file of the target leads to it yet."""

    key: Key
    href: str
    content: Mapping[str, Any]
    new: bool
    changed: bool


def existing(root: str) -> Existing:
    """What the catalog in a directory holds; of one that is not there, nothing.

    Raises
    ------
    DataError
        There is a ``catalog.json`` that is no catalog, or cannot be read.
    """
    catalog = below(root, "catalog.json")
    content = _content(catalog)
    if content is None:
        return Existing(catalog)
    if content.get("type") not in ("Catalog", "Collection"):
        raise DataError(
            f"{shown(catalog)} is there and is no STAC catalog", hint="choose another directory"
        )
    items = {
        (found.content.get("collection"), str(found.content["id"])): found
        for found in read([Node(catalog)], on_error=_passed_over)
    }
    return Existing(catalog, items, collections_of(catalog))


def _passed_over(error: DataError) -> None:
    """A file that is missing or wrong is no reason to add nothing; one that is out of reach is."""
    if type(error) is not DataError or "cannot be read" in error.message:
        raise error


def links_up(href: str, home: str | None, catalog: str) -> list[dict[str, str]]:
    """The links of an item to its collection's file (``home``), if it has one, and to the root."""
    up = upwards(href, catalog, home)
    return [*up, link("collection", home, href)] if home else up


def home_of(collection: str, there: Existing) -> str:
    """Where a collection's file is, or is to be."""
    return there.collections.get(collection) or static.home_of(there.catalog, collection)


def write_items(items: Iterable[Finished]) -> dict[Key, DataError]:
    """Write the items that have changed; the errors of those that cannot be written."""

    def write(item: Finished) -> DataError | None:
        try:
            write_json(item.href, item.content)
        except DataError as error:
            return error
        except ValueError as error:  # a number that JSON cannot hold
            return DataError(
                f"item {item.key[1]} cannot be written as JSON: {error}", hint="correct it"
            )
        return None

    changed = [item for item in items if item.changed]
    threads = servers.threads((item.href for item in changed), _THREADS)
    with ThreadPoolExecutor(threads, "rsdat-write") as pool:
        errors = dict(zip((item.key for item in changed), pool.map(write, changed), strict=True))
    return {key: error for key, error in errors.items() if error is not None}


def write_catalog(
    finished: Iterable[Finished],
    plans: Iterable[ItemPlan],
    there: Existing,
    title: tuple[str, str],
) -> None:
    """Write the collections that have changed, and then the catalog if it has.

    Parameters
    ----------
    finished
        Items that are there now.
    plans
        Of the items; they lead to the source's collections.
    title
        Id and description of a catalog that is new.

    Raises
    ------
    DataError
        One of them cannot be written; what was there before is as it was.
    """
    items = list(finished)
    sources = {plan.collection: plan for plan in reversed(list(plans))}
    homes = []
    for name in sorted({key[0] for item in items if (key := item.key)[0] is not None}, key=str):
        assert name is not None
        home = home_of(name, there)
        homes.append((name, home))
        of_it = [item for item in items if item.key[0] == name]
        if name in there.collections and not any(item.changed for item in of_it):
            continue
        held = [found.content for key, found in there.items.items() if key[0] == name]
        _write_collection(name, home, of_it, held, sources[name], there.catalog)
    before = _content(there.catalog)
    top = before or {
        "type": "Catalog",
        "id": title[0],
        "stac_version": VERSION,
        "description": title[1],
        "links": [link("root", there.catalog, there.catalog)],
    }
    wanted = [link("child", home, there.catalog, name) for name, home in homes
              if name not in there.collections]  # fmt: skip
    wanted += [link("item", item.href, there.catalog, item.key[1])
               for item in items if item.key[0] is None and item.new]  # fmt: skip
    _write_linked(top, wanted, there.catalog, before)


def _write_collection(
    name: str,
    home: str,
    items: list[Finished],
    held: list[Mapping[str, Any]],
    plan: ItemPlan,
    catalog: str,
) -> None:
    totals = Totals()
    known = {str(item["id"]): item for item in held}
    for one in {**known, **{item.key[1]: item.content for item in items}}.values():
        totals.add(one)
    there = _content(home)
    fields = totals.fields()
    content: dict[str, Any] | None = there or _from_source(plan, home, catalog)
    if content is None:
        new = {"type": "Collection", "id": name, "stac_version": VERSION, "description": name}
        content = {**new, "license": "other", **fields, "links": upwards(home, catalog)}
    else:
        content = {**content, "extent": fields["extent"]}
    wanted = [link("item", item.href, home, item.key[1]) for item in items if item.new]
    _write_linked(content, wanted, home, there)


def _from_source(plan: ItemPlan, home: str, catalog: str) -> dict[str, Any] | None:
    """The source's own collection of an item, as it is to lie at ``home``, if it can be read."""
    if plan.origin is None:
        return None
    try:
        content = content_of(plan.origin)
    except DataError:
        return None
    if content.get("type") != "Collection" or content.get("id") != plan.collection:
        return None
    others = [
        {**one, "href": outward(joined(plan.origin, str(one.get("href"))), home)}
        for one in content.get("links") or []
        if one.get("rel") not in STRUCTURE
    ]
    found = {**content, "links": [*upwards(home, catalog), *others]}
    if content.get("assets"):
        found["assets"] = {
            key: {**asset, "href": outward(joined(plan.origin, str(asset.get("href"))), home)}
            for key, asset in content["assets"].items()
        }
    return found


def _write_linked(
    content: dict[str, Any],
    wanted: list[dict[str, str]],
    href: str,
    before: Mapping[str, Any] | None,
) -> None:
    """Write a file with further links, if that is another content than before."""
    known = {joined(href, str(one.get("href"))) for one in content.get("links") or []}
    added = [one for one in wanted if joined(href, one["href"]) not in known]
    after = {**content, "links": [*(content.get("links") or []), *added]}
    if before is None or not same_json(before, after):
        write_json(href, after)


def same_json(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two contents are one in a file."""
    if one == other:
        return True
    try:
        return bool(json.loads(json.dumps(one)) == json.loads(json.dumps(other)))
    except (TypeError, ValueError):
        return False


def _content(href: str) -> dict[str, Any] | None:
    try:
        return content_of(href)
    except DataError as error:
        if "does not exist" in error.message:
            return None
        raise
