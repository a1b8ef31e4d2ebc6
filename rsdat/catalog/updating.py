"""Brings a catalog up to date with its files: changed ones are read again, vanished ones named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from rsdat.catalog.assembling import Part, asset_of, located, written
from rsdat.catalog.headers import File, header, listed_time
from rsdat.catalog.hrefs import joined
from rsdat.catalog.making import (
    Made,
    OnError,
    catalog_file,
    collections_of,
    items_of,
    refresh,
)
from rsdat.catalog.naming import Named
from rsdat.catalog.walking import Found
from rsdat.catalog.writing import write_json
from rsdat.errors import CredentialError, DataError
from rsdat.storage import absolute, is_remote, scrubbed, shown
from rsdat.storage.transfer_places import place_of

_RASTERS = (".tif", ".tiff", ".jp2")
_THREADS = 16


def update_catalog(
    catalog: str | os.PathLike[str], *, prune: bool = False, on_error: OnError = "raise"
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

    Raises
    ------
    DataError
        The catalog or a file cannot be read, or the catalog not be written.
    """
    top = catalog_file(catalog)
    made = Made(top)
    for home in collections_of(top).values():
        kept: list[str] = []
        before = made.items, len(made.removed)
        for found, states in _with_states(home):
            try:
                left = _updated(found, states, prune, made)
            except DataError as error:
                if on_error == "raise":
                    raise
                made.skipped.append(error.message)
                left = True
            if left:
                kept.append(str(found.href))
        if (made.items, len(made.removed)) != before:
            refresh(home, top, kept)
    return made


def _with_states(home: str) -> Iterator[tuple[Found, dict[str, File | None]]]:
    """The items of a collection with the files of their assets; None of one that has vanished."""
    with ThreadPoolExecutor(_THREADS, "rsdat-update") as pool:
        for found in items_of(home):
            hrefs = {
                key: joined(str(found.href), str(asset["href"]))
                for key, asset in found.content["assets"].items()
            }
            states = pool.map(_state, hrefs.values())
            yield found, dict(zip(hrefs, states, strict=True))


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


def _updated(found: Found, states: Mapping[str, File | None], prune: bool, made: Made) -> bool:
    """Write one item anew, where it has to be; whether it is still an item."""
    item = dict(found.content)
    assets = dict(item["assets"])
    gone = [key for key, state in states.items() if state is None]
    for key in gone:
        words = f"item {item['id']}: {shown(joined(str(found.href), assets[key]['href']))} is gone"
        (made.removed if prune else made.notes).append(words)
        if prune:
            del assets[key]
    if not assets:
        return False
    there = {key: state for key, state in states.items() if state is not None}
    rasters = {key: state for key, state in there.items() if _is_raster(assets[key], state)}
    if any(_changed(assets[key], state) for key, state in rasters.items()):
        item = _read_again(item, assets, rasters, str(found.href))
        made.items += 1
        made.assets += len(rasters)
    elif not (gone and prune):
        return True
    else:
        item["assets"] = assets
    write_json(str(found.href), item)
    return True


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
