"""What can be opened, wherever it lies: lines of items, and catalogs on every kind of server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from rsdat.catalog import make_catalog, open_catalog, search
from rsdat.catalog.adding import add_to_catalog
from rsdat.catalog.hrefs import joined, relative
from rsdat.catalog.indexing import make_index
from rsdat.catalog.opening import ItemFile
from rsdat.catalog.updating import update_catalog
from rsdat.errors import DataError
from rsdat.storage import storage_options
from tests.catalog.catalogs import item, raster
from tests.storage.secrets import Person, person

if TYPE_CHECKING:
    from tests.dcache.door import Door
    from tests.servers.programs import Server

__all__ = ["person"]


def test_items_on_lines(tmp_path):
    lines = [json.dumps(item(f"i{n}", day=n + 1, cover=n)) for n in range(4)]
    file = tmp_path / "items.ndjson"
    file.write_text("\n".join([lines[0], "", *lines[1:]]) + "\n")
    opened = open_catalog(file)
    assert isinstance(opened, ItemFile)
    assert [one.id for one in opened.get_items()] == ["i0", "i1", "i2", "i3"]
    found = search(file, query="cover >= 2")
    assert found[0].assets["red"].href == str(tmp_path / "red.tif")


def test_a_line_that_is_wrong_is_named_by_its_number(tmp_path):
    file = tmp_path / "items.ndjson"
    file.write_text(json.dumps(item("a")) + "\n{\n" + json.dumps(item("b")) + "\n")
    with pytest.raises(DataError, match=r"items\.ndjson:2 is not JSON"):
        search(file)
    with pytest.warns(UserWarning, match=r"items\.ndjson:2 is not JSON"):
        assert len(search(file, on_error="skip")) == 2


@pytest.mark.parametrize(
    ("base", "href", "found"),
    [
        ("/a/b/c.json", "./d.tif", "/a/b/d.tif"),
        ("/a/b/c.json", "../d.tif", "/a/d.tif"),
        ("/a/b/c.json", "/x/d.tif", "/x/d.tif"),
        ("/a/b/c.json", "file:///x/d%20e.tif", "/x/d e.tif"),
        ("/a/b/c.json", "s3://bucket/d.tif", "s3://bucket/d.tif"),
        ("https://h:1/a/c.json?token=1", "../d e.tif", "https://h:1/d e.tif"),
        ("https://h/a/c.json", "/x/d.tif", "https://h/x/d.tif"),
        ("s3://bucket/a/c.json", "../d#1.tif", "s3://bucket/d#1.tif"),
        ("dcache://h/a b/c?.json", "./d+%20.tif", "dcache://h/a b/d+%20.tif"),
    ],
)
def test_links(base, href, found):
    assert joined(base, href) == found


@pytest.mark.parametrize(
    ("href", "base", "found"),
    [
        ("/a/b/d.tif", "/a/b/c.json", "./d.tif"),
        ("/a/d.tif", "/a/b/c.json", "../d.tif"),
        ("s3://bucket/x/d.tif", "s3://bucket/a/c.json", "../x/d.tif"),
        ("s3://other/x/d.tif", "s3://bucket/a/c.json", "s3://other/x/d.tif"),
        ("https://h/a/d.tif", "/a/c.json", "https://h/a/d.tif"),
        ("dcache://h/a/d #1.tif", "dcache://h/a/c.json", "./d #1.tif"),
    ],
)
def test_relative_names(href, base, found):
    assert relative(href, base) == found
    assert joined(base, found) == href


def everything_at(place: str, put: Callable[[str, bytes], Any], tmp_path: Path) -> None:
    """Make, extend, index and search a catalog of files that lie on a server."""
    for day in (1, 2):
        for band in ("B04", "B08"):
            file = raster(tmp_path / "x.tif", origin=(500_000 + 10_000 * day, 5_700_000))
            put(f"scenes/s_2024050{day} é_{band}.tif", file.read_bytes())
    made = make_catalog(f"{place}/scenes", f"{place}/catalog", collection="c")
    assert (made.items, made.assets, made.skipped) == (2, 4, [])
    catalog = f"{place}/catalog/catalog.json"
    found = search(catalog, datetime="2024-05-02")[0]
    assert found.assets["red"].href == f"{place}/scenes/s_20240502 é_B04.tif"
    assert found.properties["proj:code"] == "EPSG:32631"
    assert found.get_collection().id == "c"
    put("more/s_20240503_B04.tif", (tmp_path / "x.tif").read_bytes())
    assert add_to_catalog(f"{place}/catalog", f"{place}/more").items == 1
    index, count = make_index(open_catalog(f"{place}/catalog"))
    assert (index, count) == (f"{place}/catalog/catalog.parquet", 3)
    assert [one.datetime.day for one in search(f"{place}/catalog", sortby="-datetime")] == [3, 2, 1]
    assert update_catalog(f"{place}/catalog").items == 0
    # Of another size: servers tell when a file was written by the second, and this is the same one.
    put("scenes/s_20240501 é_B04.tif", raster(tmp_path / "y.tif", count=2).read_bytes())
    assert update_catalog(f"{place}/catalog").items == 1


def test_on_a_door(door: Door, person: Person, tmp_path: Path):
    host = door.webdav.removeprefix("http://")
    place = f"dav://{host}/data"
    person.secret("token", door.token)
    person.credentials(**{host: {"token_file": "~/token"}})

    def put(name: str, content: bytes) -> None:
        filesystem, path = fsspec.url_to_fs(f"{place}/{name}", **storage_options(place))
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.pipe_file(path, content)

    everything_at(place, put, tmp_path)
    person.credentials()
    with pytest.raises(PermissionError, match="wants a credential"):
        search(f"{place}/catalog/catalog.json")


def test_in_a_bucket(s3_server: Server, person: Person, tmp_path: Path):
    person.secret("keys", "[a]\naws_access_key_id = a\naws_secret_access_key = hidden\n")
    entry = {"profile": "a", "credentials_file": "~/keys", "endpoint": s3_server.url}
    person.credentials(**{"s3://pictures": {**entry, "region": "eu-west-1"}})
    place = "s3://pictures"
    filesystem, _ = fsspec.url_to_fs(place, **storage_options(place))
    filesystem.mkdir("pictures")

    def put(name: str, content: bytes) -> None:
        filesystem.pipe_file(f"pictures/{name}", content)

    everything_at(place, put, tmp_path)
