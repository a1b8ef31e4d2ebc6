"""Catalogs on an SFTP server that takes as few new connections at one time as sshd does."""

from __future__ import annotations

import gc
import getpass
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from paramiko import SFTPFile
from rasterio.transform import from_origin

from rsdat import get_asset
from rsdat.catalog import copy_catalog, make_catalog, search
from rsdat.catalog.servers import threads
from rsdat.catalog.validating import validate_catalog
from rsdat.errors import DataError
from rsdat.storage.transfer_disks import make_directories
from rsdat.storage.transfer_places import place_of
from tests.catalog.catalogs import item
from tests.catalog.test_copying import KEYS, a_source, content, stored
from tests.catalog.test_opening import everything_at
from tests.conftest import Sshd
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import short_clock

__all__ = ["person", "short_clock"]

NAMES = tuple(f"i{number:02}" for number in range(24))


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The directory of the server."""
    (tmp_path / "far").mkdir()
    return tmp_path / "far"


@pytest.fixture
def archive(sftp_server: Sshd, person: Person, far: Path, short_clock: None) -> str:
    sftp_server.stop()
    sftp_server.start("Subsystem sftp internal-sftp\nMaxStartups 10:30:100\nMaxSessions 10")
    key = person.secret("id", (sftp_server.directory / "user_key").read_text())
    login = f"sftp://127.0.0.1:{sftp_server.port}"
    person.credentials(**{login: {"username": getpass.getuser(), "key_file": str(key)}})
    (person.home / ".ssh").mkdir()
    (person.home / ".ssh" / "known_hosts").write_text(sftp_server.known_hosts.read_text())
    return f"{login}{far}"


def test_made_extended_indexed_and_searched(archive: str, far: Path, tmp_path: Path) -> None:
    def put(name: str, data: bytes) -> None:
        (far / name).parent.mkdir(exist_ok=True)
        (far / name).write_bytes(data)

    everything_at(archive, put, tmp_path)


def test_copied_from_there_and_back(archive: str, far: Path, tmp_path: Path) -> None:
    a_source(far / "source?", NAMES)
    here = tmp_path / "here"
    report = copy_catalog(f"{archive}/source?/catalog.json", here)
    assert (len(report.copied), report.failed) == (2 * len(NAMES), ())
    # Many directories are made at one time, by several connections.
    report = copy_catalog(here, f"{archive}/target")
    assert (len(report.copied), report.failed) == (2 * len(NAMES), ())
    assert (far / "target/c/i07/nir.tif").read_bytes() == content("i07", "nir")
    assert stored(str(far / "target"), "i07")["assets"]["nir"]["href"] == "./nir.tif"
    assert validate_catalog(str(far / "target")).problems == []
    assert not list(far.rglob("*.part"))
    again = copy_catalog(here, f"{archive}/target")
    assert (again.copied, len(again.skipped)) == ((), 2 * len(NAMES))
    found = {one.id: one for one in search(f"{archive}/target")}
    assert found["i07"].assets["red"].href == f"{archive}/target/c/i07/red.tif"


def a_raster(file: Path) -> np.ndarray[Any, Any]:
    """A raster of many blocks, and its numbers."""
    values = np.arange(1024 * 1024, dtype="uint16").reshape(1024, 1024)
    profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 1, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    file.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_700_000, 10, 10)}
    with rasterio.open(file, "w", **profile, **tiles, **place) as out:
        out.write(values, 1)
        out.build_overviews([2])
    return values


def test_a_raster_is_read_in_parts_by_several_threads(
    archive: str, far: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = a_raster(far / "s" / "red 1+#?é.tif")
    red = {"href": f"{archive}/s/red 1+#?é.tif", "type": "image/tiff"}
    scene = pystac.Item.from_dict({**item("scene"), "assets": {"red": red}})
    sizes: list[int] = []
    original = SFTPFile.read

    def read(self: SFTPFile, size: int | None = None) -> bytes:
        data: bytes = original(self, size)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(SFTPFile, "read", read)
    found = get_asset(scene, "red", chunks=256)
    assert sum(sizes) < 100_000  # nothing but the header
    np.testing.assert_array_equal(found[0, 256:512, 512:768].compute(), values[256:512, 512:768])
    assert sum(sizes) < 600_000
    np.testing.assert_array_equal(found[0].compute(num_workers=4), values)


def test_rasters_that_are_not_there_or_not_allowed_are_named(archive: str, far: Path) -> None:
    (far / "damaged.tif").write_bytes(b"no raster")
    for name, words in (("none.tif", "No such file"), ("damaged.tif", "not recognized")):
        red = {"href": f"{archive}/{name}", "type": "image/tiff"}
        scene = pystac.Item.from_dict({**item("scene"), "assets": {"red": red}})
        with pytest.raises(DataError, match=rf"scene.*{name}.*{words}") as caught:
            get_asset(scene, "red")
        assert "vsiriopener" not in str(caught.value)


def test_headers_are_read_without_the_rest(
    archive: str, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_raster(far / "scenes" / "s_20240501_B04.tif")
    sizes: list[int] = []
    original = SFTPFile.read
    monkeypatch.setattr(
        SFTPFile, "read", lambda *a: sizes.append(len(data := original(*a))) or data
    )
    assert make_catalog(f"{archive}/scenes", tmp_path / "made").assets == 1
    assert 0 < sum(sizes) < 200_000


# paramiko's files complain of their lost connection when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_broken_connections_are_bridged(archive: str, far: Path, sftp_server: Sshd) -> None:
    source = a_source(far / "source", NAMES[:6])
    left = [2, 7]

    def sever(progress: Any) -> None:
        if left and progress.files >= left[0]:
            del left[0]
            sftp_server.sever()

    report = copy_catalog(f"{archive}/source", f"{archive}/target", progress=sever)
    assert not left
    assert (len(report.copied) + len(report.skipped), report.failed) == (12, ())
    for name in NAMES[:6]:
        for key in KEYS:
            assert (far / "target/c" / name / f"{key}.tif").read_bytes() == content(name, key)
    assert source.exists()
    assert not list(far.rglob("*.part"))
    gc.collect()  # here, and not in whatever test it would come to later


def test_one_directory_is_made_by_many(archive: str, far: Path) -> None:
    errors: list[Exception] = []
    begin = threading.Barrier(6)

    def make() -> None:
        place = place_of(f"{archive}/a/b/c/d")
        begin.wait(60)
        try:
            make_directories(place.fs, place.path)
        except Exception as error:
            errors.append(error)

    makers = [threading.Thread(target=make) for _ in range(6)]
    for one in makers:
        one.start()
    for one in makers:
        one.join()
    assert errors == []
    assert (far / "a/b/c/d").is_dir()


def test_what_is_not_there_and_what_cannot_be_written(archive: str, far: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        search(f"{archive}/none/catalog.json")
    source = a_source(far / "source", NAMES[:1])
    (far / "file").write_text("")
    with pytest.raises(DataError, match=r"file/target.*cannot be written"):
        copy_catalog(source, f"{archive}/file/target")


def test_connections_are_few() -> None:
    assert threads(["/d/x", "sftp://host/x"], 32) == 6
    assert threads(["dcache://host/x"], 32) == 32
