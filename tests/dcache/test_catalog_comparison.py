"""Copying a catalog at the door: what fails with stac2dcache 0.4.0, and passes with rsdat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from pystac.stac_io import DefaultStacIO
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from tests.dcache import catalog_scenarios as scenarios
from tests.dcache.door import Door
from tests.dcache.elsewhere import Case, Elsewhere, compared, token_file


def laid_out(door: Door, address: str) -> None:
    """A catalog of three items with two assets of 4000 bytes each, below ``/src``.

    Parameters
    ----------
    address
        What a library puts before a path of the door.
    """

    class AtDoor(DefaultStacIO):
        def write_text_to_href(self, href: str, txt: str, *_: Any, **__: Any) -> None:
            door.put(href, txt.encode())

    point = {"type": "Point", "coordinates": [5, 52]}
    catalog = pystac.Catalog("catalog", "three items")
    for number in range(3):
        when = datetime(2024, 6, 1 + number)
        item = pystac.Item(f"i{number}", point, [5, 52, 5, 52], when, {})
        for key in ("red", "nir"):
            path = f"src/i{number}/{key}.tif"
            door.put(f"/{path}", f"{number}{key}".encode() * 1000)
            item.add_asset(key, pystac.Asset(f"{address}{path}"))
        catalog.add_item(item)
    catalog.normalize_hrefs("/src")
    catalog.save("SELF_CONTAINED", stac_io=AtDoor())


def without_one_asset(door: Door, address: str) -> None:
    laid_out(door, address)
    door.remove("/src/i1/red.tif")


def in_trouble(door: Door, address: str) -> None:
    laid_out(door, address)
    door.fault("status", "/src/i1/red.tif", origin="webdav", value=503, times=2)


def corrupting(door: Door, address: str) -> None:
    laid_out(door, address)
    door.fault("corrupt", "/src/i1/red.tif", value=99)


def truncating(door: Door, address: str) -> None:
    laid_out(door, address)
    door.fault("truncate", "/src/i1/red.tif", value=1000, times=None)


def truncating_once(door: Door, address: str) -> None:
    laid_out(door, address)
    door.put("/src/i1/red.tif", bytes(8_000_000))
    door.fault("truncate", "/src/i1/red.tif", value=6_000_000)


def with_a_raster(door: Door, address: str) -> None:
    laid_out(door, address)
    profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 1, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)}
    with MemoryFile() as file:
        with file.open(**profile, **tiles, **place) as out:
            out.write(np.arange(1024 * 1024, dtype="uint16").reshape(1, 1024, 1024))
        door.put("/src/i0/red.tif", file.read())


def sent(door: Door, path: str) -> int:
    """Bytes of a file that the pools have sent."""
    return sum(one.sent for one in door.requests("pool", "GET") if one.path == path)


def little_was_sent_twice(door: Door) -> bool:
    # What was on its way when the connection broke is lost.
    return 8_000_000 <= sent(door, "/src/i1/red.tif") <= 8_000_000 + 3_000_000


def a_part_was_sent(door: Door) -> bool:
    return 0 < sent(door, "/src/i0/red.tif") < 500_000


def red_is_there(door: Door) -> bool:
    return all(
        door.exists(f"/dst/i{n}/red.tif")
        and door.read(f"/dst/i{n}/red.tif") == door.read(f"/src/i{n}/red.tif")
        for n in range(3)
    )


def all_is_there(door: Door) -> bool:
    return red_is_there(door) and door.exists("/dst/catalog.json")


def the_rest_is_there(door: Door) -> bool:
    found = {"/dst/catalog.json", "/dst/i0/red.tif", "/dst/i2/red.tif"} <= set(door.paths())
    return found and not door.exists("/dst/i1/red.tif")


def each_was_transferred_once(door: Door) -> bool:
    puts = [request for request in door.requests(method="PUT") if request.status in (200, 201)]
    sent = [request.path for request in puts if ".tif" in request.path]
    return len(sent) == len(set(sent))


CASES = [
    Case(scenarios.a_catalog_is_copied_onto_itself, laid_out, "sizes are {0}"),
    Case(scenarios.a_catalog_is_copied_twice, laid_out, "door", each_was_transferred_once),
    Case(scenarios.two_assets_are_copied_at_once, laid_out, "TypeError"),
    Case(scenarios.a_catalog_is_copied, without_one_asset, "404", the_rest_is_there),
    Case(scenarios.a_catalog_is_copied, in_trouble, "503", red_is_there),
    Case(scenarios.a_catalog_is_copied, corrupting, "door", red_is_there),
    Case(scenarios.nothing_half_written_remains, truncating, "sizes are"),
    Case(scenarios.a_broken_download_is_gone_on_with, truncating_once, "door",
         little_was_sent_twice),
    Case(scenarios.dask_workers_copy, laid_out, "TypeError", red_is_there),
    Case(scenarios.a_raster_is_opened, with_a_raster, "door", a_part_was_sent),
    Case(scenarios.an_unknown_item_is_named, laid_out, "AttributeError"),
    Case(scenarios.pystac_reads_as_before, laid_out, "stac2dcache.stac_io"),
]  # fmt: skip


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Elsewhere]]:
    log = tmp_path_factory.mktemp("comparison")
    with compared("stac2dcache", scenarios.__file__, log) as found:
        yield found


@pytest.fixture
def run(
    processes: dict[str, Elsewhere], make_door: Callable[..., Door], tmp_path: Path
) -> Callable[[str, Case], str | None]:
    """Run a case with a library at a door of its own, and say the error it ended in."""

    def run(library: str, case: Case) -> str | None:
        door = make_door(put_makes_parents=True)
        host = door.webdav.partition("://")[2]
        address = f"dav://{host}/" if library == "rsdat" else "dcache://"
        case.prepare(door, address)
        token = token_file(door, tmp_path)
        api = f"{door.rest}/api/v1"
        known = {"credentials": {f"http://{host}": {"token_file": str(token), "api": api}}}
        (tmp_path / "defaults.yaml").write_text(json.dumps(known))
        options = {
            "api": api,
            "webdav": door.webdav,
            "token": door.token,
            "configuration": str(tmp_path),
            "source": f"{address}src/catalog.json",
            "target": f"{address}dst",
        }
        return processes[library].fault(case, door, options)

    return run


def test_stac2dcache_can_copy_a_catalog_at_all(run: Callable[[str, Case], str | None]) -> None:
    """What fails below does not fail because the door is none that the release knows."""
    case = Case(scenarios.a_catalog_is_copied, laid_out, "", all_is_there)
    assert run("stac2dcache", case) is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fails_with_stac2dcache(run: Callable[[str, Case], str | None], case: Case) -> None:
    error = run("stac2dcache", case)
    assert error is not None, "stac2dcache passes: the table is out of date"
    assert case.fault in error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_passes_with_rsdat(run: Callable[[str, Case], str | None], case: Case) -> None:
    assert run("rsdat", case) is None
