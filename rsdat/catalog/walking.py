"""Walks static catalogs: many files at once, each item as JSON, in bounded memory.

pystac makes objects of every item and keeps them, one file after the other. Here a few threads read
ahead, an item is a plain mapping until somebody wants it, and nothing is kept but the names of the
files that have been read.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pystac

from rsdat.catalog import servers
from rsdat.catalog.hrefs import joined
from rsdat.errors import DataError
from rsdat.storage import is_remote, read_text, shown

T = TypeVar("T")

#: What to do with a file that cannot be used; None: raise.
OnError = Callable[[DataError], None] | None

#: A server's latency is what a remote walk waits for. Local files are read in bunches, so that a
#: thread's wake-up does not cost more than its work.
_THREADS = {True: 32, False: 4}
_BUNCH = {True: 1, False: 32}


@dataclass(frozen=True)
class Found:
    """An item of a catalog.

    Parameters
    ----------
    href
        Where it was read; None of an item that is only in memory.
    content
        The item as JSON.
    item
        The object, where there is one already; ``content`` then has what a search looks at only.
    root
        The catalog that was opened.
    """

    href: str | None
    content: Mapping[str, Any]
    item: pystac.Item | None = None
    root: pystac.Catalog | None = None

    def as_json(self) -> dict[str, Any]:
        """The whole item as JSON, links and hrefs as they were read."""
        if self.item is None:
            return dict(self.content)
        # Without these, pystac would follow the link to the root.
        return self.item.to_dict(include_self_link=False, transform_hrefs=False)


@dataclass(frozen=True)
class Node:
    """A file that is to be read, and the catalogs that lead to it."""

    href: str
    above: tuple[str, ...] = ()


def walk(catalog: pystac.Catalog, *, on_error: OnError = None) -> Iterator[Found]:
    """All items of a static catalog and of the catalogs in it, in the order of the links.

    Parameters
    ----------
    catalog
        As :func:`rsdat.open_catalog` gives it, or made in memory.
    on_error
        Called with the error of each file that cannot be used; without it, the first is raised.

    Raises
    ------
    DataError
        A file is missing, is not JSON, is not STAC, or leads back to a catalog that it belongs to.
    """
    nodes: list[Node] = []
    for held in _resolved(catalog, nodes, ()):
        yield Found(held.get_self_href(), as_mapping(held), held)
    yield from read(nodes, on_error=on_error)


def counted(items: Iterable[T], progress: Callable[[int], object] | None) -> Iterator[T]:
    """Items as they come; ``progress`` is told after each how many there were."""
    for count, one in enumerate(items, 1):
        yield one
        if progress is not None:
            progress(count)


def read(nodes: Sequence[Node], *, on_error: OnError = None) -> Iterator[Found]:
    """The items of files, and of the catalogs among them. Parameters as those of :func:`walk`."""
    remote = any(is_remote(node.href) for node in nodes)
    threads = servers.threads((node.href for node in nodes), _THREADS[remote])
    todo = deque(nodes)
    seen = {node.href for node in nodes}
    ahead: deque[Future[list[tuple[Node, Any]]]] = deque()
    bridge = servers.Bridge()
    with ThreadPoolExecutor(threads, "rsdat-walk") as pool:
        try:
            while todo or ahead:
                while todo and len(ahead) < 2 * threads:
                    bunch = [todo.popleft() for _ in range(min(_BUNCH[remote], len(todo)))]
                    ahead.append(pool.submit(_contents, bunch, bridge))
                for node, content in ahead.popleft().result():
                    try:
                        if isinstance(content, DataError):
                            raise content
                        if _is_item(content, node.href):
                            yield Found(node.href, content)
                        else:
                            todo.extendleft(reversed(_unread(node, content, seen, on_error)))
                    except DataError as error:
                        if on_error is None:
                            raise
                        on_error(error)
        finally:
            bridge.stop()
            pool.shutdown(wait=True, cancel_futures=True)


def content_of(href: str, bridge: servers.Bridge | None = None) -> dict[str, Any]:
    """The JSON object in a file, also when the connection breaks meanwhile.

    Parameters
    ----------
    bridge
        Who may be told to wait no longer.

    Raises
    ------
    DataError
        It cannot be read, or is something else; the message names it.
    """
    text = (bridge or servers.Bridge()).over(href, lambda: read_text(href))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{shown(href)} is not JSON (line {error.lineno}: {error.msg})",
            hint="give a STAC catalog, collection, item or FeatureCollection",
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{shown(href)} is JSON, but not STAC", hint="give a STAC file")
    return content


def checked_item(content: Any, place: str) -> None:
    """Refuse what is no item. Raises :class:`~rsdat.errors.DataError` naming its place."""
    if not isinstance(content, Mapping):
        raise DataError(f"{place} is not a STAC item", hint="correct it, or remove it")
    wrong = [name for name in ("properties", "assets") if not isinstance(content.get(name), dict)]
    wrong += ["links"] if not isinstance(content.get("links", []), list) else []
    wrong += ["geometry"] if "geometry" not in content else []
    wrong += ["id"] if not isinstance(content.get("id"), str) else []
    if wrong:
        raise DataError(
            f"{place} is not a valid STAC object: {', '.join(wrong)} missing or of a wrong type",
            hint="correct it; an item of no place says so with a geometry that is null",
        )


def as_mapping(item: pystac.Item) -> dict[str, Any]:
    """What a search looks at, of an item that is an object."""
    properties = dict(item.properties)
    if item.datetime is not None:
        properties["datetime"] = item.datetime.isoformat()
    return {
        "id": item.id,
        "collection": item.collection_id,
        "properties": properties,
        "geometry": item.geometry,
        "bbox": item.bbox,
    }


def _resolved(
    catalog: pystac.Catalog, unread: list[Node], above: tuple[str, ...]
) -> Iterator[pystac.Item]:
    """The items that are in memory; links that are only hrefs go to ``unread``."""
    own = catalog.get_self_href()
    chain = (*above, own) if own else above
    for link in catalog.links:
        if link.rel not in ("child", "item"):
            continue
        if isinstance(link.target, pystac.Item):
            yield link.target
        elif isinstance(link.target, pystac.Catalog):
            yield from _resolved(link.target, unread, chain)
        else:
            href = str(link.target)
            unread.append(Node(joined(own, href) if own else href, chain))


def _contents(nodes: Sequence[Node], bridge: servers.Bridge) -> list[tuple[Node, Any]]:
    return [(node, _content(node.href, bridge)) for node in nodes]


def _content(href: str, bridge: servers.Bridge) -> dict[str, Any] | DataError:
    try:
        return content_of(href, bridge)
    except DataError as error:
        return error


def _is_item(content: Mapping[str, Any], href: str) -> bool:
    if content.get("type") in ("Catalog", "Collection") or "description" in content:
        return False
    if content.get("type") != "Feature":
        raise DataError(
            f"{shown(href)} is JSON, but not STAC", hint="a link in the catalog leads to it"
        )
    checked_item(content, shown(href))
    return True


def _unread(
    node: Node, content: Mapping[str, Any], seen: set[str], on_error: OnError
) -> list[Node]:
    """What a catalog leads to and nobody has read yet."""
    above = (*node.above, node.href)
    result = []
    for link in content.get("links") or []:
        if not isinstance(link, Mapping) or link.get("rel") not in ("child", "item"):
            continue
        href = joined(node.href, str(link.get("href")))
        if href in above:
            error = DataError(
                f"{shown(node.href)} leads back to {shown(href)}, which it belongs to: a cycle",
                hint=f"remove that link of rel {link['rel']!r}",
            )
            if on_error is None:
                raise error
            on_error(error)
        elif href not in seen:
            seen.add(href)
            result.append(Node(href, above))
    return result
