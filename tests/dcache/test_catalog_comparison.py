"""Faults of stac2dcache 0.4.0 when it copies a catalog at the door: each fails as listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pystac
import pytest
from pystac.stac_io import DefaultStacIO

from tests.dcache import catalog_scenarios as scenarios
from tests.dcache.door import Door
from tests.dcache.elsewhere import Elsewhere, elsewhere
from tests.servers.environments import python_of


def laid_out(door: Door) -> None:
    """A catalog of three items with two assets of 4000 bytes each, below ``/src``."""

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
            door.put(f"/{path}", f"{number}{key[:2]}".encode() * 1000)
            item.add_asset(key, pystac.Asset(f"dcache://{path}"))
        catalog.add_item(item)
    catalog.normalize_hrefs("/src")
    catalog.save("SELF_CONTAINED", stac_io=AtDoor())


def without_one_asset(door: Door) -> None:
    laid_out(door)
    door.remove("/src/i1/red.tif")


def in_trouble(door: Door) -> None:
    laid_out(door)
    door.fault("status", "/src/i1/red.tif", origin="webdav", value=503, times=2)


def corrupting(door: Door) -> None:
    laid_out(door)
    door.fault("corrupt", "/src/i1/red.tif", value=99)


def truncating(door: Door) -> None:
    laid_out(door)
    door.fault("truncate", "/src/i1/red.tif", value=1000, times=None)


def red_is_there(door: Door) -> bool:
    return all(
        door.exists(f"/dst/i{n}/red.tif")
        and door.read(f"/dst/i{n}/red.tif") == door.read(f"/src/i{n}/red.tif")
        for n in range(3)
    )


def the_rest_is_there(door: Door) -> bool:
    found = {"/dst/catalog.json", "/dst/i0/red.tif", "/dst/i2/red.tif"} <= set(door.paths())
    return found and not door.exists("/dst/i1/red.tif")


def each_was_transferred_once(door: Door) -> bool:
    sent = [request.path for request in door.requests(method="PUT") if ".tif" in request.path]
    return len(sent) == len(set(sent))


@dataclass(frozen=True)
class Case:
    """A scenario at a door that was prepared; ``fault``: what stac2dcache fails with."""

    scenario: Callable[[Any, dict[str, Any]], None]
    prepare: Callable[[Door], None]
    fault: str
    #: What has to be true at the door afterwards, whatever the scenario raised.
    after: Callable[[Door], bool] | None = None

    @property
    def name(self) -> str:
        words = self.scenario.__name__.replace("_", " ")
        return f"{words} ({self.prepare.__name__.replace('_', ' ')})"


CASES = [
    Case(scenarios.a_catalog_is_copied_onto_itself, laid_out, "sizes are {0}"),
    Case(scenarios.a_catalog_is_copied_twice, laid_out, "door", each_was_transferred_once),
    Case(scenarios.two_assets_are_copied_at_once, laid_out, "TypeError"),
    Case(scenarios.a_catalog_is_copied, without_one_asset, "door", the_rest_is_there),
    Case(scenarios.a_catalog_is_copied, in_trouble, "door", red_is_there),
    Case(scenarios.a_catalog_is_copied, corrupting, "door", red_is_there),
    Case(scenarios.nothing_half_written_remains, truncating, "sizes are"),
    Case(scenarios.an_unknown_item_is_named, laid_out, "AttributeError"),
    Case(scenarios.pystac_reads_as_before, laid_out, "stac2dcache.stac_io"),
]


@pytest.fixture(scope="module")
def stac2dcache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    log = tmp_path_factory.mktemp("comparison") / "log"
    python = python_of("comparison")
    with elsewhere(python, scenarios.__file__, "stac2dcache", log) as process:
        yield process


def test_a_catalog_can_be_copied_at_all(
    stac2dcache: Elsewhere, make_door: Callable[..., Door]
) -> None:
    """What fails below does not fail because the door is none that the release knows."""
    door = make_door(put_makes_parents=True)
    laid_out(door)
    assert stac2dcache.outcome("a_catalog_is_copied", options(door)) is None
    assert red_is_there(door)
    assert door.exists("/dst/catalog.json")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fails_with_stac2dcache(
    stac2dcache: Elsewhere, make_door: Callable[..., Door], case: Case
) -> None:
    door = make_door(put_makes_parents=True)
    case.prepare(door)
    error = stac2dcache.outcome(case.scenario.__name__, options(door))
    if case.after is not None and not case.after(door):
        error = f"the door does not hold what it should: {error}"
    assert error is not None, "stac2dcache passes: the table is out of date"
    assert case.fault in error


def options(door: Door) -> dict[str, Any]:
    return {
        "api": f"{door.rest}/api/v1",
        "webdav": door.webdav,
        "token": door.token,
        "source": "dcache://src/catalog.json",
        "target": "dcache://dst",
    }
