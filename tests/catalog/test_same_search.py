"""One search, one answer: a static catalog, its index, files of items, and a real STAC API."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rsdat.catalog import open_catalog, search
from rsdat.catalog.indexing import make_index
from rsdat.errors import DataError
from tests.catalog.catalogs import item, write

if TYPE_CHECKING:
    from tests.servers.stac_api import StacApi

EXTENT = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}


def items(first: str, second: str) -> list[dict[str, Any]]:
    """Ten items of two collections: crossings, spans of time, properties that some lack."""
    cover = "eo:cloud_cover"
    found = [
        item("a", x=5, day=1, **{cover: 0}, platform="sentinel-2a", orbit=8, tags=["x", "y"]),
        item("b", x=6, day=2, **{cover: 12.5}, platform="sentinel-2b", orbit=-8, tags=["y"]),
        item("c", x=7, day=3, **{cover: 20}, platform="Sentinel-2A", place="Ålesund", tags=[]),
        item("d", x=8, day=4, **{cover: 100}, platform="landsat-8", place="L'Aquila", ok=True),
        item("e", x=9, day=5, platform="landsat_9", place="50% wet", orbit=8, ok=False),
        item("f", x=10, day=6, **{cover: 20}, platform="sentinel-2b", inner={"deep": 3}),
        item(
            "g", x=5, day=7, **{cover: 35}, platform="sentinel-2a", created="2024-06-01T00:00:00Z"
        ),
        item("across", x=5, day=8, **{cover: 50}, platform="sentinel-2a"),
        item("west", x=-180, day=9, **{cover: 60}, platform="landsat-8"),
        item("long", x=5.5, day=1, **{cover: 7}, platform="sentinel-1a"),
    ]
    east = [[179, 50], [180, 50], [180, 51], [179, 51], [179, 50]]
    west = [[-180, 50], [-179, 50], [-179, 51], [-180, 51], [-180, 50]]
    across = {"type": "MultiPolygon", "coordinates": [[east], [west]]}
    found[7] |= {"geometry": across, "bbox": [179, 50, -179, 51]}
    span = {"datetime": None, "start_datetime": "2024-05-01T00:00:00Z",
            "end_datetime": "2024-05-20T00:00:00Z"}  # fmt: skip
    found[9]["properties"] |= span
    for number, one in enumerate(found):
        one["collection"] = first if number % 3 else second
    return found


@pytest.fixture(scope="module")
def names() -> tuple[str, str]:
    mark = secrets.token_hex(4)
    return f"one-{mark}", f"two-{mark}"


def static(directory: Path, everything: list[dict[str, Any]]) -> Path:
    """A static catalog with a collection for each that the items name."""
    top = {"stac_version": "1.1.0", "description": "d"}
    children = []
    for name in sorted({one["collection"] for one in everything}):
        links = []
        for one in everything:
            if one["collection"] == name:
                write(directory / name / f"{one['id']}.json", one)
                links.append({"rel": "item", "href": f"./{one['id']}.json"})
        content = {"type": "Collection", "id": name, "license": "other", "extent": EXTENT, **top}
        write(directory / name / "collection.json", {**content, "links": links})
        children.append({"rel": "child", "href": f"./{name}/collection.json"})
    content = {"type": "Catalog", "id": "top", **top, "links": children}
    return write(directory / "catalog.json", content)


@pytest.fixture(scope="module")
def sources(
    names: tuple[str, str], stac_api_server: StacApi, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    everything = items(*names)
    place = tmp_path_factory.mktemp("same")
    found: dict[str, Any] = {
        "static": static(place / "static", everything),
        "indexed": static(place / "indexed", everything),
        "feature collection": write(
            place / "f.json", {"type": "FeatureCollection", "features": everything}
        ),
    }
    parquet, _ = make_index(open_catalog(found["indexed"]))
    found["geoparquet"] = place / "items.parquet"
    found["geoparquet"].write_bytes(Path(parquet).read_bytes())
    found["lines"] = place / "items.ndjson"
    found["lines"].write_text("\n".join(map(json.dumps, everything)))
    for name in names:
        content = {"type": "Collection", "id": name, "stac_version": "1.1.0", "license": "other"}
        content |= {"description": "d", "extent": EXTENT, "links": []}
        stac_api_server.load(content, [one for one in everything if one["collection"] == name])
    found["api"] = open_catalog(stac_api_server.url)
    return found


TRIANGLE = {
    "type": "Polygon",
    "coordinates": [[[5.2, 50.2], [7.5, 50.2], [5.2, 50.9], [5.2, 50.2]]],
}
LESS = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}
PLATFORM = {"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}
NEAR = {"op": "s_intersects", "args": [{"property": "geometry"}, TRIANGLE]}

SEARCHES: list[tuple[dict[str, Any], str]] = [
    # where
    ({}, "long a b c d e f g across west"),
    ({"bbox": (5.9, 50, 7.1, 51)}, "long a b c g"),
    ({"bbox": (6, 51, 7, 52)}, "long a b c g"),
    ({"bbox": (170, 40, -170, 60)}, "across west"),
    ({"bbox": (178, 40, 185, 60)}, "across west"),
    ({"bbox": (5, 50, 0, 6, 51, 100)}, "long a b g"),
    ({"geometry": TRIANGLE}, "long a b c g"),
    ({"geometry": {"type": "Point", "coordinates": [-179.5, 50.5]}}, "across west"),
    ({"geometry": TRIANGLE, "bbox": (7.1, 50, 20, 51)}, "c"),
    # when
    ({"datetime": "2024-05-03"}, "long c"),
    ({"datetime": "2024-05-06/.."}, "long f g across west"),
    ({"datetime": "../2024-05-02"}, "long a b"),
    ({"datetime": "/2024-05-02"}, "long a b"),
    ({"datetime": "../.."}, "long a b c d e f g across west"),
    ({"datetime": "2024-05-10/2024-06"}, "long"),
    ({"datetime": "2024-05-04T10:00:00Z"}, "long d"),
    ({"datetime": "2024-05-04T12:00:00+02:00/2024-05-05T09:59:59Z"}, "long d"),
    ({"datetime": (datetime(2024, 5, 8, tzinfo=UTC), None)}, "long across west"),
    ({"datetime": "2024-05"}, "long a b c d e f g across west"),
    # which
    ({"ids": ["e", "a", "none"]}, "a e"),
    ({"ids": "a", "bbox": (100, 0, 101, 1)}, ""),
    ({"collections": "TWO"}, "long a d g"),
    ({"collections": ["ONE", "TWO"], "ids": ["a", "b"]}, "a b"),
    # CQL2
    ({"query": "eo:cloud_cover < 20"}, "long a b"),
    ({"query": LESS}, "long a b"),
    ({"query": "\"eo:cloud_cover\" <= 20 AND platform <> 'sentinel-2b'"}, "long a c"),
    ({"query": {"op": "and", "args": [LESS, PLATFORM]}}, "a"),
    ({"query": {"op": "or", "args": [LESS, PLATFORM]}}, "long a b g across"),
    ({"query": {"op": "not", "args": [LESS]}}, "c d f g across west"),
    ({"query": "NOT (eo:cloud_cover > 10 OR platform = 'sentinel-1a')"}, "a"),
    ({"query": "eo:cloud_cover BETWEEN 12.5 AND 35"}, "b c f g"),
    ({"query": "eo:cloud_cover NOT BETWEEN 12.5 AND 35"}, "long a d across west"),
    ({"query": "eo:cloud_cover IN (0, 20)"}, "a c f"),
    ({"query": "platform NOT IN ('sentinel-2a', 'sentinel-2b', 'landsat-8')"}, "long c e"),
    ({"query": "eo:cloud_cover IS NULL"}, "e"),
    ({"query": "place IS NOT NULL"}, "c d e"),
    ({"query": "orbit = -8"}, "b"),
    ({"query": "orbit > -9 AND orbit < 0"}, "b"),
    ({"query": "ok = TRUE"}, "d"),
    ({"query": "place = 'L''Aquila'"}, "d"),
    ({"query": "place = 'Ålesund'"}, "c"),
    ({"query": "platform LIKE 'sentinel-2%'"}, "a b f g across"),
    ({"query": "platform LIKE 'landsat__'"}, "d e west"),
    ({"query": "platform NOT LIKE 'sentinel%'"}, "c d e west"),
    ({"query": r"place LIKE '50\% %'"}, "e"),
    ({"query": "CASEI(platform) = CASEI('SENTINEL-2A')"}, "a c g across"),
    ({"query": "eo:cloud_cover + 5 > 54"}, "d across west"),
    ({"query": "id = 'a' OR id = 'b'"}, "a b"),
    ({"query": "collection = 'TWO' AND eo:cloud_cover < 50"}, "long a g"),
    ({"query": "A_CONTAINS(tags, ('x', 'y'))"}, "a"),
    ({"query": "A_OVERLAPS(tags, ('y', 'z'))"}, "a b"),
    ({"query": "datetime > TIMESTAMP('2024-05-07T00:00:00Z')"}, "g across west"),
    ({"query": "datetime >= DATE('2024-05-08')"}, "across west"),
    ({"query": "T_AFTER(datetime, TIMESTAMP('2024-05-08T00:00:00Z'))"}, "across west"),
    ({"query": "created = TIMESTAMP('2024-06-01T00:00:00Z')"}, "g"),
    ({"query": "S_INTERSECTS(geometry, POLYGON((5.2 50.2, 7.5 50.2, 5.2 50.9, 5.2 50.2)))"},
     "long a b c g"),
    ({"query": NEAR}, "long a b c g"),
    ({"query": "S_INTERSECTS(geometry, BBOX(178, 40, 179.5, 60))"}, "across"),
    # STAC's query
    ({"query": {"eo:cloud_cover": {"lt": 20}}}, "long a b"),
    ({"query": {"eo:cloud_cover": {"gte": 20, "lte": 50}, "platform": {"neq": "sentinel-2b"}}},
     "c g across"),
    ({"query": {"platform": {"in": ["landsat-8", "landsat_9"]}}}, "d e west"),
    ({"query": {"platform": {"startsWith": "landsat_"}}}, "e"),
    ({"query": {"platform": {"endsWith": "2a", "contains": "nel"}}}, "a g across"),
    ({"query": {"place": {"contains": "%"}}}, "e"),
    ({"query": {"eo:cloud_cover": {"eq": 0}}}, "a"),
    # order and number
    ({"sortby": "-eo:cloud_cover"}, "d west across g c f b long a e"),
    ({"sortby": "eo:cloud_cover", "limit": 3}, "a long b"),
    ({"sortby": "-eo:cloud_cover", "limit": 3}, "d west across"),
    ({"sortby": "-properties.datetime", "limit": 2}, "west across"),
    ({"sortby": ["-id"], "limit": 2}, "west long"),
    ({"sortby": [{"field": "properties.eo:cloud_cover", "direction": "asc"}], "limit": 2},
     "a long"),
    ({"query": LESS, "sortby": "-eo:cloud_cover", "limit": 1}, "b"),
    # all at once
    ({"bbox": (5, 50, 11, 51), "datetime": "2024-05-02/2024-05-06", "query": "eo:cloud_cover < 90",
      "sortby": "-eo:cloud_cover", "limit": 2}, "c f"),
]  # fmt: skip


def named(value: Any, names: tuple[str, str]) -> Any:
    """A search with the names of the collections in it."""
    text = json.dumps(value, default=str) if not isinstance(value, str) else value
    if "ONE" not in text and "TWO" not in text:
        return value
    if isinstance(value, dict):
        return {key: named(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [named(one, names) for one in value]
    return value.replace("ONE", names[0]).replace("TWO", names[1])


@pytest.mark.filterwarnings(
    "error::UserWarning", "ignore:.*does not offer sorting", "ignore:.*refuses the conditions"
)
@pytest.mark.parametrize(("asked", "expected"), SEARCHES, ids=lambda value: str(value)[:70])
def test_all_kinds_give_the_same_items_in_the_same_order(
    sources: dict[str, Any], names: tuple[str, str], asked: dict[str, Any], expected: str
) -> None:
    asked = named(asked, names)
    asked.setdefault("collections", list(names))  # the API holds those of other tests
    answers = {kind: found(source, asked) for kind, source in sources.items()}
    assert answers == dict.fromkeys(sources, expected)


def found(source: Any, asked: dict[str, Any]) -> str:
    """The ids of a search, in their order."""
    try:
        return " ".join(one.id for one in search(source, **asked))
    except DataError as error:
        return "" if "no item of" in error.message else error.message
