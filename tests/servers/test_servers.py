"""Each server takes a file, gives it back and lists it; none outlives the tests."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.webdav import PASSWORD, USER

if TYPE_CHECKING:
    from tests.conftest import Sshd
    from tests.servers.programs import Server
    from tests.servers.stac_api import StacApi

ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "scene",
    "geometry": {"type": "Point", "coordinates": [5.0, 52.0]},
    "bbox": [5.0, 52.0, 5.0, 52.0],
    "properties": {"datetime": "2024-06-01T10:00:00Z", "eo:cloud_cover": 7},
    "links": [],
    "assets": {},
}


def ask(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body, sent)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_webdav(webdav_server: Server) -> None:
    url = f"{webdav_server.url}/a%20b.txt"
    assert ask(url, "PUT", b"hello")[0] in (200, 201)
    assert (webdav_server.root / "a b.txt").read_bytes() == b"hello"
    assert ask(url) == (200, b"hello")
    assert ask(url, Range="bytes=1-2") == (206, b"el")
    status, body = ask(f"{webdav_server.url}/", "PROPFIND", Depth="1")
    assert status == 207
    hrefs = [urllib.parse.unquote(e.text or "") for e in ET.fromstring(body).iter("{DAV:}href")]
    assert any(href.endswith("/a b.txt") for href in hrefs)
    assert ask(f"{webdav_server.url}/d/", "MKCOL")[0] == 201
    assert ask(url, "DELETE")[0] in (200, 204)
    assert [path.name for path in webdav_server.root.iterdir()] == ["d"]


def test_webdav_behind_a_password(apache_with_password: Server) -> None:
    url = f"{apache_with_password.url}/f"
    assert ask(url, "PUT", b"1")[0] == 401
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert ask(url, "PUT", b"1", Authorization=f"Basic {login}")[0] == 201


def test_s3(s3_server: Server) -> None:
    key = "AWS4-HMAC-SHA256 Credential=any/20240101/us-east-1/s3/aws4_request"
    bucket = f"{s3_server.url}/b{secrets.token_hex(4)}"
    assert ask(bucket, "PUT", Authorization=key)[0] == 200
    assert ask(f"{bucket}/d/f", "PUT", b"hello", Authorization=key)[0] == 200
    assert ask(f"{bucket}/d/f", Authorization=key) == (200, b"hello")
    assert b"<Key>d/f</Key>" in ask(f"{bucket}?list-type=2", Authorization=key)[1]


def test_stac_api(stac_api_server: StacApi) -> None:
    import json

    name = f"c{secrets.token_hex(4)}"
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    collection = {"type": "Collection", "id": name, "stac_version": "1.0.0", "links": [],
                  "description": "d", "license": "other", "extent": extent}  # fmt: skip
    items = [{**ITEM, "id": f"i{n}", "collection": name} for n in range(3)]
    stac_api_server.load(collection, items)
    query = {"collections": [name], "filter-lang": "cql2-json", "limit": 2,
             "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}}  # fmt: skip
    status, body = ask(f"{stac_api_server.url}/search", "POST", json.dumps(query).encode(),
                       Content_Type="application/json")  # fmt: skip
    assert status == 200, body
    found = json.loads(body)
    assert len(found["features"]) == 2
    assert "next" in {link["rel"] for link in found["links"]}


def test_sftp(sftp_server: Sshd) -> None:
    directory = sftp_server.directory
    (directory / "here").write_text("hello")
    commands = f"put {directory}/here {directory}/there\nls -1 {directory}/there\n"
    argv = ["sftp", "-F", str(sftp_server.ssh_config), "-b", "-", "login"]
    done = subprocess.run(argv, input=commands, capture_output=True, text=True, check=True)
    assert (directory / "there").read_text() == "hello"
    assert f"{directory}/there" in done.stdout


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.servers.programs import running, workplace\n"
        "with workplace('killed') as place:\n"
        "    argv = lambda port: ['sh', '-c', f'{sys.executable} -m http.server {port} & wait']\n"
        "    with running(argv, place, own_rights=True) as port:\n"
        "        print(port, place, flush=True)\n"
        "        time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        port, place = tests.stdout.readline().decode().split()
        assert ask(f"http://127.0.0.1:{port}/")[0] == 200
        server = f"http.server {port} ".encode()
        assert any(server in line for line in command_lines())
        os.kill(tests.pid, signal.SIGKILL)
    until(lambda: not any(server in line for line in command_lines()))
    until(lambda: not os.path.exists(place))  # the watchdog's last work


def command_lines() -> Iterator[bytes]:
    """Of all processes; one that has ended has none."""
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            yield Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ")


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
