"""Requests to the door by http.client, for the tests of the door itself."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any

from tests.dcache.door import Door


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """One request; no redirect is followed. A header ``token`` becomes the authorization."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items() if name != "token"}
    if "token" in headers:
        sent["Authorization"] = f"bearer {headers['token']}"
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def rest(door: Door, path: str, method: str = "GET", body: Any = None, **query: str) -> Answer:
    text = urllib.parse.urlencode(query)
    url = f"{door.rest}/api/v1/{path}" + (f"?{text}" if text else "")
    return ask(url, method, None if body is None else json.dumps(body), token=door.token)


def namespace(door: Door, path: str, **details: Any) -> Answer:
    return rest(door, "namespace" + urllib.parse.quote(path), **details)


def dav(door: Door, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    headers.setdefault("token", door.token)
    return ask(door.webdav + urllib.parse.quote(path), method, body, **headers)


def read(door: Door, path: str, **headers: str) -> Answer:
    """Follow the door's redirect without the token, as clients do between origins."""
    moved = dav(door, path)
    assert moved.status == 302, moved.body
    return ask(moved.headers["Location"], **headers)
