"""What disturbs a client: faults that are ordered, certificates; and the door as a program."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dcache.asking import ask, dav, namespace, read
from tests.dcache.door import Door


def test_faults(door: Door) -> None:
    data = bytes(range(256)) * 4000
    door.put("/f", data)
    door.fault("status", "/f", verb="GET", origin="webdav", value=503, times=2)
    assert [dav(door, "/f").status for _ in range(3)] == [503, 503, 302]
    door.fault("expired", "/f")
    assert dav(door, "/f").status == 401
    door.fault("reset", "/f", origin="webdav")
    with pytest.raises(ConnectionError):
        dav(door, "/f")
    door.fault("truncate", "/f", value=500_000)
    with pytest.raises(http.client.IncompleteRead) as short:
        read(door, "/f")
    assert short.value.partial == data[:500_000]
    door.fault("reset", "/f", value=300_000)
    with pytest.raises(ConnectionError):
        read(door, "/f")
    door.fault("corrupt", "/f", value=700_000)
    assert [i for i, pair in enumerate(zip(read(door, "/f").body, data, strict=True))
            if pair[0] != pair[1]] == [700_000]  # fmt: skip
    door.fault("checksum", "/f")
    assert namespace(door, "/f", checksum="true").json["checksums"][0]["value"] == "deadbeef"
    door.fault("reset", "/g", value=100)
    with pytest.raises(ConnectionError):
        dav(door, "/g", "PUT", bytes(10_000_000))
    assert not door.exists("/g")
    door.fault("vanish", "/f")
    assert len(namespace(door, "/", children="true").json["children"]) == 1
    assert namespace(door, "/f").status == 404


@pytest.mark.parametrize("kind", ["good", "expired", "other-host"])
def test_certificates(make_door: Callable[..., Door], tmp_path: Path, kind: str) -> None:
    door = make_door(tls=kind)
    assert door.authority is not None
    trust = ssl.create_default_context(cafile=str(door.authority.write(tmp_path / "ca.pem")))
    netloc = door.webdav.removeprefix("https://")
    connection = http.client.HTTPSConnection(netloc, timeout=60, context=trust)
    if kind == "good":
        connection.request("OPTIONS", "/", headers={"Authorization": f"Bearer {door.token}"})
        assert connection.getresponse().status == 200
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            connection.connect()
    connection.close()


def test_an_x509_proxy_names_its_user(make_door: Callable[..., Door], tmp_path: Path) -> None:
    door = make_door(tls="good")
    assert door.authority is not None
    trust = ssl.create_default_context(cafile=str(door.authority.write(tmp_path / "ca.pem")))
    for user in ("", "ann"):
        if user:
            (tmp_path / "proxy").write_bytes(door.authority.proxy(user))
            trust.load_cert_chain(tmp_path / "proxy")
        netloc = door.rest.removeprefix("https://")
        connection = http.client.HTTPSConnection(netloc, timeout=60, context=trust)
        connection.request("GET", "/api/v1/user")
        found = json.loads(connection.getresponse().read())
        assert found.get("username", "") == user
        connection.close()


def test_the_network_goes_and_comes_back(door: Door) -> None:
    door.put("/f", b"hello")
    door.options.redirect_reads = False
    netloc = door.webdav.removeprefix("http://")
    kept = http.client.HTTPConnection(netloc, timeout=60)
    headers = {"Authorization": f"Bearer {door.token}"}

    def ask_again() -> bytes:
        kept.request("GET", "/f", headers=headers)
        return kept.getresponse().read()

    assert ask_again() == b"hello"
    door.disconnect()
    with pytest.raises(ConnectionError):
        ask_again()
    with pytest.raises(ConnectionError):
        dav(door, "/f")
    door.reconnect()
    assert dav(door, "/f").body == b"hello"
    kept.close()


def test_the_program_prints_its_addresses(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.dcache", "--files", "3", "--storage", "disk"],
        stdout=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        known = json.loads(program.stdout.readline())
        body = bytes(3_000_000)
        assert ask(known["webdav"] + "/big", "PUT", body, token=known["token"]).status == 201
        ask(known["control"] + "/fault", "POST", '{"kind": "status", "path": "/big"}')
        assert ask(known["webdav"] + "/big", token=known["token"]).status == 500
        listed = ask(known["rest"] + "/api/v1/namespace/files?children=true", token=known["token"])
        assert len(listed.json["children"]) == 3
        log = ask(known["control"] + "/log").json
        assert [entry["received"] for entry in log] == [3_000_000, 0, 0]
    finally:
        program.terminate()
        assert program.wait(60) == 0
        assert program.stdout is not None
        program.stdout.close()
