"""The index beside a static catalog: its items in one stac-geoparquet file, used while it is true.

``catalog.json`` has ``catalog.parquet`` beside it. The file knows what the catalog was when it was
made: a digest of the text of the catalogs and collections, and, on local file systems, the sizes
and times of the items. An index that no longer fits is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pystac

from rsdat.catalog import servers
from rsdat.catalog.hrefs import joined, relative
from rsdat.catalog.walking import OnError, counted, walk
from rsdat.errors import ConfigError, DataError
from rsdat.storage import is_remote, read_text, shown
from rsdat.storage.transfer_places import place_of

_KEY = "rsdat:index"


def index_href(catalog: str) -> str:
    """Where the index of a catalog's file lies."""
    return posixpath.splitext(catalog)[0] + ".parquet"


def make_index(
    catalog: pystac.Catalog,
    *,
    on_error: OnError = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[str, int]:
    """Write the index beside a static catalog; its href and the number of items.

    ``progress`` is told after each item how many there were.

    Raises
    ------
    ConfigError
        pyarrow is missing, or the catalog has no place.
    DataError
        The catalog cannot be read, or its directory not be written.
    """
    from rsdat.catalog.geoparquet_writing import write_items
    from rsdat.catalog.writing import put_file

    place = catalog.get_self_href()
    if place is None:
        raise ConfigError("the catalog lies nowhere", hint="save it first")
    target = index_href(place)
    # What is digested before the items are read can only make an index look too old.
    state = fingerprint(place)
    with tempfile.TemporaryDirectory(prefix="rsdat-index-") as directory:
        file = Path(directory, "index.parquet")
        items = counted(_with_own_place(catalog, target, on_error), progress)
        count = write_items(items, file, {_KEY: json.dumps(state)})
        put_file(file, target)
    return target, count


def usable_index(catalog: pystac.Catalog) -> str | None:
    """The index of a catalog, where there is one that fits; warns of one that does not."""
    place = catalog.get_self_href()
    if place is None or any(
        not isinstance(link.target, str) for link in catalog.links if link.rel in ("child", "item")
    ):  # changed in memory, perhaps
        return None
    target = index_href(place)
    if not _is_there(target):  # asked first: the import takes a second
        return None
    try:
        import pyarrow

        from rsdat.catalog.geoparquet import metadata
    except ImportError:
        return None
    try:
        text = metadata(target).get(_KEY.encode())
        then = json.loads(text) if text is not None else {}
        if then and _fits(then, fingerprint(place)):
            return target
        why = "does not fit its catalog" if then else "was not made by rsdat"
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, FileNotFoundError):
            return None
        why = f"cannot be read ({type(error).__name__})"
    warnings.warn(
        f"the index {shown(target)} {why} and is not used: `rsdat catalog index {shown(place)}` "
        "makes it anew",
        stacklevel=2,
    )
    return None


def _is_there(href: str) -> bool:
    if not is_remote(href):
        return os.path.exists(href)
    try:
        place = place_of(href)
        return bool(place.fs.exists(place.path))
    except Exception:  # whatever a backend raises; reading the catalog will tell
        return False


def fingerprint(place: str) -> dict[str, str | None]:
    """What a catalog is at this moment: digests of its catalogs, and of the states of its items.

    The latter is None where items are remote: to ask for each would cost more than an index saves.

    Raises
    ------
    DataError
        One of its files cannot be read.
    """
    texts, states = hashlib.sha256(), hashlib.sha256()
    local = True
    seen, level = {place}, [place]
    with ThreadPoolExecutor(servers.threads(level, 16)) as pool:
        while level:
            following: list[str] = []
            for href, text in zip(level, pool.map(read_text, level), strict=True):
                texts.update(relative(href, place).encode() + b"\0" + text.encode())
                items, children = _links(text, href)
                local = local and not any(":" in item and is_remote(item) for item in items)
                if local:
                    states.update(_states(items))
                following += [child for child in children if child not in seen]
                seen.update(children)
            level = following
    return {"catalogs": texts.hexdigest(), "items": states.hexdigest() if local else None}


def _fits(then: dict[str, Any], now: dict[str, str | None]) -> bool:
    """Whether a catalog is as it was; items that were remote then or are now are not compared."""
    items = then.get("items"), now["items"]
    return then.get("catalogs") == now["catalogs"] and (None in items or items[0] == items[1])


def _links(text: str, href: str) -> tuple[list[str], list[str]]:
    try:
        links = json.loads(text).get("links") or []
    except (ValueError, AttributeError):
        raise DataError(f"{shown(href)} is not JSON", hint="correct it") from None
    found: dict[str, list[str]] = {"item": [], "child": []}
    for link in links:
        if isinstance(link, dict) and link.get("rel") in found:
            found[link["rel"]].append(joined(href, str(link.get("href"))))
    return found["item"], found["child"]


def _states(items: list[str]) -> bytes:
    lines = []
    for item in items:
        try:
            known = os.stat(item)
            lines.append(f"{known.st_size} {known.st_mtime_ns}")
        except OSError:
            lines.append("missing")
    return "\n".join(lines).encode()


def _with_own_place(
    catalog: pystac.Catalog, target: str, on_error: OnError
) -> Iterator[dict[str, Any]]:
    """Items whose self link is seen from the index, so that both can be moved together.

    Their other hrefs stay as they are: seen from the item.
    """
    for found in walk(catalog, on_error=on_error):
        content = found.as_json()
        links = [link for link in content.get("links") or [] if link.get("rel") != "self"]
        own = relative(found.href or target, target)
        content["links"] = [
            {"rel": "self", "href": own, "type": "application/geo+json"},
            *links,
        ]
        yield content
