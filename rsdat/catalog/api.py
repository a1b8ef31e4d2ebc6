"""STAC APIs through pystac-client: who asks, what the server can do itself, what is done here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pystac
from shapely.geometry import mapping

from rsdat.catalog.expressions import Condition
from rsdat.catalog.filters import Query
from rsdat.catalog.walking import as_mapping
from rsdat.errors import DataError
from rsdat.storage import scrubbed, shown

#: What servers answer to a search that they do not understand.
_NOT_UNDERSTOOD = frozenset({400, 422, 500, 501})
#: What passes.
_PASSING = frozenset({429, 502, 503, 504})
_COMPARISONS = frozenset({"eq", "neq", "lt", "lte", "gt", "gte"})


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
    from urllib3 import Retry

    from rsdat.storage.credentials import adapters

    # A search may be asked for again, although it is a POST: it changes nothing.
    again = Retry(
        connect=2,
        backoff_factor=0.2,
        status_forcelist=_PASSING,
        allowed_methods=None,
        raise_on_status=False,
    )
    io = StacApiIO()
    adapters.mount(io.session, again)
    try:
        client: Any = Client.open(href, stac_io=io)
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

    Servers sort by time alone: by other fields they do it in many ways, as PostgreSQL's pgstac,
    which takes numbers for texts and puts items without the field first. So do conditions that a
    server refuses although it offers conditions.

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
    sort = _sorting(client, order)
    search = _Search(client, wanted, order, sort, limit)
    _say(client, here is not None, _sorted_here(client, order, sort, limit))
    begun = False
    try:
        for item in search.items(asked, here):
            begun = True
            yield item
        return
    except APIError as error:
        understood = getattr(error, "status_code", None) not in _NOT_UNDERSTOOD
        if begun or not asked or understood:
            raise _refused(client, error) from error
        warnings.warn(
            f"the STAC API {shown(client.self_href)} refuses the conditions ({_short(error)}): "
            "they are tried here, on all items that meet the rest",
            stacklevel=2,
        )
    except OSError as error:
        raise _refused(client, error) from error
    try:
        yield from search.items({}, wanted.condition)
    except (APIError, OSError) as error:
        raise _refused(client, error) from error


@dataclass(frozen=True)
class _Search:
    """A search of an API, but for its conditions on properties."""

    client: Any
    wanted: Query
    order: Sequence[tuple[str, bool]]
    sort: list[dict[str, str]] | None
    limit: int | None

    def items(self, asked: Mapping[str, Any], here: Condition | None) -> Iterator[pystac.Item]:
        """The items; ``asked``: conditions for the server, ``here``: those that are left."""
        all_of_them = here is not None or (bool(self.order) and self.sort is None)
        wanted = self.wanted
        sorting = {"sortby": self.sort} if self.sort is not None else {}
        found = self.client.search(
            max_items=None if all_of_them else self.limit,
            intersects=None if wanted.area is None else mapping(wanted.area),
            datetime=wanted.interval,
            collections=sorted(wanted.collections) if wanted.collections else None,
            ids=sorted(wanted.ids) if wanted.ids else None,
            **sorting,
            **asked,
        )
        # Sorted here, the first ones are known when all have come.
        left = None if self.order and self.sort is None else self.limit
        for item in found.items():
            if here is not None and not here.meets(as_mapping(item)):
                continue
            yield item
            left = None if left is None else left - 1
            if left == 0:
                return


def _refused(client: Any, error: Exception) -> DataError:
    return DataError(
        f"the STAC API {shown(client.self_href)} refused the search: {error}",
        hint="check the names of collections and properties; some APIs need collections=",
    )


def _short(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words if len(words) < 100 else words[:100] + " …"


def _conditions(client: Any, wanted: Query) -> tuple[dict[str, Any], Any]:
    """What to hand to the server, and the condition that is left for here."""
    condition = wanted.condition
    if condition is None:
        return {}, None
    query = condition.query
    if query is not None and client.conforms_to("QUERY") and _plain(query):
        return {"query": query}, None
    if client.conforms_to("FILTER"):
        return {"filter": condition.portable, "filter_lang": "cql2-json"}, None
    return {}, condition


def _plain(query: Mapping[str, Any]) -> bool:
    """Whether a query compares only; of the other operators, many servers know none."""
    words = {word for one in query.values() if isinstance(one, Mapping) for word in one}
    return words <= _COMPARISONS


def _sorting(client: Any, order: Sequence[tuple[str, bool]]) -> list[dict[str, str]] | None:
    """What to have the server sort by; None: that is done here."""
    if not client.conforms_to("SORT") or [name for name, _ in order] != ["datetime"]:
        return None
    direction = "desc" if order[0][1] else "asc"
    return [
        {"field": "properties.datetime", "direction": direction},
        {"field": "id", "direction": "asc"},
    ]


def _sorted_here(
    client: Any,
    order: Sequence[tuple[str, bool]],
    sort: list[dict[str, str]] | None,
    limit: int | None,
) -> bool:
    """Whether sorting here asks for more than the server would have given."""
    return bool(order) and sort is None and (limit is not None or not client.conforms_to("SORT"))


def _say(client: Any, filtered: bool, sorted_here: bool) -> None:
    todo = [
        word
        for word, here in (("conditions on properties", filtered), ("sorting", sorted_here))
        if here
    ]
    if todo:
        warnings.warn(
            f"the STAC API {shown(client.self_href)} does not offer {' and '.join(todo)} as it is "
            "asked for: done here, on all items that it gives",
            stacklevel=2,
        )
