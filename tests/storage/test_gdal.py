"""GDAL reads through a door whose pools are foreign origins; secrets stay where they belong."""

from __future__ import annotations

import datetime
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import cloudpickle
import dask
import numpy as np
import pystac
import pytest
import rasterio

from rsdat.catalog import headers as catalog_headers
from rsdat.errors import CredentialError, DataError
from rsdat.raster import files, handles, load, settings
from rsdat.raster.files import attempt, borrow, header
from rsdat.raster.preview import preview
from rsdat.raster.reading import read
from rsdat.raster.sources import Source
from rsdat.storage import gdal, gdal_cache
from rsdat.storage.credentials import secretfiles
from tests.dcache.door import Door
from tests.storage.certificates import proxy
from tests.storage.secrets import Person, before, macaroon

PIXELS = np.random.default_rng(1).integers(1, 4000, (1024, 1024)).astype("uint16")


@pytest.fixture(scope="session")
def cog(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cog") / "scene.tif"
    profile = {
        "driver": "COG",
        "width": 1024,
        "height": 1024,
        "count": 1,
        "dtype": "uint16",
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000),
    }
    with rasterio.open(path, "w", blocksize=256, compress="deflate", **profile) as opened:
        opened.write(PIXELS, 1)
    return path.read_bytes()


@pytest.fixture
def fresh() -> None:
    """No dataset that an earlier test left open."""
    handles.forget()


@pytest.fixture
def safe_door(make_door: Callable[..., Door], person: Person, cog: bytes, fresh: None) -> Door:
    """A door over TLS with a scene, and a credential for it."""
    door = make_door(tls="good")
    door.put("/data/a b#é.tif", cog)
    assert door.authority is not None
    door.authority.write(person.home / "ca.pem")
    person.secret("token", door.token + "\n")
    host = door.webdav.removeprefix("https://")
    person.credentials(**{host: {"token_file": "~/token", "ca_file": "~/ca.pem"}})
    return door


def source_of(door: Door, scheme: str = "dcache", path: str = "/data/a b#é.tif") -> Source:
    return source(f"{scheme}://{door.webdav.partition('://')[2]}{path}")


def source(href: str) -> Source:
    return Source(item="scene", asset="red", href=href, band=1)


def test_a_scene_behind_a_redirect_is_read_and_the_pool_sees_no_token(safe_door: Door) -> None:
    scene = source_of(safe_door)
    geobox = header(scene).geobox
    assert len(safe_door.requests("webdav")) <= 2  # HEAD, and one GET of the header
    safe_door.clear_log()
    pixels = read(scene, geobox[256:512, 0:1024], dtype="uint16")
    np.testing.assert_array_equal(pixels, PIXELS[256:512])
    assert len(safe_door.requests("webdav")) == 1  # four blocks in a row: one range
    assert len(safe_door.requests("pool")) == 1
    assert all(request.authorized for request in safe_door.requests("webdav"))
    assert not any(request.authorized for request in safe_door.requests("pool"))


def test_the_rule_against_foreign_origins_does_not_give_way_to_the_environment(
    safe_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "CPL_VSIL_CURL_AUTHORIZATION_HEADER_ALLOWED_IF_REDIRECT"
    monkeypatch.setenv(name, "YES")
    header(source_of(safe_door))
    assert safe_door.requests("pool")
    assert not any(request.authorized for request in safe_door.requests("pool"))


def test_an_address_of_the_web_is_read_with_its_credential(safe_door: Door) -> None:
    scene = source_of(safe_door, "https", "/data/a%20b%23%C3%A9.tif")
    assert header(scene).geobox.shape == (1024, 1024)


def test_a_preview_is_made_with_the_credential(safe_door: Door, tmp_path: Path) -> None:
    for scene in (source_of(safe_door), source_of(safe_door, "https", "/data/a%20b%23%C3%A9.tif")):
        assert preview(scene.href, tmp_path / "x.png").stat().st_size > 1000


def test_a_renewed_token_counts_for_datasets_that_are_open(safe_door: Door, person: Person) -> None:
    scene = source_of(safe_door)
    geobox = header(scene).geobox
    safe_door.allow("second-token")
    safe_door.forget(safe_door.token)
    person.secret("token", "second-token")
    np.testing.assert_array_equal(
        read(scene, geobox[:256, :256], dtype="uint16"), PIXELS[:256, :256]
    )


def test_a_refused_token_is_named_and_its_renewal_heals(safe_door: Door, person: Person) -> None:
    scene = source_of(safe_door)
    person.secret("token", "wrong-token")
    with pytest.raises(CredentialError, match=r"refuses the credential \(401; .*~/token") as caught:
        header(scene)
    assert "item scene: asset red" in str(caught.value)
    assert "wrong-token" not in str(caught.value)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), PermissionError)
    person.secret("token", safe_door.token)
    assert header(scene).dtype == "uint16"


def test_a_token_refused_in_the_middle_of_a_run_is_told_from_a_damaged_file(
    safe_door: Door,
) -> None:
    scene = source_of(safe_door)
    geobox = header(scene).geobox
    safe_door.forget(safe_door.token)
    with pytest.raises(CredentialError, match="refuses the credential"):
        read(scene, geobox[512:768, :256])


def test_an_expired_token_is_told_without_asking(safe_door: Door, person: Person) -> None:
    person.secret("token", macaroon(before(hours=-3)))
    with pytest.raises(CredentialError, match=r"the token of ~/token expired on \d{4}-") as caught:
        header(source_of(safe_door))
    assert "rsdat data token create" in str(caught.value.hint)
    assert not safe_door.log


def test_what_a_token_lacks_is_named(safe_door: Door, person: Person) -> None:
    token = safe_door.allow(macaroon("path:/other"), path="/other")
    person.secret("token", token)
    with pytest.raises(CredentialError, match=r"it is for /other only"):
        header(source_of(safe_door))


def test_a_missing_file_is_no_matter_of_credentials(safe_door: Door) -> None:
    with pytest.raises(DataError, match=r"no such file \(404\)") as caught:
        header(source_of(safe_door, path="/data/none.tif"))
    assert not isinstance(caught.value, CredentialError)


def test_a_server_without_a_credential_is_named(safe_door: Door, person: Person) -> None:
    trusted = {"ca_file": "~/ca.pem"}
    person.credentials(**{safe_door.webdav.removeprefix("https://"): trusted})
    with pytest.raises(CredentialError, match="wants to know who asks"):
        header(source_of(safe_door))


def test_a_replaced_file_is_seen_after_a_while(
    safe_door: Door, cog: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene = source_of(safe_door)
    header(scene)
    other = tmp_path / "other.tif"
    profile = {"driver": "COG", "width": 64, "height": 64, "count": 1, "crs": "EPSG:32633"}
    grid = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(other, "w", dtype="uint8", transform=grid, **profile) as opened:
        opened.write(np.full((64, 64), 7, "uint8"), 1)
    safe_door.remove("/data/a b#é.tif")
    safe_door.put("/data/a b#é.tif", other.read_bytes())
    assert header(scene).dtype == "uint16"
    monkeypatch.setattr(handles, "KEPT_SECONDS", -1)
    assert header(scene).dtype == "uint8"


def test_what_one_thread_knows_of_a_file_the_others_do_not_ask(safe_door: Door) -> None:
    scene = source_of(safe_door)
    geobox = header(scene).geobox
    safe_door.clear_log()
    meet = threading.Barrier(4).wait

    def block(row: int) -> Any:
        borrow(scene)
        meet(60)  # four handles at once
        return borrow(scene).read(1, row * 256, 0, 256, 256)

    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda row: attempt(partial(block, row), scene), range(4)))
    np.testing.assert_array_equal(np.concatenate(read), PIXELS[:, :256])
    assert geobox.shape == PIXELS.shape
    assert [request.method for request in safe_door.requests("webdav")] == ["GET"] * 4


def test_a_header_for_a_catalog_takes_two_requests_and_is_never_old(safe_door: Door) -> None:
    href = source_of(safe_door).href
    for _ in range(2):
        safe_door.clear_log()
        found = catalog_headers.header(catalog_headers.File(href, "scene.tif"))
        assert found.geobox.shape == PIXELS.shape
        assert [one.method for one in safe_door.requests("webdav")] == ["HEAD", "GET"]


def test_what_is_missing_is_asked_for_again(safe_door: Door, cog: bytes) -> None:
    scene = source_of(safe_door, path="/data/late.tif")
    with pytest.raises(DataError, match="no such file"):
        header(scene)
    safe_door.put("/data/late.tif", cog)
    assert header(scene).geobox.shape == PIXELS.shape


def test_without_gdals_function_nothing_old_is_read(
    safe_door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gdal_cache, "_clear", lambda: None)
    test_a_replaced_file_is_seen_after_a_while(safe_door, b"", monkeypatch, tmp_path)


def test_what_is_remembered_for_too_long_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(gdal_cache, "forget", forgotten.append)
    monkeypatch.setattr(gdal_cache, "_MANY", 2)
    known = gdal_cache.Remembered()
    assert [known.since("a", now, now - 60) for now in (100, 101, 159, 160, 161)] == [
        *(100, 100, 100, 160, 160)
    ]
    known.drop("a")
    assert known.since("a", 162, 102) == 162
    assert known.since("b", 163, 103) == 163
    assert known.since("c", 163, 103) == 163
    assert known.since("d", 223, 163) == 223  # the old ones are left out
    assert known.since("a", 223, 162) == 223
    known.clear()
    assert known.since("a", 224, 164) == 224
    assert forgotten == ["a", "a", "a", "b", "c", "d", "a", "a"]


def test_no_secret_is_in_settings_environment_or_command_line(safe_door: Door) -> None:
    secret = safe_door.token
    scene = source_of(safe_door)

    def work() -> tuple[str, str]:
        with borrow(scene).by_gdal() as dataset:
            return str(rasterio.env.getenv()), dataset.name

    told, name = attempt(work, scene)
    assert secret not in told
    assert secret not in name
    for place in ("environ", "cmdline"):
        assert secret.encode() not in Path(f"/proc/self/{place}").read_bytes()
    assert secret not in repr(scene)
    assert secret.encode() not in pickle.dumps((scene, gdal.options(scene.href)))


def test_headers_are_read_with_the_settings(
    safe_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = files._described

    def described(*given: Any) -> Any:
        seen.append(rasterio.env.getenv())
        return real(*given)

    monkeypatch.setattr(files, "_described", described)
    header(source_of(safe_door))
    assert seen[0]["GDAL_HTTP_LOW_SPEED_TIME"] == settings._REMOTE["GDAL_HTTP_LOW_SPEED_TIME"]


def header_place(scene: Source) -> Path:
    """The file that GDAL's name of a scene gives for its header lines."""
    query = gdal.gdal_path(scene.href).partition("?")[2]
    return Path(parse_qs(query)["header_file"][0])


linux = pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done where the system has no files in memory."""
    monkeypatch.setattr(secretfiles, "_in_memory", lambda name, text: None)


@linux
def test_header_files_are_memory_and_follow_the_credential(safe_door: Door, person: Person) -> None:
    scene = source_of(safe_door)
    header(scene)
    file = header_place(scene)
    assert file.read_text() == f"Authorization: Bearer {safe_door.token}\n"
    assert os.readlink(file).startswith("/memfd:")
    assert file.stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(int(file.name))
    person.secret("token", "another")
    assert header_place(scene) == file
    assert file.read_text() == "Authorization: Bearer another\n"


@linux
def test_a_file_in_memory_that_somebody_closed_is_made_again(safe_door: Door) -> None:
    """Programs that go on in the background close what they do not know."""
    scene = source_of(safe_door)
    number = int(header_place(scene).name)
    with open(os.devnull, "rb") as other:
        os.dup2(other.fileno(), number)  # Closed, and at once something else.
    try:
        assert int(header_place(scene).name) != number
        assert header(scene).dtype == "uint16"
    finally:
        os.close(number)


def test_header_files_on_disk_are_private_and_follow_the_credential(
    safe_door: Door, person: Person, on_disk: None
) -> None:
    scene = source_of(safe_door)
    header(scene)
    file = header_place(scene)
    assert file.read_text() == f"Authorization: Bearer {safe_door.token}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    person.secret("token", "another")
    assert header_place(scene) == file
    assert file.read_text() == "Authorization: Bearer another\n"


def test_header_files_that_a_logout_removed_are_made_again(safe_door: Door, on_disk: None) -> None:
    scene = source_of(safe_door)
    header(scene)
    shutil.rmtree(secretfiles._directory())
    assert header(scene).dtype == "uint16"


KILLED = """
import os, signal, sys
from rsdat.storage import gdal, gdal_cache
gdal.gdal_path(sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


@linux
def test_a_killed_process_leaves_no_secret(
    safe_door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(temporary))
    argv = [sys.executable, "-c", KILLED, source_of(safe_door).href]
    assert subprocess.run(argv, check=False, timeout=60).returncode == -signal.SIGKILL
    assert list(temporary.rglob("*")) == []


def test_what_a_killed_process_left_is_removed(
    safe_door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / f"{secretfiles._PREFIX}999999999-x"
    left.mkdir(mode=0o700)
    (left / "cookies-0").write_text("session=old")
    ours = tmp_path / f"{secretfiles._PREFIX}1-x"
    ours.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(secretfiles, "_swept", [])
    header_place(source_of(safe_door))
    assert not left.exists()
    assert ours.exists()


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("/data/x.tif", "/data/x.tif"),
        ("s3://bucket/a b.tif", "/vsis3/bucket/a b.tif"),
        ("https://example.org/x.tif?sig=1", "https://example.org/x.tif?sig=1"),
        (
            "dcache://door.example.org/a b?.tif",
            "/vsicurl/https://door.example.org:2880/a%20b%3F.tif",
        ),
        ("dcache://door.example.org:443/x", "/vsicurl/https://door.example.org:443/x"),
        ("davs://cloud.example.org/x", "/vsicurl/https://cloud.example.org/x"),
        ("dav://127.0.0.1:8080/x", "/vsicurl/http://127.0.0.1:8080/x"),
    ],
)
def test_gdals_name_of_an_href(person: Person, href: str, path: str) -> None:
    assert gdal.gdal_path(href) == path


def test_a_buckets_settings_are_references(person: Person) -> None:
    person.secret("keys", "[surf]\naws_access_key_id = a\naws_secret_access_key = hidden\n")
    entry = {"profile": "surf", "credentials_file": "~/keys", "endpoint": "http://localhost:5000"}
    person.credentials(**{"s3://scenes": entry})
    found = gdal.options("s3://scenes/x.tif")
    assert found["CPL_AWS_CREDENTIALS_FILE"] == str(person.home / "keys")
    assert found["AWS_PROFILE"] == "surf"
    assert (found["AWS_S3_ENDPOINT"], found["AWS_HTTPS"]) == ("localhost:5000", "NO")
    assert found["AWS_VIRTUAL_HOSTING"] == "FALSE"
    assert "hidden" not in str(found)
    assert "AWS_PROFILE" not in gdal.options("s3://other/x.tif")


def test_keys_in_variables_reach_gdal_in_a_private_file(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "the-key")
    monkeypatch.setenv("MY_SECRET", "hidden")
    entry = {"access_key_env": "MY_KEY", "secret_key_env": "MY_SECRET"}
    person.credentials(**{"s3://scenes": entry})
    found = gdal.options("s3://scenes/x.tif")
    file = Path(found["CPL_AWS_CREDENTIALS_FILE"])
    assert file.read_text() == (
        "[default]\naws_access_key_id = the-key\naws_secret_access_key = hidden\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hidden" not in str(found)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-something-else")
    with pytest.raises(CredentialError, match="GDAL would take AWS_SECRET_ACCESS_KEY"):
        gdal.options("s3://scenes/x.tif")


def test_a_server_that_falls_silent_is_asked_again(
    safe_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings._REMOTE, "GDAL_HTTP_LOW_SPEED_TIME", 3)
    monkeypatch.setitem(settings._REMOTE, "GDAL_HTTP_RETRY_DELAY", 0.01)
    scene = source_of(safe_door)
    geobox = header(scene).geobox
    safe_door.fault("delay", origin="webdav", value=60, verb="GET")
    pixels = read(scene, geobox[:256, :256], dtype="uint16")
    np.testing.assert_array_equal(pixels, PIXELS[:256, :256])


def test_a_password_reaches_the_door_and_no_pool(safe_door: Door, person: Person) -> None:
    safe_door.password("anna", "word")
    host = safe_door.webdav.removeprefix("https://")
    person.secret("netrc", "machine 127.0.0.1 login anna password word\n")
    person.credentials(**{host: {"netrc": "~/netrc", "ca_file": "~/ca.pem"}})
    assert header(source_of(safe_door)).dtype == "uint16"
    assert not any(request.authorized for request in safe_door.requests("pool"))


def test_proxies_and_authorities_go_by_their_names(person: Person) -> None:
    person.secret("proxy", proxy(hours=1))
    person.credentials(**{"door.example.org": {"proxy_file": "~/proxy", "ca_file": "~/"}})
    found = gdal.options("dcache://door.example.org/x")
    assert found["GDAL_HTTP_SSLCERT"] == found["GDAL_HTTP_SSLKEY"] == str(person.home / "proxy")
    assert found["GDAL_HTTP_CAPATH"].rstrip("/") == str(person.home)
    assert gdal.gdal_path("davs://door.example.org/x") == "/vsicurl/https://door.example.org/x"


def test_a_graph_of_a_door_computes_in_another_process_and_holds_no_secret(
    safe_door: Door,
) -> None:
    item = pystac.Item("scene", None, None, datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC), {})
    item.add_asset("red", pystac.Asset(source_of(safe_door).href))
    graph = load([item], "red", scale=False).red
    assert safe_door.token.encode() not in cloudpickle.dumps(graph)
    with dask.config.set({"multiprocessing.context": "spawn", "num_workers": 1}):
        pixels = graph.isel(time=0).compute(scheduler="processes")
    np.testing.assert_array_equal(pixels, PIXELS)
    assert not any(request.authorized for request in safe_door.requests("pool"))
