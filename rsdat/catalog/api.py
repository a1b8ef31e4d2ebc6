"""STAC APIs through pystac-client: who asks, what the server can do itself, what is done here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pystac
from shapely.geometry import mapping

from rsdat.catalog.filters import Query
from rsdat.catalog.walking import as_mapping
from rsdat.errors import DataError
from rsdat.storage import scrubbed, shown


def open_api(href: str) -> pystac.Catalog:
    """A client of the STAC API at a landing page; its secret is looked up for each request.

    Raises
    ------
    DataError
        It does not answer as a STAC API.
    """
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO

    from rsdat.storage.credentials import find

    io = StacApiIO()
    credential = find(href)
    if credential is not None and credential.ca_file:
        from rsdat.storage.credentials import secrets

        io.session.verify = secrets.place(credential.ca_file)
    try:
        # Named again: opening would take it from the reader.
        client: Any = Client.open(href, stac_io=io, request_modifier=_signed)
    except (APIError, OSError, ValueError) as error:
        raise DataError(
            f"the STAC API {shown(href)} does not answer as it should: "
            f"{scrubbed(str(error), href)}",
            hint="check the address, the network and your credentials for it",
        ) from error
    # pystac-client knows the addresses of version 1.0 of these only; sorting is at 1.1.
    for name in ("FILTER", "QUERY", "SORT"):
        ending = f"/item-search#{name.lower()}"
        if any(str(one).endswith(ending) for one in client.get_conforms_to()):
            client.add_conforms_to(name)
    opened: pystac.Catalog = client
    return opened


def is_api(opened: Any) -> bool:
    """Whether something opened is an API's client."""
    return hasattr(opened, "conforms_to")


def ask(
    client: Any, wanted: Query, order: Sequence[tuple[str, bool]], limit: int | None
) -> Iterator[pystac.Item]:
    """Items of an API; what the server cannot do is done here, and said in a warning.

    Parameters
    ----------
    order
        Names of fields and whether each descends; none: the server's own order.

    Raises
    ------
    DataError
        The server refuses the search.
    """
    from pystac_client.exceptions import APIError

    asked, here = _conditions(client, wanted)
    if order and client.conforms_to("SORT"):
        asked["sortby"] = [
            {"field": _field(name), "direction": "desc" if down else "asc"} for name, down in order
        ]
    sorted_here = bool(order) and "sortby" not in asked
    _say(client, here is not None, sorted_here)
    try:
        found = client.search(
            max_items=None if here or sorted_here else limit,
            intersects=None if wanted.area is None else mapping(wanted.area),
            datetime=wanted.interval,
            collections=sorted(wanted.collections) if wanted.collections else None,
            ids=sorted(wanted.ids) if wanted.ids else None,
            **asked,
        )
        left = limit
        for item in found.items():
            if here is not None and not here.meets(as_mapping(item)):
                continue
            yield item
            left = None if left is None or sorted_here else left - 1
            if left == 0:
                return
    except (APIError, OSError) as error:
        raise DataError(
            f"the STAC API {shown(client.self_href)} refused the search: {error}",
            hint="check the names of collections and properties; some APIs need collections=",
        ) from error


def _conditions(client: Any, wanted: Query) -> tuple[dict[str, Any], Any]:
    """What to hand to the server, and the condition that is left for here."""
    condition = wanted.condition
    if condition is None:
        return {}, None
    if condition.query is not None and client.conforms_to("QUERY"):
        return {"query": condition.query}, None
    if client.conforms_to("FILTER"):
        return {"filter": condition.cql2, "filter_lang": "cql2-json"}, None
    return {}, condition


def _say(client: Any, filtered: bool, sorted_here: bool) -> None:
    todo = [
        word
        for word, here in (("conditions on properties", filtered), ("sorting", sorted_here))
        if here
    ]
    if todo:
        warnings.warn(
            f"the STAC API {shown(client.self_href)} does not offer {' and '.join(todo)}: done "
            "here, on all items that it gives",
            stacklevel=2,
        )


def _field(name: str) -> str:
    known = name in ("id", "collection", "geometry") or name.startswith("properties.")
    return name if known else f"properties.{name}"


def _signed(request: Any) -> None:
    """Add the configured credential of a request's address, read now."""
    from rsdat.storage.credentials import find

    credential = find(request.url)
    if credential is not None:
        headers: Mapping[str, str] = credential.headers(request.url)
        request.headers.update(headers)
