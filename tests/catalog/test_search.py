"""Opening and searching: static catalogs, lists of items, single items, directories, and an API."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pystac
import pytest
from pystac.stac_io import DefaultStacIO, StacIO

from rsdat.catalog import make_sample_catalog, open_catalog, search
from rsdat.catalog.filters import interval
from rsdat.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return make_sample_catalog(tmp_path_factory.mktemp("made") / "sample", size=64)


def days(items: list[pystac.Item]) -> list[str]:
    return [f"{item.datetime:%m-%d}" for item in items]


def test_everything_sorted_by_time(sample):
    assert days(search(sample)) == ["05-14", "06-23", "07-28"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2025-06", ["06-23"]),
        ("2025-05-14", ["05-14"]),
        ("2025-06/..", ["06-23", "07-28"]),
        ("../2025-06-23", ["05-14", "06-23"]),
        ("2025-05-14T10:46:00Z/2025-05-14T10:46:00Z", ["05-14"]),
        (("2025-05-01", dt.datetime(2025, 6, 30, tzinfo=dt.UTC)), ["05-14", "06-23"]),
    ],
)
def test_datetime(sample, asked, found):
    assert days(search(sample, datetime=asked)) == found


def test_bbox_geometry_ids_collections_query_and_limit(sample):
    assert len(search(sample, bbox=(5.63, 52.3, 5.7, 52.4))) == 3
    assert len(search(sample, geometry={"type": "Point", "coordinates": [5.645, 52.318]})) == 3
    assert days(search(sample, ids="SAMPLE_20250623_L2A")) == ["06-23"]
    assert len(search(sample, collections=["sample-sentinel-2-l2a"])) == 3
    cover = {item.id: item.properties["eo:cloud_cover"] for item in search(sample)}
    least = min(cover, key=lambda name: cover[name])
    query = {"eo:cloud_cover": {"lte": cover[least]}}
    assert [item.id for item in search(sample, query=query)] == [least]
    assert days(search(sample, limit=2)) == ["05-14", "06-23"]


def test_an_empty_search_says_what_was_asked_and_what_there_is(sample):
    with pytest.raises(DataError, match="bbox 100,10,101,11, datetime 2020") as caught:
        search(sample, bbox=(100, 10, 101, 11), datetime="2020")
    assert "3 items from 2025-05-14 to 2025-07-28" in caught.value.hint
    assert "sample-sentinel-2-l2a" in caught.value.hint


def test_a_bbox_with_latitude_first_is_recognised(sample):
    with pytest.raises(DataError, match="no item of") as caught:
        search(sample, bbox=(52.3, 5.63, 52.4, 5.7))
    assert "latitude and longitude look exchanged" in (caught.value.hint or "")
    with pytest.raises(DataError) as caught:
        search(sample, bbox=(10, 50, 11, 51))
    assert "exchanged" not in (caught.value.hint or "")


def test_a_bbox_upside_down_says_so(sample):
    with pytest.raises(ConfigError, match="has its south above its north"):
        search(sample, bbox=(5.63, 52.4, 5.7, 52.3))


def test_an_empty_list_is_said_to_be_empty(tmp_path):
    empty = tmp_path / "items.json"
    empty.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    with pytest.raises(DataError, match="the list holds no items"):
        search(empty)


def test_a_feature_collection_a_directory_of_items_and_a_single_item(sample, tmp_path):
    items = search(sample)
    collection = tmp_path / "items.json"
    collection.write_text(json.dumps(pystac.ItemCollection(items).to_dict()))
    assert days(search(collection, datetime="2025-07")) == ["07-28"]
    folder = sample.parent / "sample-sentinel-2-l2a" / items[0].id
    assert days(search(folder)) == ["05-14"]
    single = folder / f"{items[0].id}.json"
    assert search(single)[0].assets["red"].href == str(folder / "B04.tif")
    assert days(search([single, collection])) == ["05-14", "06-23", "07-28"]


def test_a_copied_item_finds_the_files_beside_it(sample, tmp_path):
    content = search(sample)[0].to_dict()
    content["links"] = [{"rel": "self", "href": "https://example.org/items/one.json"}]
    content["assets"] = {"red": {"href": "./B04.tif"}}
    (tmp_path / "copy.json").write_text(json.dumps(content))
    item = search(tmp_path / "copy.json")[0]
    assert item.assets["red"].href == str(tmp_path / "B04.tif")


def test_pystacs_own_reader_stays(sample):
    open_catalog(sample)
    assert type(StacIO.default()) is DefaultStacIO


def test_a_broken_link_names_the_file(sample, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(sample.parent, copy)
    item = next(copy.rglob("SAMPLE_20250623_L2A.json"))
    item.unlink()
    with pytest.raises(DataError, match=r"SAMPLE_20250623_L2A\.json does not exist"):
        search(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "not STAC"), ('{"type": "Feature"}', "not a valid STAC object")],
)
def test_what_is_not_stac(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        open_catalog(tmp_path / "x.json")


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_catalog(tmp_path / "x.json")
    with pytest.raises(DataError, match="neither a catalog"):
        open_catalog(tmp_path)


@pytest.mark.parametrize("asked", ["yesterday", "2025-13", "2025/2024", "1/2/3"])
def test_what_is_no_date(asked):
    with pytest.raises(ConfigError):
        interval(asked)


def test_a_month_ends_with_its_last_moment():
    start, end = interval("2024-02")
    assert (start.day, end.day, end.hour) == (1, 29, 23)


@pytest.mark.parametrize("bbox", [(1, 2, 3), (0, 50, 10, 40), (0, 0, 10, 100)])
def test_what_is_no_bbox(sample, bbox):
    with pytest.raises(ConfigError):
        search(sample, bbox=bbox)


def test_a_bbox_across_the_antimeridian():
    east = pystac.Item("e", None, [179, 0, 180, 1], dt.datetime(2024, 1, 1, tzinfo=dt.UTC), {})
    west = pystac.Item("w", None, [-180, 0, -179, 1], dt.datetime(2024, 1, 2, tzinfo=dt.UTC), {})
    here = pystac.Item("h", None, [0, 0, 1, 1], dt.datetime(2024, 1, 3, tzinfo=dt.UTC), {})
    items = pystac.ItemCollection([east, west, here])
    assert [item.id for item in search(items, bbox=(179.5, 0, -179.5, 1))] == ["e", "w"]


@pytest.fixture
def api(sample):
    """A STAC API of the sample on a loopback port; keeps the searches it was asked."""
    items = search(sample)
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def _send(self, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            base = f"http://127.0.0.1:{self.server.server_port}"
            search_link = {"rel": "search", "href": f"{base}/search", "method": "POST"}
            self._send(
                {
                    "type": "Catalog",
                    "id": "api",
                    "stac_version": "1.0.0",
                    "description": "",
                    "conformsTo": [
                        "https://api.stacspec.org/v1.0.0/core",
                        "https://api.stacspec.org/v1.0.0/item-search",
                        "https://api.stacspec.org/v1.0.0/item-search#query",
                    ],
                    "links": [
                        {"rel": "self", "href": base},
                        {**search_link, "type": "application/geo+json"},
                    ],
                }
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            wanted = body.get("ids")
            found = [i.to_dict() for i in reversed(items) if not wanted or i.id in wanted]
            self._send({"type": "FeatureCollection", "features": found, "links": []})

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_api_is_asked(api):
    href, asked = api
    found = search(
        href, bbox=(5, 52, 6, 53), datetime="2025-05/2025-07", query={"eo:cloud_cover": {"lt": 90}}
    )
    assert days(found) == ["05-14", "06-23", "07-28"]
    assert asked[0]["datetime"].startswith("2025-05-01T00:00:00Z/2025-07-31T23:59:59")
    assert asked[0]["query"] == {"eo:cloud_cover": {"lt": 90}}
    assert asked[0]["intersects"]["type"] == "Polygon"
    with pytest.raises(DataError, match="no item of"):
        search(href, ids=["none"])


def test_static_catalogs_are_read_over_http(sample):
    import functools
    from http.server import SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(sample.parent))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        items = search(f"{base}/catalog.json", datetime="2025-06")
        assert items[0].assets["red"].get_absolute_href().startswith(f"{base}/sample-sentinel")
        with pytest.raises(DataError, match=r"gone\.json"):
            open_catalog(f"{base}/gone.json")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_refuses_is_not_a_missing_file():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        with pytest.raises(DataError, match="cannot be read: Cannot connect to host") as caught:
            open_catalog(f"http://127.0.0.1:{taken.getsockname()[1]}/catalog.json?token=hidden")
    assert "the network" in (caught.value.hint or "")
    assert "hidden" not in str(caught.value)


def test_an_address_with_a_query_is_read_as_it_is(api):
    href, _ = api
    assert open_catalog(f"{href}/?token=a*[b]").id == "api"
