"""An HTTP server on loopback that answers ranges late, and counts what it was asked.

What a store far away does to a reader, offline: every request waits the latency before the first
byte; requests of several connections wait side by side.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
_PIECE = 1 << 18


class Counted:
    """Requests and bytes since the last reset, by path; and where the server listens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reset(self) -> None:
        with self._lock:
            self.requests.clear()
            self.bytes.clear()

    def add(self, path: str, size: int) -> None:
        with self._lock:
            self.requests[path] += 1
            self.bytes[path] += size

    def totals(self) -> tuple[int, int]:
        """Requests and bytes over all paths."""
        with self._lock:
            return sum(self.requests.values()), sum(self.bytes.values())


@contextmanager
def serve(
    directory: Path, *, latency: float = 0.05, bandwidth: float | None = None
) -> Iterator[Counted]:
    """Serve the files of a directory on a free port of loopback.

    Parameters
    ----------
    directory
        Whose files are served, read-only; nothing outside it.
    latency
        Seconds before the first byte of every answer.
    bandwidth
        Bytes a second of each connection; None: as fast as it goes.
    """
    root = directory.resolve()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.root, server.latency, server.bandwidth = root, latency, bandwidth
    server.counted = Counted(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.counted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # kept-alive connections end with the process
    request_queue_size = 128
    root: Path
    latency: float
    bandwidth: float | None
    counted: Counted


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the first bytes leave together, and small answers do not wait for one another.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        time.sleep(self.server.latency)
        path = unquote(urlsplit(self.path).path)
        place = (self.server.root / path.lstrip("/")).resolve()
        if not (place.is_relative_to(self.server.root) and place.is_file()):
            self.server.counted.add(path, 0)
            self._head(404, 0)
            return
        size = place.stat().st_size
        asked = self.headers.get("Range")
        span = _span(asked, size) if asked else (0, size)
        if span is None:
            self.server.counted.add(path, 0)
            self._head(416, 0, {"Content-Range": f"bytes */{size}"})
            return
        start, stop = span
        self.server.counted.add(path, stop - start if body else 0)
        extra = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"} if asked else {}
        self._head(206 if asked else 200, stop - start, extra)
        if body:
            self._send(place, start, stop)

    def _head(self, status: int, size: int, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", **(extra or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send(self, place: Path, start: int, stop: int) -> None:
        began, sent = time.monotonic(), 0
        with place.open("rb") as opened:
            opened.seek(start)
            while sent < stop - start:
                piece = opened.read(min(_PIECE, stop - start - sent))
                self.wfile.write(piece)
                sent += len(piece)
                if self.server.bandwidth:
                    time.sleep(max(0, began + sent / self.server.bandwidth - time.monotonic()))

    def log_message(self, *_: Any) -> None:
        pass  # the counts are the log


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Start and stop of a single range; None where it cannot be satisfied.

    Several ranges in one request are answered as none can be, which readers take as "ask singly".
    """
    match = _RANGE.match(asked.strip())
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    stop = min(int(last) + 1, size) if last else size
    return (int(first), stop) if int(first) < stop else None
