"""Open files: what is written streams with constant memory, and appears whole or not at all."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback

from rsdat.storage.dcache import writing
from rsdat.storage.dcache.writing import READ
from tests.dcache.door import Door
from tests.storage.waiting import eventually, left

pytestmark = pytest.mark.usefixtures("nothing_late")

BLOCK = 1 << 18


def test_a_small_file_is_one_upload_at_closing(rest_fs: Any, door: Door) -> None:
    door.clear_log()
    with rest_fs.open("/f", "wb") as file:
        file.write(b"a" * 1000)
        file.write(b"b")
        assert not door.exists("/f")
    assert door.read("/f") == b"a" * 1000 + b"b"
    assert [r.method for r in door.requests() if r.method == "PUT"] == ["PUT"]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("step", [1000, BLOCK, 10 * BLOCK])
def test_every_size_and_step_arrives(fs: Any, door: Door, size: int, step: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    with fs.open("/f", "wb", block_size=BLOCK) as file:
        for start in range(0, size, step):
            assert file.write(data[start : min(start + step, size)]) == min(step, size - start)
        assert file.tell() == size
    assert door.read("/f") == data[:size]


def test_an_exclusive_file(fs: Any, door: Door) -> None:
    with fs.open("/f", "xb") as file:
        file.write(b"1")
    with pytest.raises(FileExistsError):
        fs.open("/f", "xb")
    assert door.read("/f") == b"1"


def test_appending_is_refused(fs: Any) -> None:
    with pytest.raises(OSError, match="mode 'ab'"):
        fs.open("/f", "ab")


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_layers_on_top(fs: Any, door: Door, mode: str, compression: str | None) -> None:
    text = "é日本\n" * 100_000
    content = text if mode == "w" else text.encode()
    with fs.open("/f", mode, compression=compression, block_size=BLOCK) as file:
        file.write(content)
    assert door.exists("/f")
    with fs.open("/f", mode.replace("w", "r"), compression=compression) as file:
        assert file.read() == content


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("amount", [10, 4 * BLOCK])
def test_an_exception_in_the_with_block_leaves_nothing(
    fs: Any, door: Door, mode: str, compression: str | None, amount: int
) -> None:
    data = bytes(range(256)) * (amount // 256 + 1)
    content = data.decode("latin-1") if mode == "w" else data

    def fail() -> None:
        with fs.open("/f", mode, compression=compression, block_size=BLOCK) as file:
            file.write(content)
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        fail()
    assert left(door.paths) == []


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_exception_below_fsspec_open_leaves_nothing(
    door: Door, token_file: Any, mode: str
) -> None:
    def fail() -> None:
        with fsspec.open(
            "dcache://door/f", mode, webdav=door.webdav, api=False, token_file=str(token_file)
        ) as file:
            file.write("x" if mode == "w" else b"x")
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        fail()
    assert left(door.paths) == []


def test_a_file_that_nobody_closes_is_discarded_with_a_warning(fs: Any, door: Door) -> None:
    file = fs.open("/f", "wb", block_size=BLOCK)
    file.write(b"x" * (BLOCK * 3))
    assert eventually(door.paths)  # a door that is slow would show it after the end
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        del file
        gc.collect()
    # What earlier tests have left, and other threads, may warn of their own.
    ours = [one.category for one in seen if "/f was not closed" in str(one.message)]
    assert ours == [ResourceWarning]
    # The abort runs in the filesystem's loop, and is not waited for.
    assert left(door.paths) == []


@pytest.mark.parametrize("tls", [None, "good"])
def test_what_waits_in_a_slow_connection_is_not_overwritten(
    make_fs: Callable[..., Any],
    make_door: Callable[..., Door],
    tmp_path: Path,
    tls: str | None,
) -> None:
    """A file's blocks lie in a few buffers that are used again."""
    door = make_door(tls=tls, pools=() if tls else ("127.0.0.2",))
    authority = tmp_path / "ca.pem"
    authority.write_bytes(door.authority.pem if door.authority else b"")
    data = os.urandom(9 * READ + 77)
    (tmp_path / "source").write_bytes(data)
    fs = make_fs(door, **({"ca_file": str(authority)} if tls else {}))
    fs.client.ignores_expect = bool(tls)  # The door itself takes it, over TLS.
    door.fault("slow", "/f", value=0.001, times=None)
    fs.put_file(str(tmp_path / "source"), "/f")
    assert door.read("/f") == data


def test_a_file_that_changes_its_size_meanwhile_is_refused(
    fs: Any, door: Door, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(4 * READ))
    told: list[int] = []

    class Shortening(Callback):
        def absolute_update(self, value: int) -> None:
            told.append(value)
            os.truncate(source, 2 * READ)

    with pytest.raises(OSError, match="changed its size"):
        fs.put_file(str(source), "/f", callback=Shortening())
    assert told
    assert left(door.paths) == []


def test_dcache_is_asked_first_however_slow_it_is(
    rest_fs: Any, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CONTINUE_SECONDS", 0.05)
    rest_fs.ls("/")
    door.options.latency = 0.5
    door.clear_log()
    data = os.urandom(3 * BLOCK)
    with rest_fs.open("/missing/f", "wb", block_size=BLOCK) as file:
        file.write(data)
    assert door.read("/missing/f") == data
    assert not rest_fs.client.ignores_expect
    # Refused, as the directory is missing; and sent on to a pool.
    asked = [r for r in door.requests("webdav") if r.method == "PUT"]
    assert len(asked) == 2
    assert not any(r.received for r in asked)


def test_a_wrong_announced_size_is_an_error(fs: Any, door: Door) -> None:
    def write() -> None:
        with fs.open("/f", "wb", block_size=BLOCK, size=10 * BLOCK) as file:
            file.write(b"x" * (BLOCK * 3))

    with pytest.raises(OSError, match="786432 bytes were written, and 2621440 announced"):
        write()
    assert left(door.paths) == []


PROGRAM = """
import resource, sys, fsspec
webdav, api, token, size = sys.argv[1], sys.argv[2] or False, sys.argv[3], int(sys.argv[4])
fs = fsspec.filesystem("dcache", webdav=webdav, api=api, token_file=token)
fs.pipe_file("/warm", b"x" * (6 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
block = bytes(1 << 20)
with fs.open("/f", "wb") as file:
    for _ in range(size >> 20):
        file.write(block)
fs.get_file("/f", sys.argv[5])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("rest", [True, False])
def test_memory_does_not_grow_with_the_file(
    make_door: Callable[..., Door], token_file: Any, tmp_path: Any, rest: bool
) -> None:
    door = make_door(storage="disk", md5=False)
    size = 100 << 20
    api = f"{door.rest}/api/v1" if rest else ""
    argv = [sys.executable, "-c", PROGRAM, door.webdav, api, str(token_file), str(size)]
    done = subprocess.run([*argv, str(tmp_path / "back")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert door.entry("/f").size == size == (tmp_path / "back").stat().st_size
    assert int(done.stdout) < 48 * 1024, f"{done.stdout} kB more for a file of 100 MB"
