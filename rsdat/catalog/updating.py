"""Brings a catalog up to date with its files: changed ones are read again, vanished ones named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

from rsdat.catalog import servers
from rsdat.catalog.assembling import Part, asset_of, located, written
from rsdat.catalog.headers import File, header, listed_time
from rsdat.catalog.hrefs import joined
from rsdat.catalog.making import Made, OnError
from rsdat.catalog.naming import Named
from rsdat.catalog.static import (
    THREADS,
    Listing,
    catalog_file,
    collection_content,
    collections_of,
    items_of,
    refresh,
)
from rsdat.catalog.walking import Found
from rsdat.catalog.writing import write_json
from rsdat.errors import CredentialError, DataError
from rsdat.storage import absolute, is_remote, scrubbed, shown
from rsdat.storage.transfer_places import place_of

_RASTERS = (".tif", ".tiff", ".jp2")


def update_catalog(
    catalog: str | os.PathLike[str],
    *,
    prune: bool = False,
    on_error: OnError = "raise",
    progress: Callable[[int], object] | None = None,
) -> Made:
    """Read the files of a static catalog again that have changed since it was made.

    A file has changed when its size or its time is not what ``file:size`` and ``updated`` of its
    asset say; one without these is read.

    Parameters
    ----------
    prune
        Take out assets whose files have vanished, and items that have none left. Without it, they
        are only named in the answer's notes.
    on_error
        ``"skip"``: leave assets as they are whose files cannot be used; listed in the answer.
    progress
        Told after each item how many were looked at.

    Raises
    ------
    DataError
        The catalog or a file cannot be read, or the catalog not be written.
    """
    top = catalog_file(catalog)
    made = Made(top)
    looked = 0
    for name, home in collections_of(top).items():
        listing = Listing(home, name)
        before = made.items, len(made.removed)
        for look in _looks(listing, prune):
            looked += 1
            if progress is not None:
                progress(looked)
            if look.error is not None and on_error == "raise":
                raise look.error
            _note(look, prune, made)
            if look.item is not None:
                listing.add(look.item, look.href)
        if (made.items, len(made.removed)) != before:
            refresh(listing, top)
    return made


@dataclass(frozen=True)
class _Look:
    """What was found out about an item, and done.

    Parameters
    ----------
    item
        As it is now; None: it has no asset left.
    read
        Files that were read again.
    gone
        Files that have vanished, as messages.
    """

    href: str
    item: Mapping[str, Any] | None
    read: int = 0
    gone: tuple[str, ...] = ()
    error: DataError | None = None


def _looks(listing: Listing, prune: bool) -> Iterator[_Look]:
    """Bring the items of a collection up to date, several at one time."""
    items = items_of(collection_content(listing.home, listing.name), listing.home)
    first = next(items, None)
    if first is None:
        return
    # The files of a collection lie on one server.
    threads = servers.threads((listing.home, *_hrefs(first).values()), THREADS)
    yield from servers.each(partial(_looked, prune), chain([first], items), threads)


def _looked(prune: bool, found: Found) -> _Look:
    try:
        return _updated(found, prune)
    except DataError as error:
        return _Look(str(found.href), found.content, error=error)


def _note(look: _Look, prune: bool, made: Made) -> None:
    if look.error is not None:
        made.skipped.append(look.error.message)
    (made.removed if prune else made.notes).extend(look.gone)
    made.items += look.read > 0
    made.assets += look.read


def _hrefs(found: Found) -> dict[str, str]:
    assets = found.content["assets"].items()
    return {key: joined(str(found.href), str(asset["href"])) for key, asset in assets}


def _state(href: str) -> File | None:
    path = href.rpartition("/")[2]
    try:
        if not is_remote(href):
            known = os.stat(absolute(href))
            return File(href, path, known.st_size, datetime.fromtimestamp(int(known.st_mtime), UTC))
        place = place_of(href)
        info = place.fs.info(place.path)
        return File(href, path, info.get("size"), listed_time(info))
    except FileNotFoundError:
        return None
    except CredentialError:
        raise
    except Exception as error:  # whatever a backend raises
        raise DataError(
            f"{shown(href)} cannot be looked at: {scrubbed(str(error), href)}",
            hint="check the address, the network and your credentials for it",
        ) from error


def _updated(found: Found, prune: bool) -> _Look:
    """Look at the files of an item, and write it anew where it has to be."""
    href, item = str(found.href), dict(found.content)
    assets = dict(item["assets"])
    states = {key: _state(place) for key, place in _hrefs(found).items()}
    gone = [key for key, state in states.items() if state is None]
    words = tuple(
        f"item {item['id']}: {shown(joined(href, assets[key]['href']))} is gone" for key in gone
    )
    for key in gone if prune else []:
        del assets[key]
    if not assets:
        return _Look(href, None, gone=words)
    there = {key: state for key, state in states.items() if state is not None}
    rasters = {key: state for key, state in there.items() if _is_raster(assets[key], state)}
    changed = any(_changed(assets[key], state) for key, state in rasters.items())
    if changed:
        item = _read_again(item, assets, rasters, href)
    elif gone and prune:
        item["assets"] = assets
    else:
        return _Look(href, item, gone=words)
    write_json(href, item)
    return _Look(href, item, len(rasters) if changed else 0, words)


def _read_again(
    item: dict[str, Any], assets: dict[str, Any], rasters: Mapping[str, File], href: str
) -> dict[str, Any]:
    headers = []
    for key, file in rasters.items():
        old = assets[key]
        bands = old.get("bands") or [{}]
        named = Named(str(item["id"]), bands[0].get("name") if len(bands) == 1 else None)
        headers.append(header(file))
        fresh = asset_of(Part(file, named, headers[-1]), href)
        kept = {name: old[name] for name in ("href", "roles") if name in old}
        dropped = {"file:checksum", "checksum:multihash"}  # of what the file was before
        assets[key] = {k: v for k, v in old.items() if k not in dropped} | fresh | kept
    return located({**item, "assets": assets}, headers)


def _is_raster(asset: Mapping[str, Any], file: File) -> bool:
    return file.path.lower().endswith(_RASTERS) or "tiff" in str(asset.get("type"))


def _changed(asset: Mapping[str, Any], file: File) -> bool:
    size, time = asset.get("file:size"), asset.get("updated")
    if size is None and time is None:
        return True
    if size is not None and file.size is not None and size != file.size:
        return True
    return time is not None and file.changed is not None and time != written(file.changed)
