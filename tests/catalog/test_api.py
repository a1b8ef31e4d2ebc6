"""STAC APIs: what the server can do is asked of it, the rest is done here and said."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from rsdat.catalog import open_catalog, search
from rsdat.errors import DataError
from tests.catalog.catalogs import item
from tests.catalog.test_antimeridian import UNCUT
from tests.storage.hunting import Hunt
from tests.storage.secrets import Person, person

if TYPE_CHECKING:
    from tests.servers.stac_api import StacApi

__all__ = ["person"]

ITEMS = [item(f"i{n}", x=5.0 + n, day=n + 1, cover=10 * ((n * 3) % 7)) for n in range(6)]
CORE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
]
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
FILTER = [
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
]
SORT = "https://api.stacspec.org/v1.1.0/item-search#sort"


@dataclass
class Api:
    """A stand-in that gives all its items, two on a page; keeps what it was asked."""

    conforms: list[str]
    token: str | None = None
    refuses: str = ""
    busy: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    pages: int = 0
    url: str = ""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        self.pages += 1
        first = int(body.get("token", 0))
        links = []
        if first + 2 < len(ITEMS):
            following = {**body, "token": first + 2}
            link = {"rel": "next", "href": f"{self.url}/search", "method": "POST"}
            links = [{**link, "body": following}]
        features = ITEMS[first : first + 2]
        return {"type": "FeatureCollection", "features": features, "links": links}


@pytest.fixture
def make_api() -> Iterator[Callable[..., Api]]:
    servers = []

    def make(*conforms: str, **options: Any) -> Api:
        api = Api([*CORE, *conforms], **options)

        class Handler(BaseHTTPRequestHandler):
            def _send(self, body: dict[str, Any], status: int = 200) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _may(self) -> bool:
                given = self.headers.get("Authorization")
                allowed = api.token is None or given == f"Bearer {api.token}"
                if not allowed:
                    self._send({"description": "who are you?"}, 401)
                return allowed

            def do_GET(self) -> None:
                if not self._may():
                    return
                kind = {"type": "application/geo+json", "method": "POST"}
                links = [
                    {"rel": "self", "href": api.url},
                    {"rel": "search", "href": f"{api.url}/search", **kind},
                ]
                top = {"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "d"}
                self._send({**top, "conformsTo": api.conforms, "links": links})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if api.busy:
                    api.busy -= 1
                    self._send({"description": "come back"}, 503)
                elif self._may() and api.refuses in body:
                    api.asked.append(body)
                    self._send({"description": f"cannot {api.refuses}"}, 400)
                elif self._may():
                    self._send(api.answer(body))

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        api.url = f"http://127.0.0.1:{server.server_port}"
        return api

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_query_goes_to_a_server_that_knows_queries(make_api):
    api = make_api(QUERY)
    search(api.url, query={"cover": {"lt": 20}})
    assert api.asked[0]["query"] == {"cover": {"lt": 20}}


@pytest.mark.parametrize("asked", ["cover < 20", {"cover": {"lt": 20}}])
def test_conditions_go_as_cql2_to_a_server_that_knows_it(make_api, asked):
    api = make_api(*FILTER)
    search(api.url, query=asked)
    assert api.asked[0]["filter"] == {"op": "<", "args": [{"property": "cover"}, 20]}
    assert api.asked[0]["filter-lang"] == "cql2-json"


def test_what_a_server_does_not_know_is_done_here_and_said(make_api):
    api = make_api()
    with pytest.warns(UserWarning, match="does not offer conditions on properties and sorting"):
        found = search(api.url, query="cover <= 30", sortby="-cover", limit=2)
    assert [one.properties["cover"] for one in found] == [30, 20]
    assert "query" not in api.asked[0]
    assert "filter" not in api.asked[0]


def test_pages_are_asked_for_only_until_there_is_enough(make_api):
    api = make_api()
    with pytest.warns(UserWarning, match="does not offer conditions"):
        assert len(search(api.url, query="cover >= 0", limit=3)) == 3
    assert api.pages == 2


def test_sorting_by_time_goes_to_a_server_that_sorts(make_api):
    api = make_api(SORT)
    assert len(search(api.url, sortby="-datetime", limit=2)) == 2
    assert api.asked[0]["sortby"] == [
        {"field": "properties.datetime", "direction": "desc"},
        {"field": "id", "direction": "asc"},
    ]
    assert api.pages == 1


@pytest.mark.filterwarnings("error::UserWarning")
def test_sorting_by_other_fields_is_done_here_as_servers_differ_in_it(make_api):
    api = make_api(SORT)
    covers = [one.properties["cover"] for one in search(api.url, sortby="-cover,datetime")]
    assert covers == sorted(covers, reverse=True)
    assert "sortby" not in api.asked[0]
    with pytest.warns(UserWarning, match="does not offer sorting as it is asked for"):
        assert len(search(api.url, sortby="-cover", limit=1)) == 1


def test_a_condition_that_the_server_refuses_is_tried_here(make_api):
    api = make_api(*FILTER, refuses="filter")
    with pytest.warns(UserWarning, match=r"refuses the conditions \(.*cannot filter.*tried here"):
        found = search(api.url, query="cover = 10 OR cover = 60", limit=2)
    assert len(found) == 2
    assert ["filter" in body for body in api.asked] == [True, *[False] * (len(api.asked) - 1)]
    api = make_api(*FILTER, refuses="collections")
    with pytest.raises(DataError, match="refused the search"):
        search(api.url, collections="c")


def test_what_passes_is_asked_for_again(make_api):
    api = make_api(busy=2)
    assert len(search(api.url)) == 6
    assert api.busy == 0


def test_operators_beyond_comparisons_go_as_cql2_where_the_server_knows_it(make_api):
    api = make_api(QUERY, *FILTER)
    search(api.url, query={"cover": {"in": [0, 10]}})
    assert api.asked[0]["filter"]["op"] == "in"
    search(api.url, query={"cover": {"lt": 20}})
    assert api.asked[-1]["query"] == {"cover": {"lt": 20}}


def test_dates_boxes_and_crossings_go_in_words_that_servers_know(make_api):
    api = make_api(*FILTER)
    search(
        api.url, query="datetime >= DATE('2024-05-03') AND S_INTERSECTS(geometry, BBOX(5,50,6,51))"
    )
    one, other = api.asked[0]["filter"]["args"]
    assert one["args"][1] == {"timestamp": "2024-05-03T00:00:00Z"}
    assert other["args"][1]["type"] == "Polygon"


def test_an_interval_that_is_open_at_both_ends_asks_for_nothing(make_api):
    api = make_api()
    assert len(search(api.url, datetime="../..")) == 6
    assert "datetime" not in api.asked[0]


def test_the_secret_is_looked_up_for_each_request(make_api, person: Person):
    api = make_api(token="first")
    file = person.secret("token", "first")
    person.credentials(**{api.url.removeprefix("http://"): {"token_file": "~/token"}})
    client = open_catalog(api.url)
    assert len(search(client)) == 6
    assert "first" not in repr(vars(client._stac_io)) + repr(client._stac_io.session.headers)
    api.token = "second"
    with pytest.raises(DataError, match="refused the search"):
        search(client)
    file.write_text("second")
    assert len(search(client)) == 6


def test_the_secret_is_in_no_log_and_no_error(make_api, person: Person):
    token = f"token-{secrets.token_hex(16)}"
    hunt = Hunt({"token": [token]})
    api = make_api(token=token)
    file = person.secret("token", token)
    person.credentials(**{api.url.removeprefix("http://"): {"token_file": "~/token"}})
    with hunt.listening():
        client = open_catalog(api.url)
        assert len(search(client)) == 6
        api.token = "another"
        with pytest.raises(DataError, match="refused the search") as caught:
            search(client)
        hunt.error("a refusal", caught.value)
        hunt.thing("the client", client, pickled=False)
        file.unlink()
        with pytest.raises(DataError, match="token does not exist") as caught:
            search(client)
        hunt.error("a secret that is gone", caught.value)
    assert {"pystac_client", "urllib3"} <= hunt.loggers
    assert hunt.seen == []


def test_what_does_not_answer_as_an_api(make_api):
    api = make_api(token="secret")
    with pytest.raises(DataError):
        open_catalog(api.url)


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_real_server(stac_api_server: StacApi):
    name = f"c{secrets.token_hex(4)}"
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    top = {"type": "Collection", "id": name, "stac_version": "1.1.0", "license": "other"}
    collection = {**top, "description": "d", "extent": extent, "links": []}
    items = [{**one, "collection": name} for one in ITEMS]
    items[5] = {**items[5], "geometry": None}
    crossing = {**item("crossing", day=20, cover=90), "collection": name}
    ring = [[179, 50], [180, 50], [180, 51], [179, 51], [179, 50]]
    crossing["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    crossing["bbox"] = [179, 50, 180, 51]
    stac_api_server.load(collection, [*items[:5], crossing])

    def found(**asked: Any) -> list[str]:
        return [one.id for one in search(stac_api_server.url, collections=name, **asked)]

    assert found(query="cover < 35", sortby="-cover") == ["i1", "i3", "i0"]
    assert found(query={"cover": {"lt": 35}}) == ["i0", "i1", "i3"]
    assert found(query="cover < 35 AND id <> 'i0'", limit=1) in (["i1"], ["i3"])
    assert found(bbox=(170, 49, -170, 52)) == ["crossing"]
    assert found(geometry=UNCUT.buffer(20).envelope, datetime="2024-05-20") == ["crossing"]
    assert found(datetime="2024-05-02/2024-05-03") == ["i1", "i2"]
    with pytest.raises(DataError, match="no item of"):
        found(query="cover > 1000")
