"""What a copy of items would be: which assets, under which names, where; values, nothing is done.

The target's layout is ``catalog.json``, ``COLLECTION/collection.json``,
``COLLECTION/ITEM/ITEM.json`` with the assets beside their item. Names follow from ids and hrefs
alone, never from what is copied this time, so that a second run finds what the first has made.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pystac

from rsdat.catalog.hrefs import below, joined
from rsdat.errors import DataError
from rsdat.storage import absolute, is_remote
from rsdat.storage.gdal import web_address

#: Roles of what tells about the data and is none itself.
ABOUT = frozenset({"thumbnail", "overview", "metadata", "tiles", "graphic", "preview"})
#: Links that say how a catalog hangs together; they are made anew.
STRUCTURE = frozenset({"self", "root", "parent", "collection", "item", "child", "items", "next"})
#: Queries that are signatures: they end, and open a file to whoever reads them.
_SIGNATURES = re.compile(
    r"(?:^|&)(?:sig|signature|x-amz-signature|x-goog-signature|authz|access_token|token)=", re.I
)
#: What is no name, or means something else in an href.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\?#%]")
#: File systems take names of 255 bytes, and a temporary name is longer than the file's.
_LONGEST = 200


@dataclass(frozen=True)
class AssetPlan:
    """What is to become of an asset.

    Parameters
    ----------
    source
        Its href, absolute; None where nobody can say where it lies.
    target
        Where its copy is to lie; None of an asset that is not copied.
    here
        Whether it lies below the target already.
    size
        Bytes, as far as its item says.
    """

    source: str | None
    target: str | None = None
    here: bool = False
    size: int | None = None


@dataclass(frozen=True)
class ItemPlan:
    """An item, and what is to become of its assets.

    Parameters
    ----------
    content
        The item as JSON, its links absolute and without those of the source's structure.
    href
        Where it is to lie, if the target does not hold it elsewhere.
    source
        Where it was read, as far as that is known.
    origin
        The file of its collection, as far as the item says.
    """

    id: str
    collection: str | None
    content: Mapping[str, Any] = field(repr=False)
    href: str
    source: str
    origin: str | None = None
    assets: Mapping[str, AssetPlan] = field(default_factory=dict)


def plan(
    items: Sequence[pystac.Item], root: str, keys: Collection[str] | None
) -> tuple[ItemPlan, ...]:
    """What copying items to the directory ``root`` means.

    Parameters
    ----------
    keys
        Keys of the assets to copy; None: all but thumbnails, previews and metadata.

    Raises
    ------
    DataError
        No item has an asset of one of the keys.
    """
    known = {key for item in items for key in item.assets}
    if unknown := sorted(set(keys or ()) - known):
        raise DataError(
            f"no item has an asset {', '.join(map(repr, unknown))}",
            hint=f"its items have {', '.join(sorted(known)) or 'none'}",
        )
    return tuple(_item(item, root, keys) for item in items)


def data_keys(assets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The keys of assets that are data: all whose roles say nothing else."""
    return [
        key
        for key, asset in assets.items()
        if not (roles := {str(role).lower() for role in asset.get("roles") or ()})
        or not roles <= ABOUT
    ]


def file_names(hrefs: Mapping[str, str], taken: Collection[str] = ()) -> dict[str, str]:
    """A name for each asset's file: that of its href, with the key where several have one name.

    Parameters
    ----------
    hrefs
        Key to absolute href, of all assets of an item. The same href has one name.
    taken
        Names that are not free.
    """
    plain = {href: _name(href) for href in hrefs.values()}
    counts = Counter(name.lower() for name in plain.values())
    counts.update(name.lower() for name in taken)
    names: dict[str, str] = {}
    first: dict[str, str] = {}
    for key in sorted(hrefs):
        href = hrefs[key]
        if href not in first:
            name = plain[href]
            if counts[name.lower()] > 1:
                stem, ending = posixpath.splitext(name)
                name = f"{stem}_{folder_name(key)}{ending}"
            if name.lower() in {used.lower() for used in (*first.values(), *taken)}:
                stem, ending = posixpath.splitext(name)
                name = f"{stem}_{_digest(href)}{ending}"
            first[href] = name
        names[key] = first[href]
    return names


def folder_name(text: str) -> str:
    """An id as the name of a directory or file: as it is, where every file system takes it."""
    safe = _UNSAFE.sub("_", text)
    safe = f"_{safe}" if safe.startswith(".") or not safe else safe
    if safe == text and len(text.encode()) <= _LONGEST:
        return text
    return f"{safe.encode()[: _LONGEST - 20].decode(errors='ignore')}_{_digest(text)}"


def place(href: str) -> str:
    """A text that is equal for two hrefs of one place, whatever the spelling of its protocol."""
    if not is_remote(href):
        return os.path.realpath(absolute(href))
    address = web_address(href)
    if address is None:
        return href.rstrip("/")
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    path = quote(posixpath.normpath(unquote(parts.path) or "/"))
    return f"{(parts.hostname or '').lower()}:{port}{path}"


def is_within(href: str, folder: str) -> bool:
    """Whether an href leads below a folder."""
    return place(href).startswith(place(folder).rstrip("/") + "/")


def outward(href: str, own: str) -> str:
    """How the file ``own`` names what lies elsewhere: without the signature or password in it.

    A path of this machine has to say so in a file on a server, where it would be one of the server.
    """
    if not is_remote(href):
        local = is_remote(own) and href.startswith("/")
        return f"file://{quote(href)}" if local else href
    if urlsplit(href).scheme not in ("http", "https"):
        return href
    parts = urlsplit(href)
    query = "" if _SIGNATURES.search(parts.query) else parts.query
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()


def _item(item: pystac.Item, root: str, keys: Collection[str] | None) -> ItemPlan:
    own = item.get_self_href() or ""
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    hrefs = {key: asset.get_absolute_href() for key, asset in item.assets.items()}
    folder = below(root, *[folder_name(i) for i in (item.collection_id, item.id) if i])
    name = f"{folder_name(item.id)}.json"
    wanted = set(data_keys(content["assets"]) if keys is None else keys)
    known = {key: absolute(href) for key, href in hrefs.items() if href}
    names = file_names(known, (name, "collection.json", "catalog.json"))
    assets = {}
    for key in item.assets:
        source = known.get(key)
        here = source is not None and is_within(source, root)
        copied = key in wanted and source is not None and not here
        size = content["assets"][key].get("file:size")
        assets[key] = AssetPlan(
            source,
            below(folder, names[key]) if copied else None,
            here,
            size if isinstance(size, int) else None,
        )
    links = [
        {**link, "href": joined(own, str(link["href"])) if own else str(link["href"])}
        for link in content.get("links") or []
    ]
    origin = next((link["href"] for link in links if link["rel"] == "collection"), None)
    others = [link for link in links if link["rel"] not in STRUCTURE]
    content = {**content, "links": others}
    return ItemPlan(item.id, item.collection_id, content, below(folder, name), own, origin, assets)


def _name(href: str) -> str:
    path = href
    if is_remote(href):
        web = urlsplit(href).scheme in ("http", "https")
        path = unquote(urlsplit(href).path) if web else href.partition("://")[2].partition("/")[2]
    name = posixpath.basename(path.rstrip("/"))
    if len(name.encode()) > _LONGEST or name.startswith("."):
        stem, ending = posixpath.splitext(name.lstrip("."))
        return f"{stem.encode()[:100].decode(errors='ignore')}_{_digest(href)}{ending[:20]}"
    return _UNSAFE.sub("_", name) or f"asset_{_digest(href)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
