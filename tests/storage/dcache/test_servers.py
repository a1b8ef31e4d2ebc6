"""WebDAV servers that nobody here wrote: Apache's mod_dav, rclone, XRootD over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest

from tests.servers.programs import Server
from tests.storage.waiting import LONG

NAMES = ["plain.txt", "a b+c.txt", "x?y#z.bin", "50%&more.txt", "é日本.txt", "[1]*.txt"]


@pytest.fixture
def open_server() -> Iterator[Callable[..., Any]]:
    """A filesystem whose root is a directory of a server."""
    made = []

    def make(server: Server, **options: Any) -> Any:
        given = {"pause": 0.01, "retries": 3, "timeout": LONG, "skip_instance_cache": True}
        made.append(fsspec.filesystem("dav", webdav=server.url, **given, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def fs(webdav_server: Server, open_server: Callable[..., Any]) -> Any:
    return open_server(webdav_server)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_every_operation(fs: Any, webdav_server: Server, name: str) -> None:
    path, moved, copied = f"/d/{name}", f"/d/moved {name}", f"/e/copy {name}"
    if "xrootd" in str(webdav_server.root) and "?" in name:
        # Its rename would cut the name; refused, and nothing of another name appears.
        with pytest.raises(OSError, match="cannot give"):
            fs.pipe_file(path, b"content")
        assert fs.find("/") == []
        return
    fs.pipe_file(path, b"content")
    assert (webdav_server.root / "d" / name).read_bytes() == b"content"
    assert fs.ls("/d", detail=False) == [path]
    assert fs.info(path)["size"] == 7
    assert fs.cat(path) == b"content"
    assert fs.cat_file(path, 2, 5) == b"nte"
    fs.mv(path, moved)
    fs.cp(moved, copied)
    assert fs.find("/") == [moved, copied]
    fs.rm(moved)
    fs.rm("/e", recursive=True)
    assert fs.find("/") == []


def test_a_tree_is_made_found_and_removed(fs: Any) -> None:
    fs.pipe({f"/t/{a}/{b}": b"x" * b for a in range(3) for b in range(5)})
    assert fs.du("/t") == 3 * sum(range(5))
    assert len(fs.glob("/t/*/[24]")) == 6
    with pytest.raises(FileExistsError):
        fs.mkdir("/t/1")
    fs.makedirs("/t/1", exist_ok=True)
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("/t/1")
    with pytest.raises(OSError, match="not empty"):
        fs.rm("/t/1")
    assert fs.exists("/t/1/4")
    fs.rm("/t", recursive=True)
    assert not fs.exists("/t")


def test_what_is_missing_is_not_found(fs: Any) -> None:
    for call in (fs.info, fs.ls, fs.cat, fs.rm, fs.rm_file):
        with pytest.raises(FileNotFoundError):
            call("/missing")
    with pytest.raises(FileNotFoundError):
        fs.mv("/missing", "/other")
    assert fs.find("/missing") == []


def test_a_directory_is_no_file(fs: Any) -> None:
    fs.pipe_file("/d/f", b"x")
    with pytest.raises((IsADirectoryError, FileNotFoundError)):
        fs.cat_file("/d")  # Apache without mod_dir says "not found"
    with pytest.raises(IsADirectoryError):
        fs.open("/d")
    with pytest.raises(IsADirectoryError):
        fs.pipe_file("/d", b"x")
    fs.pipe_file("/g", b"y")
    with pytest.raises(IsADirectoryError):
        _move(fs, "/g", "/d")
    assert fs.cat("/d/f") == b"x"


def _move(fs: Any, source: str, target: str) -> None:
    fsspec.asyn.sync(fs.loop, fs._mv_file, source, target)


def test_files_are_replaced_by_writing_copying_and_moving(fs: Any) -> None:
    fs.pipe({"/a": b"1", "/b": b"22", "/c": b"333"})
    fs.pipe_file("/a", b"new")
    assert fs.cat("/a") == b"new"
    fs.cp("/a", "/b")
    fs.mv("/c", "/a")
    assert (fs.cat("/b"), fs.cat("/a"), fs.exists("/c")) == (b"new", b"333", False)


def test_a_large_file_streams_both_ways(fs: Any, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 9 + b"end"
    with fs.open("/deep/er/large", "wb", size=len(data)) as file:
        for start in range(0, len(data), 700_001):
            file.write(data[start : start + 700_001])
    fs.get_file("/deep/er/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    fs.put_file(str(tmp_path / "back"), "/again")
    with fs.open("/again") as file:
        file.seek(-3, 2)
        assert file.read() == b"end"
    assert fs.cat_ranges(["/again"] * 2, [0, 5_000_000], [10, 5_000_010]) == [
        data[:10],
        data[5_000_000:5_000_010],
    ]
    assert [name for name in fs.find("/") if ".part" in name] == []


@pytest.mark.parametrize("known", [False, True])
def test_the_size_of_a_large_file_may_be_unknown(fs: Any, known: bool) -> None:
    data = os.urandom(1 << 20) * 20
    size = {"size": len(data)} if known else {}
    for _ in range(4):
        with fs.open("/new/large", "wb", **size) as file:
            for start in range(0, len(data), 300_001):
                file.write(data[start : start + 300_001])
        assert fs.cat("/new/large") == data


def test_no_room_for_what_has_no_size_yet(xrootd_server: Server, tmp_path: Path) -> None:
    code = f"""
import fsspec, resource
fs = fsspec.filesystem("dav", webdav={xrootd_server.url!r}, pause=0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
try:
    with fs.open("/f", "wb") as file:
        for _ in range(12):
            file.write(bytes(1 << 20))
finally:
    print(fs.find("/"))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "cannot keep /.f" in ended.stderr
    assert f"in {tmp_path} until its size is known" in ended.stderr
    assert "set TMPDIR" in ended.stderr
    assert ended.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(fs: Any) -> None:
    def fail() -> None:
        with fs.open("/f", "wb") as file:
            for _ in range(20):
                file.write(b"x" * (1 << 20))
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        fail()
    assert fs.find("/") == []


def test_a_password_opens_what_is_closed(
    apache_with_password: Server, open_server: Callable[..., Any], tmp_path: Path
) -> None:
    from tests.servers.webdav import PASSWORD, USER

    closed = open_server(apache_with_password)
    with pytest.raises(PermissionError, match="wants a credential"):
        closed.ls("/")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    opened = open_server(apache_with_password, username=USER, password_file=str(secret))
    opened.pipe_file("/f", b"inside")
    assert opened.cat("/f") == b"inside"


def test_addresses_name_the_server(webdav_server: Server) -> None:
    parts = urlsplit(webdav_server.url)
    url = f"dav://{parts.netloc}{parts.path}/f 1.txt"
    with fsspec.open(url, "wb") as file:
        file.write(b"by address")
    assert (webdav_server.root / "f 1.txt").read_bytes() == b"by address"
    with fsspec.open(url, "rt") as text:
        assert text.read() == "by address"
