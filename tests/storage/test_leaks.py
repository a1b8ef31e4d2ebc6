"""Every kind of secret, used in every way: its text is nowhere but in the file that was named."""

from __future__ import annotations

import base64
import getpass
import io
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import rasterio
import xarray as xr

from rsdat.raster import handles
from rsdat.raster.files import header
from rsdat.raster.reading import read
from rsdat.raster.sources import Source
from rsdat.storage import gdal, read_text, storage_options
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_listing import expand
from rsdat.storage.transfer_places import _of_thread, place_of
from tests.conftest import Sshd
from tests.dcache.door import Door
from tests.servers.programs import Server
from tests.storage.hunting import Hunt
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import short_clock
from tests.storage.waiting import eventually

__all__ = ["person", "short_clock"]

PIXELS = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
KINDS = ("token", "macaroon", "password", "s3", "sftp")


@dataclass(frozen=True)
class Used:
    """Addresses by the kind of their secret, and the files that hold the secrets."""

    tops: dict[str, str]
    hunt: Hunt
    own: set[Path]
    home: Path
    temporary: Path
    #: Writes another, wrong secret of a kind where the right one was.
    spoil: Callable[[str], None]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16"}
    grid = rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=grid, **profile) as opened:
        opened.write(PIXELS, 1)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for what is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def used(
    make_door: Callable[..., Door],
    person: Person,
    s3_server: Server,
    sftp_server: Sshd,
    temporary: Path,
    tmp_path: Path,
    short_clock: None,
) -> Used:
    handles.forget()
    entries: dict[str, dict[str, Any]] = {}
    tops: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    for kind in ("token", "macaroon", "password"):
        door = make_door(tls="good")
        assert door.authority is not None
        door.authority.write(person.home / f"{kind}.pem")
        host = door.webdav.removeprefix("https://")
        entries[host] = {"ca_file": f"~/{kind}.pem", "api": f"{door.rest}/api/v1"}
        tops[kind] = f"dcache://{host}/d"
        word = f"{kind}-{secrets.token_hex(16)}"
        if kind == "password":
            door.password("anna", word)
            entries[host]["netrc"] = "~/netrc"
            netrc = f"machine {host.partition(':')[0]} login anna password {word}\n"
            person.secret("netrc", netrc)
            texts[kind] = [word, f"anna:{word}"]
        else:
            word = door.allow(word) if kind == "token" else door.macaroon("path:/")
            entries[host]["token_file"] = f"~/{kind}"
            person.secret(kind, word + "\n")
            texts[kind] = [word]
    bucket, word, session = f"b{secrets.token_hex(4)}", *(secrets.token_hex(20) for _ in "12")
    person.secret(
        "s3",
        f"[x]\naws_access_key_id = someone\naws_secret_access_key = {word}\n"
        f"aws_session_token = {session}\n",
    )
    entries[f"s3://{bucket}"] = {
        "profile": "x",
        "credentials_file": "~/s3",
        "endpoint": s3_server.url,
        "region": "eu-west-1",
    }
    tops["s3"], texts["s3"] = f"s3://{bucket}/d", [word, session]
    login = f"sftp://127.0.0.1:{sftp_server.port}"
    key = (sftp_server.directory / "user_key").read_text()
    person.secret("sftp", key)
    entries[login] = {
        "username": getpass.getuser(),
        "key_file": "~/sftp",
        "known_hosts": str(sftp_server.known_hosts),
    }
    far = tmp_path / "far"
    far.mkdir()
    # Its first line is the same for all keys.
    tops["sftp"], texts["sftp"] = f"{login}{far}", key.splitlines()[2:-1]
    person.credentials(**entries)
    place_of(tops["s3"]).fs.mkdir(bucket)

    def spoil(kind: str) -> None:
        wrong = f"wrong-{secrets.token_hex(16)}"
        texts[kind].append(wrong)
        line = person.home / ("netrc" if kind == "password" else kind)
        if kind == "password":
            host = tops[kind].split("/")[2].partition(":")[0]
            person.secret("netrc", f"machine {host} login anna password {wrong}\n")
        else:
            person.secret(line.name, wrong)
        hunt.__post_init__()

    names = ("token", "macaroon", "netrc", "s3", "sftp")
    own = {person.home / name for name in names}
    hunt = Hunt(texts)
    return Used(tops, hunt, own, person.home, temporary, spoil)


def forget(fs: Any) -> None:
    """Let the next use look the secret up: SFTP logs in anew, a door's is not kept."""
    _of_thread.__dict__.clear()
    if hasattr(fs, "client") and hasattr(fs.client, "_secrets"):
        fs.client._secrets.clear()


def nothing_is_seen(used: Used) -> None:
    hunt = used.hunt
    hunt.process()
    hunt.files(used.home, used.temporary, but=used.own)
    assert sorted(set(hunt.seen)) == []
    assert hunt.looked > 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_filesystem_and_what_is_opened_with_it(
    used: Used, kind: str, tmp_path: Path, scene: Path
) -> None:
    hunt, top = used.hunt, used.tops[kind]
    with hunt.watching(), hunt.listening():
        place = place_of(top)
        fs, path = place.fs, place.path
        fs.makedirs(path, exist_ok=True)
        fs.pipe_file(f"{path}/a", b"1" * 100_000)
        fs.put_file(str(scene), f"{path}/b.tif")
        fs.get_file(f"{path}/a", str(tmp_path / "a"))
        with fs.open(f"{path}/c", "wb") as writing:
            writing.write(b"2")
            hunt.thing("a file that is written", writing, pickled=False)
        with fs.open(f"{path}/c") as reading:
            hunt.thing("a file that is read", reading, pickled=kind != "sftp")
            assert reading.read() == b"2"
        assert len(fs.ls(path)) == len(fs.find(path)) == 3
        fs.info(f"{path}/a")
        fs.rm_file(f"{path}/c") if kind != "sftp" else fs.rm(f"{path}/c")
        hunt.filesystem("the filesystem", fs)
        hunt.thing("its place", place)
        hunt.thing("its options", storage_options(top))
        mapper = fs.get_mapper(path)
        hunt.thing("its mapper", mapper)
        hunt.thing("what a copy says", copy_file(f"{top}/a", str(tmp_path / "copy")))
        hunt.thing("what a copy says", copy_file(str(scene), f"{top}/d.tif"))
    nothing_is_seen(used)


@pytest.mark.parametrize("kind", ["token", "macaroon", "password", "s3"])
def test_gdal(used: Used, kind: str, scene: Path) -> None:
    hunt, href = used.hunt, f"{used.tops[kind]}/scene.tif"
    with hunt.watching(), hunt.listening(), rasterio.Env(CPL_DEBUG="ON"):
        copy_file(str(scene), href)
        source = Source(item="scene", asset="red", href=href, band=1)
        geobox = header(source).geobox
        np.testing.assert_array_equal(read(source, geobox, dtype="uint16"), PIXELS)
        hunt.thing("the source", source)
        hunt.look("GDAL's name of it", gdal.gdal_path(href))
        hunt.thing("GDAL's settings for it", gdal.options(href))
        used.spoil(kind)
        handles.forget()
        with pytest.raises(Exception) as caught:
            header(source)
        if kind != "s3":  # Whose server here takes every key.
            hunt.error("GDAL", caught.value)
    nothing_is_seen(used)


def refused(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it was allowed")


@pytest.mark.parametrize("kind", ["token", "macaroon", "password", "sftp"])
def test_refusals_and_what_is_missing(used: Used, kind: str, tmp_path: Path) -> None:
    hunt, top = used.hunt, used.tops[kind]
    (tmp_path / "f").write_bytes(b"1" * 100_000)
    with hunt.watching(), hunt.listening():
        place = place_of(top)
        place.fs.makedirs(place.path, exist_ok=True)
        calls = {
            "missing": lambda: place.fs.cat_file(f"{place.path}/none"),
            "a copy of nothing": lambda: copy_file(f"{top}/none", str(tmp_path / "x")),
            "a text that is missing": lambda: read_text(f"{top}/none"),
        }
        for name, call in calls.items():
            hunt.error(name, refused(call))
        used.spoil(kind)
        forget(place.fs)
        calls = {
            "info": lambda: expand(top),
            "get": lambda: copy_file(f"{top}/f", str(tmp_path / "x")),
            "put": lambda: copy_file(str(tmp_path / "f"), f"{top}/f"),
            "text": lambda: read_text(f"{top}/f"),
        }
        if kind != "sftp":  # Which is logged in.
            calls |= {
                "cat": lambda: place.fs.cat_file(f"{place.path}/f"),
                "pipe": lambda: place.fs.pipe_file(f"{place.path}/f", b"1"),
                "open": lambda: place.fs.open(f"{place.path}/f"),
                "rm": lambda: place.fs.rm_file(f"{place.path}/f"),
                "ls": lambda: place.fs.ls(place.path),
                "mkdir": lambda: place.fs.mkdir(f"{place.path}/g"),
            }
        for name, call in calls.items():
            hunt.error(name, refused(call))
    nothing_is_seen(used)


@pytest.mark.parametrize("kind", ["token", "password"])
def test_addresses_of_the_web(used: Used, kind: str, tmp_path: Path) -> None:
    """These are read by fsspec's own filesystem, whose errors hold the whole request."""
    hunt, top = used.hunt, used.tops[kind].replace("dcache://", "https://")
    place = place_of(used.tops[kind])
    place.fs.pipe_file(f"{place.path}/f", b"1" * 100_000)
    with hunt.watching(), hunt.listening():
        web = place_of(f"{top}/f")
        assert len(web.fs.cat_file(web.path)) == 100_000
        copy_file(f"{top}/f", str(tmp_path / "f"))
        with web.fs.open(web.path) as stream:
            stream.seek(50_000)
            assert stream.read(1) == b"1"
            hunt.thing("an open file", stream)
        hunt.filesystem("the filesystem", web.fs)
        hunt.error("missing", refused(lambda: web.fs.cat_file(f"{top}/none")))
        used.spoil(kind)
        calls = {
            "cat": lambda: web.fs.cat_file(web.path),
            "ranges": lambda: web.fs.cat_ranges([web.path] * 2, [0, 9], [5, 12], on_error="raise"),
            "info": lambda: web.fs.info(web.path),
            "get": lambda: web.fs.get_file(web.path, str(tmp_path / "g")),
            "put": lambda: web.fs.pipe_file(f"{top}/g", b"1"),
            "text": lambda: read_text(f"{top}/f"),
            "copy": lambda: copy_file(f"{top}/f", str(tmp_path / "h")),
            "ls": lambda: expand(f"{top}/f"),
        }
        for name, call in calls.items():
            hunt.error(name, refused(call))
        found = web.fs.cat([web.path], on_error="return")
        hunt.thing("what is returned for an error", found, pickled=False)
        for one in found.values():
            hunt.error("returned", one)
    nothing_is_seen(used)


@pytest.mark.parametrize("kind", ["token", "password", "s3"])
def test_zarr_and_graphs(used: Used, kind: str) -> None:
    hunt, top = used.hunt, f"{used.tops[kind]}/z.zarr"
    with hunt.watching(), hunt.listening():
        data = xr.Dataset({"a": (("y", "x"), np.arange(16.0).reshape(4, 4))}).chunk(2)
        writing = data.to_zarr(
            top, mode="w", storage_options=storage_options(top), compute=False, consolidated=False
        )
        hunt.thing("a graph that writes", writing)
        hunt.look("its tasks", repr(dict(writing.__dask_graph__())))
        writing.compute()
        found = xr.open_zarr(top, storage_options=storage_options(top), consolidated=False)
        hunt.thing("a graph that reads", found.a.data)
        hunt.thing("the dataset", found)
        hunt.look("its source", repr(found.encoding))
        hunt.look("its tasks", repr(dict(found.__dask_graph__())))
        np.testing.assert_array_equal(found.a.values, data.a.values)
        place = place_of(top)
        place.fs.rm(place.path, recursive=True)
        hunt.error(
            "a chunk that is missing",
            refused(lambda: xr.open_zarr(top, storage_options=storage_options(top))),
        )
    nothing_is_seen(used)


def test_commands(used: Used, tmp_path: Path) -> None:
    hunt, tops = used.hunt, used.tops
    (tmp_path / "f").write_bytes(b"1" * 100_000)

    def rsdat(*words: str, code: int = 0) -> None:
        argv = [sys.executable, "-c", "from rsdat.cli import main; main()", "--debug", "data"]
        done = subprocess.run([*argv, *words], capture_output=True, text=True)
        assert (done.returncode == 0) == (code == 0), done.stderr
        hunt.look(f"output of {words[0]}", done.stdout + done.stderr)

    with hunt.watching():
        rsdat("cp", str(tmp_path / "f"), f"{tops['token']}/")
        rsdat("cp", f"{tops['token']}/f", f"{tops['sftp']}/g")
        rsdat("mv", f"{tops['sftp']}/g", f"{tops['s3']}/g")
        rsdat("ls", "-l", tops["s3"], tops["token"], tops["sftp"])
        rsdat("rm", f"{tops['s3']}/g", f"{tops['token']}/f")
        used.spoil("password")
        rsdat("cat", f"{tops['password']}/f", code=8)
    nothing_is_seen(used)


def in_worker(fs: Any, path: str, top: str) -> list[str]:
    """Use a filesystem that was sent, and one that is opened there; what can be seen of it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    fs.pipe_file(f"{path}/w", b"1" * 100_000)
    assert len(place_of(f"{top}/w").fs.cat_file(f"{path}/w")) == 100_000
    seen = [repr(dict(os.environ)), Path("/proc/self/cmdline").read_text(), repr(vars(fs))]
    return [*seen, written.getvalue()]


def test_dask_workers(used: Used) -> None:
    hunt = used.hunt
    kinds = ("token", "password", "s3", "sftp")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        hunt.watching(),
        hunt.listening(),
        distributed.LocalCluster(**options, local_directory=str(used.temporary)) as cluster,
        distributed.Client(cluster) as client,
    ):
        for kind in kinds:
            top = used.tops[kind]
            place = place_of(top)
            sent = place.fs if kind != "sftp" else None
            if sent is not None:
                done = client.submit(in_worker, sent, place.path, top)
                for text in done.result():
                    hunt.look(f"{kind} in a worker", text)
            failed = client.submit(read_text, f"{top}/none")
            hunt.error(f"{kind} from a worker", failed.exception() or AssertionError())
            trace = "".join(traceback.format_tb(failed.traceback()))
            hunt.look(f"traceback of {kind} in a worker", trace)
        hunt.look("logs", repr(client.get_worker_logs()) + repr(client.get_scheduler_logs()))
        hunt.look("story", repr(client.get_events()))
        hunt.files(used.temporary, but=used.own)
    assert "distributed" in hunt.loggers
    nothing_is_seen(used)


def test_what_is_hidden_badly_is_found(tmp_path: Path) -> None:
    """The looking itself: it finds a secret in each of its places."""
    hunt = Hunt({"x": ["a-secret word/1"]})

    class Talkative:
        def __init__(self) -> None:
            self.token = "a-secret word/1"

    def fail() -> None:
        try:
            raise ValueError("a-secret word/1")
        except ValueError as error:
            raise OSError("other words") from error

    (tmp_path / "f").write_text("a-secret%20word%2F1")
    with hunt.listening():
        logging.getLogger("some.package").debug("%s", "a-secret word/1")
    hunt.thing("a", Talkative(), pickled=False)
    hunt.error("b", refused(fail))
    hunt.files(tmp_path, but=set())
    header_text = base64.b64encode(b"a-secret word/1").decode()
    process = subprocess.Popen(["sleep", "60"], env={"SHOWN": header_text})
    try:
        # A program that has just begun shows nothing yet.
        assert eventually(Path(f"/proc/{process.pid}/environ").read_bytes)
        hunt.processes()
    finally:
        process.kill()
        process.wait()
    seen = {one.partition(": ")[2] for one in hunt.seen}
    assert seen >= {
        "log of some.package",
        "log of some.package, arguments",
        "attributes of a",
        "traceback of b",
        "repr of ValueError of b",
        "str of ValueError of b",
        "pickle of ValueError of b",
        f"file {tmp_path / 'f'}",
        "environ of a process",
    }
