"""fsspec's http, s3 and sftp filesystems with credentials: used, and in no pickle or option."""

from __future__ import annotations

import http.server
import json
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import pytest
import rasterio

from rsdat.errors import ConfigError, CredentialError
from rsdat.raster import handles
from rsdat.raster.files import header
from rsdat.raster.sources import Source
from rsdat.storage import read_text, storage_options
from rsdat.storage.credentials import Credential
from rsdat.storage.credentials.hostkeys import HostKeys
from tests.servers.programs import Server
from tests.storage.secrets import Person


@dataclass
class Echo:
    """Answers each request with what it was authorised by; ``/away`` leads to another origin."""

    other: str = ""
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(302 if self.path == "/away" else 200)
                if self.path == "/away":
                    self.send_header("Location", f"{outer.other}/here")
                body = json.dumps({"by": self.headers.get("Authorization")}).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def servers() -> Iterator[tuple[Echo, Echo]]:
    foreign = Echo()
    server = Echo(foreign.url)
    yield server, foreign
    server.close()
    foreign.close()


@pytest.fixture
def configured(servers: tuple[Echo, Echo], person: Person) -> Echo:
    person.secret("token", "first-secret")
    host = servers[0].url.removeprefix("http://")
    person.credentials(**{host: {"token_file": "~/token"}})
    return servers[0]


def test_a_text_is_read_with_the_credential_as_it_is_now(configured: Echo, person: Person) -> None:
    assert json.loads(read_text(f"{configured.url}/catalog.json"))["by"] == "Bearer first-secret"
    person.secret("token", "other-secret")
    assert json.loads(read_text(f"{configured.url}/catalog.json"))["by"] == "Bearer other-secret"


def test_a_redirect_to_another_origin_goes_without(
    configured: Echo, servers: tuple[Echo, Echo]
) -> None:
    assert json.loads(read_text(f"{configured.url}/away"))["by"] is None
    assert configured.seen == [("/away", "Bearer first-secret")]
    assert servers[1].seen == [("/here", None)]


def test_an_address_without_a_credential_is_asked_without(
    configured: Echo, servers: tuple[Echo, Echo]
) -> None:
    assert storage_options(servers[1].url) == {}
    assert json.loads(read_text(f"{servers[1].url}/x"))["by"] is None


def test_a_missing_secret_is_told_as_such(configured: Echo, person: Person) -> None:
    (person.home / "token").unlink()
    with pytest.raises(CredentialError, match="~/token does not exist"):
        read_text(f"{configured.url}/x")


def test_no_secret_is_in_a_filesystem(configured: Echo) -> None:
    url = f"{configured.url}/x"
    filesystem, path = fsspec.url_to_fs(url, **storage_options(url))
    assert filesystem.cat_file(path)
    assert "first-secret" not in str(filesystem.storage_options)
    assert b"first-secret" not in pickle.dumps(filesystem)
    assert pickle.loads(pickle.dumps(filesystem)).cat_file(path)


def test_sftp_takes_a_key_and_no_password(person: Person) -> None:
    person.secret("id", "key")
    person.credentials(
        **{
            "sftp://login.example.org": {"username": "me", "key_file": "~/id"},
            "sftp://other.example.org": {"username": "me", "password_file": "~/id"},
        }
    )
    assert storage_options("sftp://login.example.org/x") == {
        "transport_factory": HostKeys("login.example.org"),
        "username": "me",
        "key_filename": str(person.home / "id"),
    }
    with pytest.raises(ConfigError, match="takes a key"):
        storage_options("sftp://other.example.org/x")


def test_buckets_by_profile_and_endpoint(person: Person) -> None:
    entry = {
        "profile": "surf",
        "endpoint": "https://s3.example.org",
        "region": "eu",
        "ca_file": "~/ca",
    }
    person.credentials(**{"s3://scenes": entry, "s3://open-*": {"anonymous": True}})
    assert storage_options("s3://scenes/x") == {
        "profile": "surf",
        "endpoint_url": "https://s3.example.org",
        "client_kwargs": {"region_name": "eu", "verify": str(person.home / "ca")},
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    assert storage_options("s3://open-data/x") == {"anon": True}


def test_keys_in_variables_are_pickled_as_the_reference(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "the-key")
    monkeypatch.setenv("MY_SECRET", "hidden-secret")
    credential = Credential.from_options(access_key_env="MY_KEY", secret_key_env="MY_SECRET")
    session = credential.s3_options()["session"]
    assert "hidden-secret" not in repr(credential.s3_options())
    assert b"hidden-secret" not in pickle.dumps(credential.s3_options())
    monkeypatch.setenv("MY_SECRET", "renewed")
    assert repr(pickle.loads(pickle.dumps(session))) == repr(session)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(CredentialError, match="MY_KEY is not set"):
        credential.s3_options()


def test_a_bucket_by_references_through_s3fs_and_gdal(
    person: Person, s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.secret("keys", "[surf]\naws_access_key_id = a\naws_secret_access_key = hidden\n")
    entry = {"profile": "surf", "credentials_file": "~/keys", "endpoint": s3_server.url}
    person.credentials(**{"s3://scenes": {**entry, "region": "eu-west-1"}})
    scene = tmp_path / "scene.tif"
    profile = {"driver": "COG", "width": 64, "height": 32, "count": 1, "crs": "EPSG:32633"}
    grid = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(scene, "w", dtype="uint8", transform=grid, **profile):
        pass
    filesystem, _ = fsspec.url_to_fs("s3://scenes", **storage_options("s3://scenes"))
    filesystem.mkdir("scenes")
    filesystem.put_file(str(scene), "scenes/a b/scene#1.tif")
    filesystem.pipe_file("scenes/catalog.json", b"{}")
    assert read_text("s3://scenes/catalog.json") == "{}"
    assert b"hidden" not in pickle.dumps(filesystem)
    assert pickle.loads(pickle.dumps(filesystem)).cat_file("scenes/catalog.json") == b"{}"
    source = Source(item="i", asset="a", href="s3://scenes/a b/scene#1.tif", band=1)
    assert header(source).geobox.shape == (32, 64)
    with rasterio.open(scene, "w", dtype="uint8", transform=grid, **{**profile, "width": 96}):
        pass
    filesystem.put_file(str(scene), "scenes/a b/scene#1.tif")
    assert header(source).geobox.shape == (32, 64)
    monkeypatch.setattr(handles, "KEPT_SECONDS", -1)
    assert header(source).geobox.shape == (32, 96)
