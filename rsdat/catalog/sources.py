"""The items of anything that is opened, one after the other, as JSON: what a search looks through.

A catalog with an index beside it gives those of the index; the others are walked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pystac

from rsdat.catalog.filters import Query
from rsdat.catalog.hrefs import joined
from rsdat.catalog.opening import LINES, ItemFile, Opened
from rsdat.catalog.walking import Found, OnError, as_mapping, checked_item, walk
from rsdat.errors import DataError
from rsdat.storage import is_remote, read_text, shown


def found_in(
    opened: Opened, wanted: Query | None = None, *, on_error: OnError = None
) -> Iterator[Found]:
    """The items of what is opened; not of an API.

    Parameters
    ----------
    wanted
        Lets a table or an index leave out what cannot meet it; the rest is to be compared yet.
    on_error
        Called with each error of a file or item that cannot be used; else the first is raised.

    Raises
    ------
    DataError
        Something cannot be read.
    """
    if isinstance(opened, pystac.Item):
        yield Found(opened.get_self_href(), as_mapping(opened), opened)
    elif isinstance(opened, pystac.ItemCollection):
        for item in opened.items:
            yield Found(item.get_self_href(), as_mapping(item), item)
    elif isinstance(opened, ItemFile):
        yield from _of_file(opened, wanted, on_error)
    else:
        from rsdat.catalog.indexing import usable_index

        index = usable_index(opened)
        if index is not None:
            yield from _of_file(ItemFile(index), wanted, on_error)
        else:
            yield from walk(opened, on_error=on_error)


def leaves_out(opened: Opened) -> bool:
    """Whether :func:`found_in` gives only a part of the items for a search."""
    if isinstance(opened, ItemFile):
        return not opened.href.endswith(LINES)
    if not isinstance(opened, pystac.Catalog):
        return False
    from rsdat.catalog.indexing import usable_index

    return usable_index(opened) is not None


def _of_file(file: ItemFile, wanted: Query | None, on_error: OnError) -> Iterator[Found]:
    if file.href.endswith(LINES):
        contents = _lines(file.href, on_error)
    else:
        from rsdat.catalog.geoparquet import items_in

        contents = items_in(file.href, wanted)
    for content in contents:
        yield Found(_own_place(content, file.href), content)


def _own_place(content: Mapping[str, Any], place: str) -> str:
    """Where an item that is kept in a file of many lies itself: its relative hrefs start there."""
    for link in content.get("links") or []:
        if isinstance(link, Mapping) and link.get("rel") == "self":
            return joined(place, str(link.get("href")))
    return place


def _lines(href: str, on_error: OnError) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_text_lines(href), 1):
        if not line.strip():
            continue
        try:
            try:
                content = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{shown(href)}:{number} is not JSON ({error})",
                    hint="each line holds one STAC item",
                ) from None
            checked_item(content, f"{shown(href)}:{number}")
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield content


def _text_lines(href: str) -> Iterable[str]:
    if is_remote(href):
        yield from read_text(href).split("\n")
        return
    try:
        with Path(href).open(encoding="utf-8") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{href} cannot be read: {error}", hint="check its permissions and what it holds"
        ) from None
