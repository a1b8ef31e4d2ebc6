"""Servers that give files to signed requests only: blob storage with SAS tokens, and a login.

The blob storage follows Azure's paths (/ACCOUNT/CONTAINER/NAME) and Planetary Computer's token
service (``{"msft:expiry": …, "token": …}``); the login is like Earthdata's: a redirect to another
host, which wants user and password, and back with a cookie.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """A request: path, query, and headers with names in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@contextmanager
def serving(answer: Callable[[Asked], Answer], host: str = "127.0.0.1") -> Iterator[str]:
    """A web server; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parse_qs(parts.query), headers)
            status, more, body = answer(asked)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def file_answer(file: Path, asked: Asked) -> Answer:
    """A file, or the range of it that is asked for."""
    if not file.is_file():
        return 404, {}, b""
    data = file.read_bytes()
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if span is None:
        return 200, {"Accept-Ranges": "bytes"}, data
    start, end = int(span[1]), min(int(span[2] or len(data)), len(data) - 1)
    headers = {"Content-Range": f"bytes {start}-{end}/{len(data)}", "Accept-Ranges": "bytes"}
    return 206, headers, data[start : end + 1]


@dataclass
class Blobs:
    """Blob storage over a directory; ``tokens`` are those that were given, the last is good."""

    directory: Path
    lifetime: float = 3600
    tokens: list[str] = field(default_factory=list)
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Answer:
        if asked.path.startswith("/token/"):
            return self._token(asked.path.removeprefix("/token/"))
        good = bool(self.tokens) and asked.query.get("sig") == [self.tokens[-1]]
        if not good:
            return 403, {}, b"AuthenticationFailed"
        return file_answer(self.directory / asked.path.lstrip("/"), asked)

    def _token(self, container: str) -> Answer:
        if container != "account/container":
            return 404, {}, b""
        with self.lock:
            self.tokens.append(f"SIGNATURE{len(self.tokens)}")
            ends = datetime.now(UTC) + timedelta(seconds=self.lifetime)
            token = f"st=2024&sp=rl&sig={self.tokens[-1]}"
        body = {"msft:expiry": ends.isoformat().replace("+00:00", "Z"), "token": token}
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


@contextmanager
def blobs(directory: Path) -> Iterator[Blobs]:
    """Blob storage with its token service at ``/token``."""
    found = Blobs(directory)
    with serving(found.answer) as address:
        found.address = address
        yield found


@dataclass
class Archive:
    """A data host that wants a login elsewhere, and who asked for what."""

    data: str
    login: str
    to_data: list[Asked]
    to_login: list[Asked]


@contextmanager
def archive(directory: Path, user: str, password: str) -> Iterator[Archive]:
    """An archive like those of Earthdata: data at ``localhost``, the login at ``127.0.0.1``."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    to_data: list[Asked] = []
    to_login: list[Asked] = []
    places: dict[str, str] = {}

    def login(asked: Asked) -> Answer:
        to_login.append(asked)
        if asked.headers.get("authorization") != f"Basic {word}":
            return 401, {"WWW-Authenticate": 'Basic realm="login"'}, b""
        back = quote(asked.query["state"][0])
        return 302, {"Location": f"{places['data']}/login?code=7&state={back}"}, b""

    def data(asked: Asked) -> Answer:
        to_data.append(asked)
        if asked.path == "/login":
            cookie = "session=yes; Path=/"
            return 302, {"Location": asked.query["state"][0], "Set-Cookie": cookie}, b""
        if "session=yes" not in asked.headers.get("cookie", ""):
            state = quote(f"{places['data']}{asked.path}", safe="")
            return 302, {"Location": f"{places['login']}/oauth?state={state}"}, b""
        return file_answer(directory / asked.path.lstrip("/"), asked)

    with serving(login) as at_login, serving(data, "localhost") as at_data:
        places |= {"login": at_login, "data": at_data}
        yield Archive(at_data, at_login, to_data, to_login)
