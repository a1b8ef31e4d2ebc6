"""Every kind of secret, used in every way: its text is nowhere but in the file that was named."""

from __future__ import annotations

import getpass
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from rsdat.raster import handles
from rsdat.raster.files import header
from rsdat.raster.reading import read
from rsdat.raster.sources import Source
from rsdat.storage import gdal, storage_options
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_places import place_of
from tests.conftest import Sshd
from tests.dcache.door import Door
from tests.servers.programs import Server
from tests.storage.hunting import Hunt
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import short_clock

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
    bucket, word = f"b{secrets.token_hex(4)}", secrets.token_hex(20)
    person.secret("s3", f"[x]\naws_access_key_id = someone\naws_secret_access_key = {word}\n")
    entries[f"s3://{bucket}"] = {
        "profile": "x",
        "credentials_file": "~/s3",
        "endpoint": s3_server.url,
        "region": "eu-west-1",
    }
    tops["s3"], texts["s3"] = f"s3://{bucket}/d", [word]
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
