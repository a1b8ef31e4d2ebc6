"""What a user of a dCache filesystem does, written once for every library that claims to be one.

Run by ``run_scenarios.py``; nothing of the tests is imported here.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

Options = dict[str, Any]
MEGABYTE = 1 << 20


def dcachefs(options: Options) -> Any:
    from dcachefs import dCacheFileSystem

    return dCacheFileSystem(
        api_url=options["api"],
        webdav_url=options["webdav"],
        token=options["token"],
        skip_instance_cache=True,
    )


def rsdat(options: Options) -> Any:
    from rsdat.storage.dcache import DCacheFileSystem

    # No pauses between tries: what a scenario shows does not depend on them.
    return DCacheFileSystem(
        host=options["webdav"].partition("://")[2],
        webdav=options["webdav"],
        api=options["api"],
        token_file=options["token_file"],
        pause=0.0,
        skip_instance_cache=True,
    )


LIBRARIES = {"dcachefs": dcachefs, "rsdat": rsdat}


def names_are_listed_as_they_are(fs: Any, options: Options) -> None:
    found = sorted(fs.ls("/d", detail=False))
    assert found == sorted(f"/d/{name}" for name in options["names"]), found


def the_largest_listed_file_is_removed(fs: Any, options: Options) -> None:
    largest = max(fs.ls("/d", detail=True), key=lambda entry: entry["size"])
    fs.rm(largest["name"])


def glob_finds_files(fs: Any, options: Options) -> None:
    assert fs.glob("/d/b*") == ["/d/b1", "/d/b2"]


def a_listing_can_be_refreshed(fs: Any, options: Options) -> None:
    assert fs.ls("/d", detail=False, refresh=True) == ["/d/f"]


def mkdir_makes_a_directory(fs: Any, options: Options) -> None:
    fs.mkdir("/new")


def makedirs_makes_directories(fs: Any, options: Options) -> None:
    fs.makedirs("/new/deep/deeper", exist_ok=True)


def a_file_is_copied(fs: Any, options: Options) -> None:
    fs.cp_file("/d/f", "/d/g")


def rm_file_takes_an_address(fs: Any, options: Options) -> None:
    fs.rm_file(options["address"])


def a_read_has_a_start_and_no_end(fs: Any, options: Options) -> None:
    assert fs.cat_file("/d/f", start=2) == b"llo"


def the_protocol_has_a_name(fs: Any, options: Options) -> None:
    protocol = [fs.protocol] if isinstance(fs.protocol, str) else fs.protocol
    assert "dcache" in protocol, protocol


def another_door_leaves_this_one_alone(fs: Any, options: Options) -> None:
    # An instance of one door may refuse the addresses of another.
    with suppress(ValueError), fs.open(options["other"], "rb") as file:
        file.read()
    found = fs.cat_file("/d/f")
    assert found == b"hello", found


def a_wrong_token_is_a_permission_error(fs: Any, options: Options) -> None:
    try:
        fs.info("/d/f")
    except PermissionError:
        return
    raise AssertionError("no error")


def the_pickle_holds_no_token(fs: Any, options: Options) -> None:
    assert options["token"].encode() not in pickle.dumps(fs), "the token is in the pickle"


def the_json_holds_no_token(fs: Any, options: Options) -> None:
    assert options["token"] not in fs.to_json(), "the token is in the JSON"


def the_options_hold_no_token(fs: Any, options: Options) -> None:
    assert options["token"] not in str(fs.storage_options), "the token is in storage_options"


def a_file_is_read(fs: Any, options: Options) -> None:
    found = fs.cat_file("/d/f")
    assert found == b"hello", found


def a_file_is_downloaded(fs: Any, options: Options) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "f"
        fs.get_file("/d/f", str(file))
        assert file.read_bytes() == b"hello" * 1000, "other bytes arrived"


def a_file_is_uploaded(fs: Any, options: Options) -> None:
    fs.pipe_file("/d/f", b"hello")


def the_locality_is_told(fs: Any, options: Options) -> None:
    assert "NEARLINE" in str(fs.locality(["/d/f"]))


def a_file_is_staged(fs: Any, options: Options) -> None:
    fs.stage(["/d/f"])


def reading_from_tape_does_not_hang(fs: Any, options: Options) -> None:
    errors: list[BaseException] = []

    def read() -> None:
        try:
            fs.cat_file("/d/f")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(options["patience"])
    assert not thread.is_alive(), "it hangs"
    assert errors, "no error"
    advice = f"{errors[0]} {getattr(errors[0], 'hint', '')}"
    assert "stage" in advice, advice


def a_directory_is_listed(fs: Any, options: Options) -> None:
    assert len(fs.ls("/d", detail=False)) == options["files"]


def a_directory_is_removed(fs: Any, options: Options) -> None:
    fs.rm("/d", recursive=True)


def details_without_a_creation_time(fs: Any, options: Options) -> None:
    assert fs.info("/d/f")["size"] == 5


def a_large_file_is_written_in_little_memory(fs: Any, options: Options) -> None:
    block = bytes(MEGABYTE)
    with fs.open("/d/warm", "wb") as file:
        file.write(block)
    before = _peak()
    with fs.open("/d/large", "wb") as file:
        for _ in range(256):
            file.write(block)
    used = _peak() - before
    assert used < 96, f"{used} MB for 256 MB"


def _peak() -> int:
    """Megabytes. Not ru_maxrss: it begins with what the parent had when it forked."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
