"""Opening, walking and searching a static catalog, beside plain pystac, in one run.

    .venv/bin/python benchmarks/catalogs.py [ITEMS] [--remote]

Each row is a process of its own: seconds of the work, without the imports, and the peak of the
process's memory with them. `--remote` reads over HTTP from a server that waits 20 ms before each
answer; pystac asks for one file after the other, and is left out there, as is the index: this
server gives no ranges of files.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LATENCY = 0.02
BOX = (0.0, 0.0, 20.0, 20.0)
COVER = 30
BANDS = ["coastal", "blue", "green", "red", "nir", "nir08", "swir16", "swir22", "scl", "aot"]

PYSTAC = """
import pystac
from shapely.geometry import box, shape
catalog = pystac.Catalog.from_file(PLACE)
area = box(*BOX)
"""
RSDAT = """
import rsdat.catalog
from rsdat.catalog.indexing import make_index
from rsdat.catalog.walking import walk
"""
PROGRAMS = {
    "pystac: open": (
        "import pystac",
        "count = bool(pystac.Catalog.from_file(PLACE))",
    ),
    "pystac: walk": (
        PYSTAC,
        "count = sum(1 for item in catalog.get_items(recursive=True))",
    ),
    "pystac: search": (
        PYSTAC,
        "count = sum(1 for item in catalog.get_items(recursive=True)"
        " if item.properties['eo:cloud_cover'] < COVER and shape(item.geometry).intersects(area))",
    ),
    "rsdat: open": (RSDAT, "count = bool(rsdat.catalog.open_catalog(PLACE))"),
    "rsdat: walk": (RSDAT, "count = sum(1 for _ in walk(rsdat.catalog.open_catalog(PLACE)))"),
    "rsdat: search": (
        RSDAT,
        "count = len(rsdat.catalog.search(PLACE, bbox=BOX, query=f'eo:cloud_cover < {COVER}'))",
    ),
    "rsdat: index": (RSDAT, "_, count = make_index(rsdat.catalog.open_catalog(PLACE))"),
    "rsdat: search with the index": (
        RSDAT + "import pyarrow.dataset, pyarrow.parquet",
        "count = len(rsdat.catalog.search(PLACE, bbox=BOX, query=f'eo:cloud_cover < {COVER}'))",
    ),
}
MEASURED = """
import resource, time, json
PLACE, BOX, COVER = {place!r}, {box!r}, {cover!r}
{before}
began = time.perf_counter()
{work}
seconds = time.perf_counter() - began
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, count]))
"""


class Slow(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body in one packet: apart, they would wait for one another's acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        time.sleep(LATENCY)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def make(directory: Path, count: int) -> Path:
    """A catalog in the form of an archive of Sentinel-2: one collection, ten assets an item."""
    top = {"stac_version": "1.1.0", "description": "invented"}
    links = []
    for number in range(count):
        item = invented(number)
        path = directory / "c" / item["id"] / f"{item['id']}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{item['id']}/{item['id']}.json"})
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    collection = {"type": "Collection", "id": "c", "license": "other", "extent": extent, **top}
    (directory / "c" / "collection.json").write_text(json.dumps({**collection, "links": links}))
    child = {"rel": "child", "href": "./c/collection.json"}
    catalog = directory / "catalog.json"
    catalog.write_text(json.dumps({"type": "Catalog", "id": "top", **top, "links": [child]}))
    return catalog


def invented(number: int) -> dict:
    x, y = (number % 100) * 3.5 - 179, (number // 100) % 100 * 1.5 - 75
    ring = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1], [x, y]]
    moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    grid = {"proj:shape": [10980, 10980], "proj:transform": [10, 0, 6e5, 0, -10, 5.7e6]}
    assets = {
        name: {
            "href": f"./{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "bands": [{"name": name, "eo:common_name": name, "data_type": "uint16", "nodata": 0}],
            "file:size": 100_000_000 + number,
            **grid,
        }
        for name in BANDS
    }
    properties = {"datetime": moment.isoformat(), "platform": "sentinel-2a", "gsd": 10}
    properties |= {"eo:cloud_cover": number * 37 % 100, "proj:code": "EPSG:32631"}
    links = [{"rel": "root", "href": "../../catalog.json"}]
    links += [{"rel": rel, "href": "../collection.json"} for rel in ("parent", "collection")]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"scene-{number:06d}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [x, y, x + 1, y + 1],
        "properties": properties,
        "links": links,
        "assets": assets,
        "collection": "c",
    }


def measure(name: str, place: str) -> tuple[float, float, int]:
    before, work = PROGRAMS[name]
    program = MEASURED.format(place=place, box=BOX, cover=COVER, before=before, work=work)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}:\n{done.stderr}")
    seconds, memory, count = json.loads(done.stdout)
    return seconds, memory, count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("items", type=int, nargs="?", default=10_000)
    parser.add_argument("--remote", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsdat-benchmark-") as directory:
        catalog = make(Path(directory), given.items)
        handler = functools.partial(Slow, directory=directory)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = "over HTTP, 20 ms" if given.remote else "local"
        print(f"{given.items} items, {where}\n")
        print("| task | seconds | peak MB | found |\n|---|---|---|---|")
        for name in PROGRAMS:
            if given.remote and (name.startswith("pystac") or "index" in name):
                continue
            address = f"http://127.0.0.1:{server.server_port}/catalog.json"
            seconds, memory, count = measure(name, address if given.remote else str(catalog))
            print(f"| {name} | {seconds:.2f} | {memory:.0f} | {count} |", flush=True)
        server.shutdown()


if __name__ == "__main__":
    main()
