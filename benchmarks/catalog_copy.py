"""Copying a catalog of many small assets from a web server to a dCache door, twice.

    .venv/bin/python benchmarks/catalog_copy.py [ASSETS] [--latency 0.02] [--repeat 3]

rsdat's copy beside stac2dcache 0.4.0, which has the environment of the comparison in tests/dcache
and its default number of processes. Every copy is a process of its own; seconds are those of the
work, without the imports. Web server and door wait before each answer. Requests for assets are
counted at both: `GET` at the web server, `PUT` at the door.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZE = 16_384

RSDAT = """
import time, json
import rsdat.catalog
from rsdat import copy_catalog
began = time.perf_counter()
report = copy_catalog(SOURCE, f"dav://{HOST}/{TARGET}", assets=["red"])
assert not report.failed, report.failed
print(json.dumps(time.perf_counter() - began))
"""
STAC2DCACHE = """
import time, json, os
import fsspec, pystac
import stac2dcache
from dcachefs import dCacheFileSystem
from stac2dcache import utils

if __name__ == "__main__":
    door = dCacheFileSystem(api_url=API, webdav_url=WEBDAV, token=TOKEN, block_size=0)
    io = stac2dcache.configure_stac_io(door)
    began = time.perf_counter()
    catalog = pystac.Catalog.from_file(SOURCE, stac_io=pystac.stac_io.DefaultStacIO())
    for item in catalog.get_all_items():
        for asset in item.assets.values():
            asset.href = asset.get_absolute_href()
    catalog.normalize_hrefs(f"dcache://{TARGET}")
    utils.copy_asset(catalog, "red", update_catalog=True,
                     filesystem_from=fsspec.filesystem("http"), filesystem_to=door)
    catalog.save("SELF_CONTAINED", stac_io=io)
    print(json.dumps(time.perf_counter() - began))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assets", type=int, nargs="?", default=500)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.catalog.catalogs import served
    from tests.servers.environments import python_of

    def wait(path: str) -> None:
        time.sleep(options.latency)

    pythons = {"rsdat": sys.executable, "stac2dcache": str(python_of("comparison"))}
    rows = []
    with tempfile.TemporaryDirectory(prefix="copy-") as directory:
        place = Path(directory)
        lay_out(place / "source", options.assets)
        with served(place / "source", wait) as (address, asked), door(options) as known:
            for repeat in range(options.repeat):
                for library, python in pythons.items():
                    for turn in ("first", "second"):
                        asked.clear()
                        ask(known, "log", "DELETE")
                        seconds = copied(
                            library, python, place, f"{address}/catalog.json", known, repeat
                        )
                        log = json.loads(ask(known, "log"))
                        puts = sum(
                            ".tif" in one["path"]
                            for one in log
                            if one["method"] == "PUT" and one["status"] in (200, 201)
                        )
                        gets = sum(path.endswith(".tif") for path in asked)
                        rows.append((library, turn, seconds, gets, puts))
                        print(*rows[-1], file=sys.stderr, flush=True)
    report(rows, options.assets)


def lay_out(directory: Path, count: int) -> None:
    """A catalog of items with one asset each."""
    links = []
    for number in range(count):
        name = f"i{number:04}"
        folder = directory / name
        folder.mkdir(parents=True)
        (folder / "red.tif").write_bytes(os.urandom(SIZE))
        content = {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": [5, 52, 5, 52],
            "geometry": {"type": "Point", "coordinates": [5, 52]},
            "properties": {"datetime": "2024-06-01T10:00:00Z"},
            "links": [{"rel": "root", "href": "../catalog.json"},
                      {"rel": "parent", "href": "../catalog.json"}],
            "assets": {"red": {"href": "./red.tif", "roles": ["data"]}},
        }  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(content))
        links.append({"rel": "item", "href": f"./{name}/{name}.json"})
    top = {"type": "Catalog", "stac_version": "1.0.0", "id": "top", "description": "d"}
    root = [{"rel": "root", "href": "./catalog.json"}]
    (directory / "catalog.json").write_text(json.dumps({**top, "links": [*root, *links]}))


@contextmanager
def door(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The tests' door as a program; what it says of itself."""
    argv = [sys.executable, "-m", "tests.dcache", "--latency", str(options.latency)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        known: dict[str, Any] = json.loads(process.stdout.readline())
        # As dCache's own door does.
        ask(known, "options", "POST", {"put_makes_parents": True})
        yield known
    finally:
        process.terminate()
        process.wait()


def ask(known: dict[str, Any], name: str, method: str = "GET", body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{known['control']}/{name}", data, method=method)
    with urllib.request.urlopen(request) as answer:
        text: str = answer.read().decode()
        return text


def copied(
    library: str, python: str, place: Path, source: str, known: dict[str, Any], repeat: int
) -> float:
    """Copy once, in a process of its own; the seconds it took."""
    host = known["webdav"].partition("://")[2]
    api = f"{known['rest']}/api/v1"
    names = {
        "SOURCE": source, "HOST": host, "API": api, "WEBDAV": known["webdav"],
        "TOKEN": known["token"], "TARGET": f"{library}{repeat}",
    }  # fmt: skip
    token = place / "token"
    token.touch(mode=0o600)
    token.write_text(known["token"])
    credentials = {f"http://{host}": {"token_file": str(token), "api": api}}
    (place / "defaults.yaml").write_text(json.dumps({"credentials": credentials}))
    program = place / f"copy_{library}.py"
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    program.write_text(head + (RSDAT if library == "rsdat" else STAC2DCACHE))
    environment = {**os.environ, "RSDAT_CONFIG_DIR": str(place)}
    done = subprocess.run(
        [python, program], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{library}: {done.stderr[-3000:]}")
    return float(done.stdout.splitlines()[-1])


def report(rows: list[tuple[str, str, float, int, int]], count: int) -> None:
    print(f"| {count} assets of {SIZE // 1024} kB | run | s, median (least, most) | GET | PUT |")
    print("|---|---|---|---|---|")
    medians = {}
    for library in ("stac2dcache", "rsdat"):
        for turn in ("first", "second"):
            some = [row for row in rows if row[:2] == (library, turn)]
            walls = [row[2] for row in some]
            medians[library, turn] = statistics.median(walls)
            times = f"{medians[library, turn]:.1f} ({min(walls):.1f}, {max(walls):.1f})"
            print(f"| {library} | {turn} | {times} | {some[0][3]} | {some[0][4]} |")
    ratio = medians["stac2dcache", "first"] / medians["rsdat", "first"]
    print(f"\nrsdat is {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
