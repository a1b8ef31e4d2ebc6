"""fsspec's http, s3 and sftp filesystems with credentials: used, and in no pickle or option."""

from __future__ import annotations

import http.server
import json
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import fsspec
import pytest

from rsdat.errors import ConfigError, CredentialError
from rsdat.storage import read_text, storage_options
from rsdat.storage.credentials import Credential
from tests.storage.secrets import Person


@dataclass
class Server:
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
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    foreign = Server()
    server = Server(foreign.url)
    yield server, foreign
    server.close()
    foreign.close()


@pytest.fixture
def configured(servers: tuple[Server, Server], person: Person) -> Server:
    person.secret("token", "first-secret")
    host = servers[0].url.removeprefix("http://")
    person.credentials(**{host: {"token_file": "~/token"}})
    return servers[0]


def test_a_text_is_read_with_the_credential_as_it_is_now(
    configured: Server, person: Person
) -> None:
    assert json.loads(read_text(f"{configured.url}/catalog.json"))["by"] == "Bearer first-secret"
    person.secret("token", "other-secret")
    assert json.loads(read_text(f"{configured.url}/catalog.json"))["by"] == "Bearer other-secret"


def test_a_redirect_to_another_origin_goes_without(
    configured: Server, servers: tuple[Server, Server]
) -> None:
    assert json.loads(read_text(f"{configured.url}/away"))["by"] is None
    assert configured.seen == [("/away", "Bearer first-secret")]
    assert servers[1].seen == [("/here", None)]


def test_an_address_without_a_credential_is_asked_without(
    configured: Server, servers: tuple[Server, Server]
) -> None:
    assert storage_options(servers[1].url) == {}
    assert json.loads(read_text(f"{servers[1].url}/x"))["by"] is None


def test_a_missing_secret_is_told_as_such(configured: Server, person: Person) -> None:
    (person.home / "token").unlink()
    with pytest.raises(CredentialError, match="~/token does not exist"):
        read_text(f"{configured.url}/x")


def test_no_secret_is_in_a_filesystem(configured: Server) -> None:
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
    pytest.importorskip("aiobotocore")
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
