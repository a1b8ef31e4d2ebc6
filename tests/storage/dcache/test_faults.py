"""A door that fails: each fault is a clear error or a resume, and nothing half-written stays."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rsdat.storage.dcache import errors, finding
from tests.dcache import pool
from tests.dcache.door import Door
from tests.ports import kept_port
from tests.storage.waiting import LONG

pytestmark = pytest.mark.usefixtures("nothing_late")

DATA = os.urandom(1 << 20) * 3
BLOCK = 1 << 19


def write(fs: Any, path: str, **options: Any) -> None:
    with fs.open(path, "wb", block_size=BLOCK, **options) as file:
        for start in range(0, len(DATA), 300_000):
            file.write(DATA[start : start + 300_000])


# --- reading


@pytest.mark.parametrize("origin", ["webdav", "pool"])
@pytest.mark.parametrize(
    ("kind", "value"), [("status", 500), ("status", 503), ("reset", None), ("status", 429)]
)
def test_reading_survives_passing_faults(
    fs: Any, door: Door, origin: str, kind: Any, value: Any
) -> None:
    door.put("/f", DATA)
    door.fault(kind, "/f", origin=origin, verb="GET", value=value, times=2)
    assert fs.cat("/f") == DATA


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_broken_download_goes_on_where_it_ended(
    fs: Any, door: Door, kind: Any, tmp_path: Path
) -> None:
    door.put("/f", DATA)
    for _ in range(3):
        door.fault(kind, "/f", origin="pool", value=1_000_000)
    door.clear_log()
    fs.get_file("/f", str(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == DATA
    assert set(os.listdir(tmp_path)) == {"f", "token"}
    if kind == "truncate":  # A reset takes along what the receiver's kernel still holds.
        sent = sum(request.sent for request in door.requests("pool", "GET"))
        assert sent < 1.5 * len(DATA)
    door.fault(kind, "/f", origin="pool", value=1000)
    assert fs.cat_file("/f", 100, 200_000) == DATA[100:200_000]


def test_a_damaged_download_is_read_again_and_at_last_refused(
    fs: Any, door: Door, tmp_path: Path
) -> None:
    door.put("/f", DATA)
    door.fault("corrupt", "/f", origin="pool", value=77)
    assert fs.cat("/f") == DATA
    door.fault("corrupt", "/f", origin="pool", value=77, times=None)
    with pytest.raises(errors.WrongChecksum, match="checksum"):
        fs.get_file("/f", str(tmp_path / "f"))
    assert os.listdir(tmp_path) == ["token"]


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(fs: Any, door: Door) -> None:
    door.put("/f", DATA)
    door.fault("truncate", "/f", origin="pool", value=1_000_000)
    other = bytes(len(DATA))

    class Replacing:
        done = False

        def write(self, data: bytes) -> int:
            if not self.done:
                door.remove("/f")
                door.put("/f", other)
                self.done = True
            return len(data)

        def seekable(self) -> bool:
            return False

    with pytest.raises(errors.Changed, match="replaced while it was read"):
        fs.get_file("/f", Replacing())


@pytest.mark.parametrize("first", ['W/"a"', '"a"'])
def test_a_tag_that_becomes_strong_is_the_same(
    make_fs: Callable[..., Any], door: Door, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Apache calls the tag of a file weak until the file is a second old."""
    tags = itertools.chain([first], itertools.repeat('"a"'))
    monkeypatch.setattr(pool, "file_headers", lambda *_: {"ETag": next(tags)})
    door.put("/f", DATA)
    door.fault("truncate", "/f", origin="pool", value=1_000_000)
    assert make_fs(door, rest=False).cat_file("/f") == DATA
    asked = [one.headers for one in door.requests("pool") if one.status == 206]
    assert [one.get("if-range") for one in asked] == [None if "W" in first else '"a"']


def test_a_file_that_vanishes_between_list_and_read(fs: Any, door: Door) -> None:
    door.put("/d/f", b"x")
    door.fault("vanish", "/d/f")
    assert fs.ls("/d", detail=False) == ["/d/f"]
    with pytest.raises(FileNotFoundError, match="/d/f"):
        fs.cat("/d/f")


def test_a_lasting_error_of_the_door_is_said(fs: Any, door: Door) -> None:
    door.put("/f", b"x")
    door.fault("status", "/f", value=500, times=None)
    with pytest.raises(errors.DoorError, match="status 500") as caught:
        fs.cat("/f")
    assert (caught.value.path, caught.value.status) == ("/f", 500)


def test_silence_ends_in_an_error(make_fs: Callable[..., Any], door: Door) -> None:
    door.put("/f", DATA)
    fs = make_fs(door, timeout=0.3, retries=1)
    door.fault("delay", "/f", origin="pool", value=60, times=None)
    with pytest.raises(errors.Unreachable, match="no answer in time") as caught:
        fs.cat_file("/f", 0, 10)
    assert caught.value.errno == errno.ETIMEDOUT


# --- writing


@pytest.mark.parametrize("kind", ["reset", "status"])
@pytest.mark.parametrize("size", [10, len(DATA)])
def test_uploads_of_known_bytes_start_again(fs: Any, door: Door, kind: Any, size: int) -> None:
    value = 503 if kind == "status" else None
    for origin in ("webdav", "pool"):
        door.fault(kind, "/*", verb="PUT", origin=origin, value=value)
    fs.pipe_file("/d/f", DATA[:size])
    assert door.read("/d/f") == DATA[:size]
    assert door.paths() == ["/d/", "/d/f"]


def test_an_upload_that_breaks_in_the_middle_starts_again(
    fs: Any, door: Door, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(DATA)
    door.fault("reset", "/*", verb="PUT", origin="pool", value=1_000_000, times=2)
    fs.put_file(str(tmp_path / "source"), "/f")
    assert door.read("/f") == DATA
    assert door.paths() == ["/f"]


def test_a_stream_that_breaks_fails_and_leaves_nothing(fs: Any, door: Door) -> None:
    door.fault("reset", "/*", verb="PUT", origin="pool", value=1_000_000)
    with pytest.raises(errors.Unreachable):
        write(fs, "/d/f")
    assert [path for path in door.paths() if not path.endswith("/")] == []
    write(fs, "/d/f")
    assert door.read("/d/f") == DATA


def test_a_stream_that_breaks_leaves_the_old_file_where_it_grows_beside_it(
    make_fs: Callable[..., Any], door: Door
) -> None:
    fs = make_fs(door, temporary=True)
    fs.pipe_file("/f", b"old")
    door.fault("reset", "/*", verb="PUT", origin="pool", value=1_000_000)
    with pytest.raises(errors.Unreachable):
        write(fs, "/f")
    assert door.read("/f") == b"old"
    write(fs, "/f")
    assert door.read("/f") == DATA
    assert door.paths() == ["/f"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_damaged_upload_is_removed(fs: Any, door: Door, stream: bool) -> None:
    door.fault("corrupt", "/*", verb="PUT", origin="pool", value=5, times=None)
    with pytest.raises(errors.WrongChecksum, match="was removed"):
        write(fs, "/f") if stream else fs.pipe_file("/f", DATA)
    assert door.paths() == []
    door.clear_faults()
    door.fault("corrupt", "/*", verb="PUT", origin="pool", value=5)
    fs.pipe_file("/f", DATA)
    assert door.read("/f") == DATA


def test_a_quota_is_named(make_fs: Callable[..., Any], make_door: Callable[..., Door]) -> None:
    door = make_door(quota=1_000_000)
    for rest in (True, False):
        fs = make_fs(door, rest=rest)
        with pytest.raises(OSError, match="quota") as caught:
            fs.pipe_file("/f", DATA)
        assert caught.value.errno == errno.EDQUOT
        with pytest.raises(OSError):
            write(fs, "/f")
        assert door.paths() == []
        fs.pipe_file("/small", b"x")
        fs.rm("/small")


def test_a_door_that_does_not_overwrite(
    make_fs: Callable[..., Any], make_door: Callable[..., Door]
) -> None:
    door = make_door(overwrite=False)
    fs = make_fs(door)
    fs.pipe_file("/f", b"old")
    with pytest.raises(FileExistsError):
        fs.pipe_file("/f", b"x", mode="create")
    fs.pipe_file("/f", b"new")
    assert door.read("/f") == b"new"
    write(fs, "/f")
    assert door.read("/f") == DATA
    assert door.paths() == ["/f"]


def test_removing_twice_after_a_lost_answer_is_no_error(fs: Any, door: Door) -> None:
    door.put("/d/f", b"x")
    door.fault("status", "/d/f", verb="DELETE", value=503)
    fs.rm_file("/d/f")
    assert door.paths() == ["/d/"]


def test_a_write_to_a_place_without_permission(
    make_fs: Callable[..., Any], door: Door, tmp_path: Path
) -> None:
    reader = tmp_path / "reader"
    reader.write_text(door.macaroon("activity:DOWNLOAD,LIST,READ_METADATA"))
    reader.chmod(0o600)
    for rest in (True, False):
        fs = make_fs(door, rest=rest, token_file=str(reader))
        for call in (lambda f: f.pipe_file("/f", DATA), lambda f: write(f, "/f")):
            with pytest.raises(PermissionError, match="does not allow UPLOAD") as caught:
                call(fs)
            assert "UPLOAD" in caught.value.hint
        assert fs.ls("/") == []
    assert door.requests("pool") == []


# --- credentials


def test_an_expired_token_is_said(
    make_fs: Callable[..., Any], door: Door, token_file: Path
) -> None:
    door.put("/f", b"x")
    fs = make_fs(door)
    door.fault("expired", times=None)
    with pytest.raises(PermissionError, match="does not accept") as caught:
        fs.info("/f")
    assert door.token not in str(caught.value)


def test_a_token_that_was_renewed_is_read_again(
    make_fs: Callable[..., Any], door: Door, token_file: Path
) -> None:
    door.put("/f", b"x")
    fs = make_fs(door)
    assert fs.cat("/f") == b"x"
    fresh = door.allow("fresh-token")
    door.forget(door.token)
    token_file.write_text(fresh)
    os.utime(token_file, (1, 1))
    assert fs.cat("/f") == b"x"
    again = door.allow("fresher-token")
    door.forget(fresh)
    token_file.write_text(again)
    os.utime(token_file, (2, 2))
    write(fs, "/g")
    assert door.read("/g") == DATA


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_has_vanished_is_said_and_no_other_is_advised(
    make_fs: Callable[..., Any], door: Door, token_file: Path, status: int
) -> None:
    fs = make_fs(door)
    fs.pipe_file("/f", b"x")
    token_file.unlink()
    door.fault("status", "/g", value=status, times=None)
    with pytest.raises(PermissionError, match="token does not exist") as caught:
        fs.pipe_file("/g", b"x")
    hint = str(caught.value.hint)  # type: ignore[attr-defined]
    assert "put the secret there" in hint
    assert "UPLOAD" not in hint


def test_a_token_that_has_just_expired_is_to_be_renewed(
    make_fs: Callable[..., Any], door: Door, token_file: Path
) -> None:
    end = datetime.now(UTC) - timedelta(seconds=5)
    token_file.write_text(door.macaroon(f"before:{end.isoformat().replace('+00:00', 'Z')}"))
    with pytest.raises(PermissionError, match="it expired on") as caught:
        make_fs(door).pipe_file("/g", b"x")
    assert "write a new token" in str(caught.value.hint)  # type: ignore[attr-defined]


def test_no_credential_is_said(door: Door) -> None:
    fs = fsspec.filesystem("dcache", webdav=door.webdav, api=False, skip_instance_cache=True)
    with pytest.raises(PermissionError, match="wants a credential and none is configured"):
        fs.cat("/f")
    fs.close()


# --- connections


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[Any] = []

        def accept() -> None:
            try:
                while True:
                    held.append(server.accept())
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        for connection, _ in held:
            connection.close()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def no_contact(webdav: str, words: str, timeout: float = LONG) -> None:
    options = {"pause": 0.001, "retries": 2, "skip_instance_cache": True}
    fs = fsspec.filesystem("dcache", webdav=webdav, timeout=timeout, **options)
    with pytest.raises(ConnectionError, match=words) as caught:
        fs.info("/f")
    assert not isinstance(caught.value, FileNotFoundError)
    with pytest.raises(ConnectionError):
        fs.exists("/f")
    fs.close()


def test_a_port_where_nobody_listens() -> None:
    with kept_port() as closed:
        no_contact(f"http://127.0.0.1:{closed.getsockname()[1]}", "connection refused")


def test_a_door_that_says_nothing(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "PATIENCE", 0.2)
    no_contact(f"http://127.0.0.1:{silent}", "no answer in time", timeout=0.2)


def test_a_host_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # What a name server says, and how soon, is the network's.
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    no_contact("http://no-such-host.invalid", "Name or service not known")


@pytest.mark.parametrize("tls", ["expired", "other-host"])
def test_a_wrong_certificate(
    make_door: Callable[..., Door], make_fs: Callable[..., Any], tls: str, tmp_path: Path
) -> None:
    door = make_door(tls=tls)
    authority = tmp_path / "ca.pem"
    authority.write_bytes(door.authority.pem)  # type: ignore[union-attr]
    fs = make_fs(door, rest=False, ca_file=str(authority))
    with pytest.raises(errors.Unreachable, match="certificate is not trusted"):
        fs.info("/")
    assert door.requests() == []


def test_errors_survive_pickling() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.DoorError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        before = kind("what", hint="do", path="/p", door="https://d", status=418)
        after = pickle.loads(pickle.dumps(before))
        assert type(after) is kind
        for name in ("message", "hint", "path", "door", "status", "errno"):
            assert getattr(after, name) == getattr(before, name)
        assert str(after) == "what"
