"""The release of dcachefs on PyPI and rsdat, doing the same at the same door.

Each line of the table is a fault of dcachefs 0.2.0: it fails there, and passes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dcache import scenarios
from tests.dcache.door import Door
from tests.dcache.elsewhere import Case, Elsewhere, compared, token_file

NAMES = ["a b", "f 1+#.txt", "x?y.bin", "50%25", "q&a", "é", "日本"]


def nothing(door: Door) -> None:
    door.put("/d/f", b"hello")


def many_names(door: Door) -> None:
    for name in NAMES:
        door.put(f"/d/{name}")


def two_sizes(door: Door) -> None:
    door.put("/d/x", b"small")
    door.put("/d/x?y.bin", bytes(100))


def three_files(door: Door) -> None:
    for name in ("a", "b1", "b2"):
        door.put(f"/d/{name}")


def thirty_files(door: Door) -> None:
    for number in range(30):
        door.put(f"/d/{number:02}", b"1")
    door.options.latency = 0.02


def on_tape(door: Door) -> None:
    door.put("/d/f", b"hello")
    door.to_tape("/d/f")
    door.state.tape.delay = 0


def on_slow_tape(door: Door) -> None:
    door.put("/d/f", b"hello")
    door.to_tape("/d/f")


def in_trouble(door: Door) -> None:
    nothing(door)
    door.fault("status", "/d/f", origin="webdav", value=503, times=2)


def resetting(door: Door) -> None:
    nothing(door)
    # aiohttp itself asks once again on a fresh connection.
    door.fault("reset", "/d/f", origin="webdav", times=3)


def truncating(door: Door) -> None:
    nothing(door)
    door.fault("truncate", "/d/f", value=3)


def corrupting(door: Door) -> None:
    door.put("/d/f", b"hello" * 1000)
    door.fault("corrupt", "/d/f", value=7)


def corrupting_uploads(door: Door) -> None:
    door.mkdir("/d")
    door.fault("corrupt", "/d/f*")


def without_creation_time(door: Door) -> None:
    nothing(door)
    door.options.omit = ("creationTime",)


def counting(door: Door) -> None:
    door.mkdir("/d")
    door.options.storage = "sink"


def without_token(door: Door) -> None:
    nothing(door)
    door.forget(door.token)


def only_the_largest_is_gone(door: Door) -> bool:
    return door.paths() == ["/d/", "/d/x"]


CASES = [
    Case(scenarios.names_are_listed_as_they_are, many_names, "%20"),
    Case(scenarios.the_largest_listed_file_is_removed, two_sizes, "door", only_the_largest_is_gone),
    Case(scenarios.glob_finds_files, three_files, "TypeError"),
    Case(scenarios.a_listing_can_be_refreshed, nothing, "TypeError"),
    Case(scenarios.mkdir_makes_a_directory, nothing, "door", lambda d: d.exists("/new")),
    Case(scenarios.makedirs_makes_directories, nothing, "door",
         lambda d: d.exists("/new/deep/deeper")),
    Case(scenarios.a_file_is_copied, nothing, "NotImplementedError",
         lambda d: d.read("/d/g") == b"hello"),
    Case(scenarios.rm_file_takes_an_address, nothing, "FileNotFoundError",
         lambda d: not d.exists("/d/f")),
    Case(scenarios.a_read_has_a_start_and_no_end, nothing, "ValueError"),
    Case(scenarios.the_protocol_has_a_name, nothing, "abstract"),
    Case(scenarios.another_door_leaves_this_one_alone, nothing, "b'other'"),
    Case(scenarios.a_wrong_token_is_a_permission_error, without_token, "ClientResponseError"),
    Case(scenarios.the_pickle_holds_no_token, nothing, "the token is in the pickle"),
    Case(scenarios.the_json_holds_no_token, nothing, "the token is in the JSON"),
    Case(scenarios.the_options_hold_no_token, nothing, "the token is in storage_options"),
    Case(scenarios.a_file_is_read, in_trouble, "503"),
    Case(scenarios.a_file_is_read, resetting, "Error"),
    Case(scenarios.a_file_is_read, truncating, "ClientPayloadError"),
    Case(scenarios.a_file_is_downloaded, corrupting, "other bytes arrived"),
    Case(scenarios.a_file_is_uploaded, corrupting_uploads, "door",
         lambda d: d.read("/d/f") == b"hello"),
    Case(scenarios.the_locality_is_told, on_tape, "AttributeError"),
    Case(scenarios.a_file_is_staged, on_tape, "AttributeError",
         lambda d: d.entry("/d/f").on_disk),
    Case(scenarios.reading_from_tape_does_not_hang, on_slow_tape, "it hangs"),
    Case(scenarios.a_directory_is_listed, thirty_files, "door",
         lambda d: any("limit=" in request.query for request in d.log)),
    Case(scenarios.a_directory_is_removed, thirty_files, "door",
         lambda d: d.most_active > 1 and not d.exists("/d")),
    Case(scenarios.details_without_a_creation_time, without_creation_time, "TypeError"),
    Case(scenarios.a_large_file_is_written_in_little_memory, counting, "MB for 256 MB"),
]  # fmt: skip


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Elsewhere]]:
    log = tmp_path_factory.mktemp("comparison")
    with compared("dcachefs", scenarios.__file__, log) as found:
        yield found


@pytest.fixture
def run(
    processes: dict[str, Elsewhere], make_door: Callable[..., Door], tmp_path: Path
) -> Callable[[str, Case], str | None]:
    """Prepare a door, run a case with a library there, and say the error it ended in."""

    def run(library: str, case: Case) -> str | None:
        door, other = make_door(), make_door()
        case.prepare(door)
        other.put("/d/f", b"other")
        token = token_file(door, tmp_path)
        scheme = "http" if library == "dcachefs" else "dcache"
        netloc = door.webdav.partition("://")[2]
        other_netloc = other.webdav.partition("://")[2]
        options = {
            "api": f"{door.rest}/api/v1",
            "webdav": door.webdav,
            "token": door.token,
            "token_file": str(token),
            "names": NAMES,
            "files": 30,
            "address": "dcache:///d/f" if library == "dcachefs" else f"dcache://{netloc}/d/f",
            "other": f"{scheme}://{other_netloc}/d/f",
            # Long enough here for the slowest machine; there, it never ends.
            "patience": 1 if library == "dcachefs" else 60,
        }
        return processes[library].fault(case, door, options)

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fails_with_dcachefs(run: Callable[[str, Case], str | None], case: Case) -> None:
    error = run("dcachefs", case)
    assert error is not None, "dcachefs passes: the table is out of date"
    assert case.fault in error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_passes_with_rsdat(run: Callable[[str, Case], str | None], case: Case) -> None:
    assert run("rsdat", case) is None
