"""The ends of copies in tests: one address for each protocol, with credentials by reference."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import fsspec
import pytest

from rsdat.storage import storage_options, transfer
from rsdat.storage.dcache import storing
from rsdat.storage.dcache.retrying import Policy
from rsdat.storage.transfer_places import place_of
from tests.conftest import Sshd
from tests.dcache.door import Door
from tests.servers.programs import Server
from tests.storage.secrets import Person
from tests.storage.waiting import left, unhurried

#: A short clock: what is tested is that there is another try, not how long it waits.
SHORT = Policy(retries=12, pause=0.02)


@dataclass
class Ends:
    """Base addresses by protocol, and how to look at what lies there."""

    door: Door
    home: Path
    urls: dict[str, str] = field(default_factory=dict)
    entries: dict[str, dict[str, str]] = field(default_factory=dict)

    def url(self, protocol: str, name: str) -> str:
        return f"{self.urls[protocol]}/{quote(name) if protocol == 'https' else name}"

    def write(self, url: str, data: bytes) -> None:
        if url.startswith("http"):
            self.door.put("/" + unquote(url.split("/", 3)[3]), data)
            return
        place = place_of(url)
        place.fs.pipe_file(place.path, data)

    def read(self, url: str) -> bytes:
        place = place_of(url)
        return bytes(place.fs.cat_file(place.path))

    def hidden(self) -> list[str]:
        """What is left of copies, here and, when it has noticed their end, at the door."""
        there = left(lambda: [p for p in self.door.paths("/") if ".part" in p])
        return there + [str(p) for p in self.home.parent.rglob("*.part")]


@pytest.fixture
def short_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)
    # The door of the tests shows nothing late, unless it is told to.
    monkeypatch.setattr(storing, "SWEEPS", storing.LOOKS)


@pytest.fixture
def ends(make_door: Callable[..., Door], person: Person, tmp_path: Path, short_clock: None) -> Ends:
    """This machine, memory, and a door as ``dcache://``, ``davs://`` and ``https://``."""
    door = make_door(tls="good")
    assert door.authority is not None
    door.authority.write(person.home / "ca.pem")
    person.secret("token", door.token)
    host = door.webdav.removeprefix("https://")
    made = Ends(door, person.home)
    made.entries[host] = {
        "token_file": "~/token",
        "ca_file": "~/ca.pem",
        "api": f"{door.rest}/api/v1",
    }
    person.credentials(**made.entries)
    here = tmp_path / "here"
    here.mkdir()
    made.urls |= {
        "local": str(here),
        "memory": f"memory://{secrets.token_hex(4)}",
        "dcache": f"dcache://{host}/d",
        "davs": f"davs://{host}/d",
        "https": f"https://{host}/d",
    }
    return made


@pytest.fixture
def all_ends(
    ends: Ends, person: Person, s3_server: Server, sftp_server: Sshd, tmp_path: Path
) -> Ends:
    """Every protocol."""
    bucket = f"b{secrets.token_hex(4)}"
    person.secret("keys", "[x]\naws_access_key_id = a\naws_secret_access_key = b\n")
    key = person.secret("id", (sftp_server.directory / "user_key").read_text())
    login = f"sftp://127.0.0.1:{sftp_server.port}"
    ends.entries[f"s3://{bucket}"] = {
        "profile": "x",
        "credentials_file": "~/keys",
        "endpoint": s3_server.url,
        "region": "eu-west-1",
    }
    ends.entries[login] = {
        "username": getpass.getuser(),
        "key_file": str(key),
        "known_hosts": str(sftp_server.known_hosts),
    }
    person.credentials(**ends.entries)
    fs, _ = fsspec.url_to_fs(f"s3://{bucket}", **storage_options(f"s3://{bucket}"))
    fs.mkdir(bucket)
    far = tmp_path / "far"
    far.mkdir()
    ends.urls |= {"s3": f"s3://{bucket}/d", "sftp": f"{login}{far}"}
    return ends
