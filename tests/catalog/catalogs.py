"""Catalogs and raster files for the tests, written as plain files."""

from __future__ import annotations

import functools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin


def item(name: str, x: float = 5.0, day: int = 1, **properties: Any) -> dict[str, Any]:
    """An item one degree wide, of a day in May 2024."""
    ring = [[x, 50], [x + 1, 50], [x + 1, 51], [x, 51], [x, 50]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [x, 50, x + 1, 51],
        "properties": {"datetime": f"2024-05-{day:02d}T10:00:00Z", **properties},
        "links": [],
        "assets": {"red": {"href": "./red.tif", "bands": [{"name": "B04"}]}},
        "collection": "c",
    }


def write_catalog(directory: Path, items: list[dict[str, Any]]) -> Path:
    """A catalog with one collection, an item in a folder each; its ``catalog.json``."""
    home = directory / "c"
    links = []
    for content in items:
        up = [{"rel": "root", "href": "../../catalog.json"}]
        up += [{"rel": rel, "href": "../collection.json"} for rel in ("parent", "collection")]
        write(home / content["id"] / "item.json", {**content, "links": up})
        links.append({"rel": "item", "href": f"./{content['id']}/item.json"})
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    top = {"stac_version": "1.1.0", "description": "d"}
    up = [{"rel": rel, "href": "../catalog.json"} for rel in ("root", "parent")]
    collection = {"type": "Collection", "id": "c", "license": "other", "extent": extent, **top}
    write(home / "collection.json", {**collection, "links": [*up, *links]})
    child = {"rel": "child", "href": "./c/collection.json"}
    return write(
        directory / "catalog.json", {"type": "Catalog", "id": "top", **top, "links": [child]}
    )


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def raster(path: Path, **options: Any) -> Path:
    """A file of 32 by 16 pixels of 10 m."""
    origin = options.pop("origin", (500_000, 5_700_000))
    count = options.pop("count", 1)
    tags = options.pop("tags", {})
    descriptions = options.pop("descriptions", ())
    scale = options.pop("scale", None)
    profile = {
        "driver": "GTiff",
        "width": 32,
        "height": 16,
        "count": count,
        "dtype": "uint16",
        "crs": "EPSG:32631",
        "transform": from_origin(*origin, 10, 10),
        "nodata": 0,
        **options,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.ones((count, 16, 32), profile["dtype"]))
        out.update_tags(**tags)
        for number, text in enumerate(descriptions, 1):
            out.set_band_description(number, text)
        if scale:
            out.scales, out.offsets = [scale[0]] * count, [scale[1]] * count
    return path


@contextmanager
def served(
    directory: Path, before: Callable[[str], object] = lambda path: None, *, port: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """A directory over HTTP, and the paths that were asked for; ``before`` sees each of them.

    It sees those of HEAD requests, too. Afterwards no connection that a client keeps is served.
    """
    asked: list[str] = []
    connections: list[socket.socket] = []

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(self.request)
            super().setup()

        def do_GET(self) -> None:
            asked.append(self.path)
            before(self.path)
            super().do_GET()

        def do_HEAD(self) -> None:
            before(self.path)
            super().do_HEAD()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
