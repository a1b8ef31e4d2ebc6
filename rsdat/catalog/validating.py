"""Checks static catalogs: STAC's own schemas, which pystac ships, and what no schema can see.

Nothing is fetched: the schemas of extensions are not shipped by anybody, and are listed as not
checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pystac
import shapely

from rsdat.catalog.antimeridian import bounding_area, bounds
from rsdat.catalog.filters import area_of, times
from rsdat.catalog.hrefs import joined
from rsdat.catalog.opening import Opened, open_catalog
from rsdat.catalog.sources import found_in
from rsdat.catalog.walking import Found, content_of, counted, walk
from rsdat.errors import ConfigError, DataError
from rsdat.storage import is_remote, shown

# A bbox is written with fewer digits than its geometry, or rounded outwards.
_TOLERANCE = 1e-3
_MOST = 1000
_KINDS = {"Feature": "item", "Catalog": "catalog", "Collection": "collection"}


@dataclass
class Findings:
    """What a check found.

    Parameters
    ----------
    checked
        Files and items, in number.
    problems
        Place and what is wrong there; at most 1000 are kept.
    unchecked
        Extensions whose schemas are not at hand, and the number of files that use them.
    """

    checked: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    unchecked: dict[str, int] = field(default_factory=dict)

    def add(self, place: str | None, words: Iterable[str]) -> None:
        """Note what is wrong with a file."""
        for word in words:
            if len(self.problems) < _MOST:
                self.problems.append((shown(place or "(in memory)"), word))


def validate_catalog(
    href: str | os.PathLike[str],
    *,
    assets: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Findings:
    """Check a static catalog, collection, item or file of items, with all that belongs to it.

    Files of older STAC versions are brought up to date, as pystac reads them, and checked so.

    Parameters
    ----------
    assets
        Whether to look if the files of assets on this machine are there.
    progress
        Told after each item how many there were.

    Raises
    ------
    DataError
        There is nothing, or it is not STAC.
    """
    opened = open_catalog(href)
    schemas = _schemas()
    findings = Findings()
    errors: list[DataError] = []
    if isinstance(opened, pystac.Catalog):
        for place in _catalogs(opened, errors):
            findings.checked += 1
            findings.add(place, _against(schemas, content_of(place), findings))
        found: Iterator[Found] = walk(opened, on_error=errors.append)
    else:
        found = found_in(opened, on_error=errors.append)
    seen: dict[tuple[Any, str], str | None] = {}
    for one in counted(found, progress):
        content = one.as_json()
        findings.checked += 1
        findings.add(one.href, _against(schemas, content, findings))
        findings.add(one.href, _beyond_schemas(content, one.href, assets))
        key = content.get("collection"), content["id"]
        if key in seen:
            findings.add(one.href, [f"the id {key[1]} is also that of {shown(seen[key] or '')}"])
        seen[key] = one.href
    findings.add(_place(opened), {error.message: None for error in errors})
    return findings


def _place(opened: Opened) -> str | None:
    return opened.get_self_href() if isinstance(opened, pystac.Catalog) else None


def _schemas() -> Mapping[str, Any]:
    try:
        from jsonschema import Draft7Validator
        from pystac.validation.local_validator import get_local_schema_cache
        from referencing import Registry, Resource
    except ImportError:
        raise ConfigError(
            "validation needs jsonschema, which is not installed",
            hint="install it: pip install 'rsdat[validation]'",
        ) from None
    shipped = get_local_schema_cache()
    resources = [(url, Resource.from_contents(schema)) for url, schema in shipped.items()]
    registry: Any = Registry().with_resources(resources)
    return {
        kind: Draft7Validator(
            next(shipped[url] for url in shipped if url.endswith(f"-spec/json-schema/{name}.json")),
            registry=registry,
        )
        for kind, name in _KINDS.items()
    }


def _catalogs(opened: pystac.Catalog, errors: list[DataError]) -> Iterator[str]:
    """The files of a catalog and of the catalogs within it."""
    own = opened.get_self_href()
    todo = [own] if own else []
    seen = set(todo)
    while todo:
        href = todo.pop()
        try:
            content = content_of(href)
        except DataError as error:
            errors.append(error)
            continue
        if content.get("type") == "Feature":
            continue
        yield href
        for link in content.get("links") or []:
            if isinstance(link, Mapping) and link.get("rel") == "child":
                child = joined(href, str(link.get("href")))
                if child not in seen:
                    seen.add(child)
                    todo.append(child)


def _against(schemas: Mapping[str, Any], content: Mapping[str, Any], to: Findings) -> list[str]:
    """What STAC's schema says against a file."""
    for extension in content.get("stac_extensions") or []:
        to.unchecked[str(extension)] = to.unchecked.get(str(extension), 0) + 1
    kind = str(content.get("type"))
    if kind not in schemas:
        return [f"type {kind!r} is none of STAC's"]
    newest = dict(content)
    version = str(content.get("stac_version", ""))
    if version != pystac.get_stac_version():
        from pystac.serialization import identify_stac_object, migrate_to_latest

        try:
            newest = migrate_to_latest(newest, identify_stac_object(newest))
        except Exception as error:  # pystac raises whatever a wrong value leads to
            return [f"STAC version {version!r} cannot be brought up to date: {error}"]
    wrong = []
    for found in schemas[kind].iter_errors(newest):
        deepest = max(_causes(found), key=lambda cause: len(cause.absolute_path))
        where = ".".join(str(part) for part in deepest.absolute_path) or "(top)"
        message = deepest.message
        wrong.append(f"{where}: {message if len(message) < 200 else message[:200] + ' …'}")
    return wrong


def _causes(error: Any) -> Iterator[Any]:
    yield error
    for cause in error.context or []:
        yield from _causes(cause)


def _beyond_schemas(content: Mapping[str, Any], href: str | None, assets: bool) -> Iterator[str]:
    try:
        start, end = times(content)
        if start is not None and end is not None and start > end:
            yield "it ends before it starts"
        area = area_of(content)
    except DataError as problem:
        yield problem.message
        return
    if area is not None and not area.is_valid:
        yield f"geometry: {shapely.is_valid_reason(area)}"
    elif area is not None and content.get("bbox"):
        try:
            box = bounding_area(content["bbox"]).buffer(_TOLERANCE)
        except (ConfigError, TypeError, ValueError) as wrong:
            yield f"bbox: {wrong}"
        else:
            if not box.covers(area):
                right = ", ".join(f"{edge:.4f}" for edge in bounds(area))
                yield f"bbox: the geometry reaches beyond it; its own is [{right}]"
    if content.get("collection") and not any(
        link.get("rel") == "collection" for link in content.get("links") or []
    ):
        yield "links: no link to the collection that it names"
    for key, asset in content["assets"].items():
        target = joined(href or "", str(asset.get("href")))
        if assets and not is_remote(target) and not os.path.exists(target):
            yield f"assets.{key}: {target} is not there"
