"""The benchmarks' range server: what it answers, and that it counts what it was asked."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.raster.range_server import Counted, serve

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Counted]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "bytes.bin").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("outside")
    with serve(folder, latency=0) as counted:
        yield counted


def ask(counted: Counted, path: str, method: str = "GET", **headers: str):
    connection = http.client.HTTPConnection(urlsplit(counted.url).netloc, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, 10240),
        ("bytes=-7", 10233, 10240),
        ("bytes=10230-99999", 10230, 10240),
    ],
)
def test_ranges_are_those_that_were_asked(server, asked, start, stop):
    status, headers, body = ask(server, "/bytes.bin", Range=asked)
    assert (status, body) == (206, CONTENT[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/10240"


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=5-2", "bytes=-0", "bytes=0-1,4-5"])
def test_ranges_that_cannot_be_met_are_refused(server, asked):
    assert ask(server, "/bytes.bin", Range=asked)[0] == 416


def test_without_a_range_the_whole_file_comes(server):
    status, headers, body = ask(server, "/bytes.bin")
    assert (status, body, headers["Accept-Ranges"]) == (200, CONTENT, "bytes")


def test_nothing_outside_the_folder_is_served(server):
    assert ask(server, "/../secret")[0] == 404
    assert ask(server, "/%2e%2e/secret")[0] == 404


def test_requests_and_bytes_are_counted_by_path(server):
    ask(server, "/bytes.bin", Range="bytes=0-9")
    ask(server, "/bytes.bin", method="HEAD")
    ask(server, "/absent")
    assert server.requests == {"/bytes.bin": 2, "/absent": 1}
    assert server.totals() == (3, 10)
    server.reset()
    assert server.totals() == (0, 0)


def test_a_connection_is_kept_alive(server):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    for start in (0, 5):
        connection.request("GET", "/bytes.bin", headers={"Range": f"bytes={start}-{start + 4}"})
        first = connection.sock
        assert connection.getresponse().read() == CONTENT[start : start + 5]
        assert connection.sock is first is not None
    connection.close()
