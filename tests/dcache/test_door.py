"""The door itself, by http.client: what other tests rely on when they use it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import urllib.parse
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.dcache import macaroons
from tests.dcache.asking import ask, dav, namespace, read, rest
from tests.dcache.door import Door

NAMES = ["a b", "f 1+#.txt", "x?y.bin", "50%25", "q&a", "é", "日本", "semi;colon=1"]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_upload_listing_and_download(door: Door, name: str) -> None:
    path = f"/d/{name}"
    door.mkdir("/d")
    assert dav(door, path, "PUT", b"here").status == 201
    assert door.paths() == ["/d/", path]
    listed = namespace(door, "/d", children="true").json["children"]
    assert [child["fileName"] for child in listed] == [name]
    found = ET.fromstring(dav(door, "/d", "PROPFIND", Depth="1").body)
    hrefs = [urllib.parse.unquote(e.text or "") for e in found.iter("{DAV:}href")]
    assert hrefs == ["/d/", path]
    assert read(door, path).body == b"here"
    escaped = "namespace/" + urllib.parse.quote(path, safe="")
    assert rest(door, escaped).json["size"] == 4


def test_namespace_pages_and_flags(door: Door) -> None:
    for number in range(5):
        door.put(f"/d/{number}", b"x" * number)
    page = namespace(door, "/d", children="true", limit="2", offset="1", checksum="true").json
    assert [child["size"] for child in page["children"]] == [1, 2]
    assert {"type": "ADLER32", "value": f"{zlib.adler32(b'x'):08x}"} in (
        page["children"][0]["checksums"]
    )
    assert page["size"] == 512
    assert page["fileType"] == "DIR"
    assert "fileLocality" not in namespace(door, "/d", locality="true").json
    assert namespace(door, "/d/3", locality="true").json["fileLocality"] == "ONLINE"
    assert namespace(door, "/d", children="true", limit="-1").status == 400
    assert namespace(door, "/d", children="true", offset="x").status == 400


def test_namespace_actions(door: Door) -> None:
    door.put("/d/f", b"1")

    def act(path: str, action: str, **body: Any) -> int:
        return namespace(door, path, method="POST", body={"action": action, **body}).status

    assert act("/d", "mkdir", name="sub") == 201
    assert act("/d/f", "mv", destination="sub/g h") == 201
    assert door.paths() == ["/d/", "/d/sub/", "/d/sub/g h"]
    assert act("/d/sub/g h", "set-xattr", mode="CREATE", attributes={"k": "v"}) == 201
    assert act("/d/sub/g h", "set-xattr", mode="CREATE", attributes={"k": "w"}) == 409
    assert act("/d/sub/g h", "set-label", label="l") == 201
    found = namespace(door, "/d/sub/g h", xattr="true", labels="true").json
    assert (found["extendedAttributes"], found["labels"]) == ({"k": "v"}, ["l"])
    assert act("/d", "dance") == 400
    assert namespace(door, "/d/sub", method="DELETE").status == 400
    assert namespace(door, "/d/sub/g h", method="DELETE").status == 200
    missing = namespace(door, "/none")
    assert (missing.status, missing.json["status"]) == (404, "404")
    door.options.error_format = "old"
    assert namespace(door, "/none").json["errors"][0]["status"] == "404"


def test_reads_are_redirected_once_to_another_origin(door: Door) -> None:
    door.put("/f", b"0123456789")
    moved = dav(door, "/f")
    location = moved.headers["Location"]
    assert urllib.parse.urlsplit(location).hostname not in ("127.0.0.1", "localhost")
    assert ask(location, Want_Digest="adler32").headers["Digest"] == (
        f"adler32={zlib.adler32(b'0123456789'):08x}"
    )
    assert ask(location).status == 404
    assert [r.authorized for r in door.requests("pool")] == [False, False]
    assert [r.authorized for r in door.requests("webdav")] == [True]


def test_ranges(door: Door) -> None:
    door.put("/f", b"0123456789")
    one = read(door, "/f", Range="bytes=2-4")
    assert (one.status, one.body, one.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert read(door, "/f", Range="bytes=-3").body == b"789"
    assert read(door, "/f", Range="bytes=20-").status == 416
    many = read(door, "/f", Range="bytes=0-1,8-")
    assert many.headers.get_content_type() == "multipart/byteranges"
    assert b"Content-Range: bytes 0-1/10\r\n\r\n01\r\n--" in many.body
    assert b"Content-Range: bytes 8-9/10\r\n\r\n89\r\n--" in many.body


def upload_expecting(url: str, token: str, body: bytes) -> tuple[bytes, socket.socket]:
    """The first answer to a PUT that waits with its body."""
    parts = urllib.parse.urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"PUT {target} HTTP/1.1", f"Host: {parts.netloc}", "Expect: 100-continue"]
    lines += [f"Authorization: bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return connection.recv(65536), connection


def test_uploads_are_redirected_only_when_they_wait(door: Door) -> None:
    answer, connection = upload_expecting(f"{door.webdav}/f", door.token, b"hello")
    connection.close()
    assert answer.startswith(b"HTTP/1.1 307 ")
    headers = http.client.HTTPMessage()
    for line in answer.decode().split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        headers[name] = value
    answer, connection = upload_expecting(headers["Location"], "", b"hello")
    with connection:
        assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    assert door.read("/f") == b"hello"
    assert [(r.origin, r.status) for r in door.log] == [("webdav", 307), ("pool", 201)]


def test_uploads_that_are_refused(door: Door) -> None:
    door.put("/d/f", b"old")
    right = base64.b64encode(hashlib.md5(b"new").digest()).decode()
    assert dav(door, "/d/f", "PUT", b"new", Content_MD5=right).status == 201
    assert dav(door, "/d/g", "PUT", b"bad", Content_MD5=right).status == 400
    assert not door.exists("/d/g")
    assert dav(door, "/d", "PUT", b"x").status == 405
    assert dav(door, "/none/f", "PUT", b"x").status == 409
    door.options.quota = 5
    assert dav(door, "/d/g", "PUT", b"123").status == 507
    assert dav(door, "/d/f", "PUT", b"12345").status == 201
    door.options.overwrite = False
    assert dav(door, "/d/f", "PUT", b"x").status == 409
    assert door.read("/d/f") == b"12345"


def test_an_upload_that_breaks_off_leaves_no_entry(door: Door) -> None:
    head = f"PUT /f HTTP/1.1\r\nHost: h\r\nAuthorization: bearer {door.token}\r\n"
    host, _, port = door.webdav.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: 100\r\n\r\nhalf".encode())
        while not door.exists("/f"):
            pass
        assert "size" not in namespace(door, "/f").json
    while door.exists("/f"):
        pass


def test_webdav_directories(door: Door) -> None:
    assert dav(door, "/d", "MKCOL").status == 201
    assert dav(door, "/d", "MKCOL").status == 405
    assert dav(door, "/none/d", "MKCOL").status == 409
    door.put("/d/f", b"1")
    target = {"Destination": f"{door.webdav}/e%20e"}
    assert dav(door, "/d", "COPY", **target).status == 201
    assert dav(door, "/d", "MOVE", Overwrite="F", **target).status == 412
    assert dav(door, "/d", "MOVE", **target).status == 204
    assert door.paths() == ["/e e/", "/e e/f"]
    assert dav(door, "/e e").headers.get_content_type() == "text/html"
    door.deny("/e e", "LIST")
    hidden = ET.fromstring(dav(door, "/e e", "PROPFIND", Depth="1").body)
    assert len(hidden.findall("{DAV:}response")) == 1
    assert dav(door, "/e e", "DELETE").status == 204
    assert door.paths() == []


def test_a_door_with_a_root_of_its_own(make_door: Callable[..., Door]) -> None:
    door = make_door(root="/pnfs/site")
    door.put("/pnfs/site/d/f", b"1")
    assert rest(door, "doors").json[0]["root"] == "/pnfs/site"
    assert read(door, "/d/f").body == b"1"
    found = ET.fromstring(dav(door, "/d", "PROPFIND", Depth="1").body)
    assert [e.text for e in found.iter("{DAV:}href")] == ["/d/", "/d/f"]
    assert dav(door, "/d/f", "MOVE", Destination=f"{door.webdav}/d/g").status == 201
    assert namespace(door, "/pnfs/site/d/g").status == 200


def test_properties_of_dcache(door: Door) -> None:
    door.put("/f", b"1")
    door.to_tape("/f")
    wanted = (
        '<propfind xmlns="DAV:"><prop><getcontentlength/><quota/>'
        '<Checksums xmlns="http://www.dcache.org/2013/webdav"/>'
        '<FileLocality xmlns="http://srm.lbl.gov/StorageResourceManager"/></prop></propfind>'
    )
    found = ET.fromstring(dav(door, "/f", "PROPFIND", wanted, Depth="0").body)
    texts = {element.tag.rpartition("}")[2]: element.text for element in found.iter()}
    assert texts["getcontentlength"] == "1"
    assert texts["FileLocality"] == "NEARLINE"
    assert str(texts["Checksums"]).startswith("adler32=00320032,md5=")
    statuses = [status.text for status in found.iter("{DAV:}status")]
    assert statuses == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]


def test_tokens(door: Door) -> None:
    door.put("/d/f", b"1")
    url = f"{door.webdav}/d/f"
    assert ask(url).status == 401
    assert ask(url, token="wrong").status == 401
    reader = door.allow("reader", ["READ_METADATA", "DOWNLOAD"], path="/d", expires_in=60)
    assert ask(url, token=reader).status == 302
    assert ask(url, "DELETE", token=reader).status == 403
    assert ask(f"{door.webdav}/e", "PROPFIND", token=reader, Depth="0").status == 403
    door.advance(61)
    assert ask(url, token=reader).status == 401
    door.password("ann", "secret")
    basic = base64.b64encode(b"ann:secret").decode()
    assert ask(url, Authorization=f"Basic {basic}").status == 302


def test_macaroons_hold_what_their_caveats_say(door: Door) -> None:
    door.put("/d/f", b"1")
    door.put("/e", b"1")
    body = json.dumps({"caveats": ["activity:DOWNLOAD,LIST"], "validity": "PT1H"})
    kind = {"Content_Type": "application/macaroon-request"}
    made = dav(door, "/d", "POST", body, **kind).json
    text = made["macaroon"]
    assert made["uri"]["targetWithMacaroon"] == f"{door.webdav}/d?authz={text}"
    caveats = macaroons.parse(text).caveats
    assert {"activity:DOWNLOAD,LIST", "path:/d"} <= set(caveats)
    assert any(caveat.startswith("before:") for caveat in caveats)
    assert ask(f"{door.webdav}/d/f?authz={text}").status == 302
    assert ask(f"{door.webdav}/d/f", token=text).status == 302
    assert ask(f"{door.webdav}/e", token=text).status == 403
    assert ask(f"{door.webdav}/d/f", "PUT", b"2", token=text).status == 403
    forged = macaroons.make(b"no key", macaroons.parse(text).identifier, ()).serialized()
    assert ask(f"{door.webdav}/d/f", token=forged).status == 401
    # A macaroon asked for with a macaroon can only do less.
    narrower = json.dumps({"caveats": ["path:/e"]})
    assert ask(door.webdav + "/", "POST", narrower, token=text, **kind).status == 400
    assert dav(door, "/", "POST", '{"caveats": ["colour:red"]}', **kind).status == 400
    upload = door.macaroon("activity:UPLOAD", "path:/d")
    assert dav(door, "/d/new", "PUT", b"2", token=upload).status == 201
    assert dav(door, "/d/f", "PUT", b"2", token=upload).status == 403
    door.advance(3601)
    assert ask(f"{door.webdav}/d/f", token=text).status == 401


def test_a_macaroon_can_be_read_by_its_own_rules() -> None:
    """The signature of the example in the README of libmacaroons."""
    made = macaroons.make(
        b"this is our super secret key; only we should know it", "we used our secret key", ()
    )
    assert made.signature.hex() == (
        "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f"
    )


def test_tape(door: Door) -> None:
    for name in ("a", "b", "c"):
        door.put(f"/{name}", b"1")
        door.to_tape(f"/{name}")
    door.entry("/c").trouble = "LOST"
    found = rest(door, "tape/archiveinfo", "POST", {"paths": ["/a", "/c", "/none"]}).json
    assert [entry.get("locality") for entry in found] == ["TAPE", "LOST", None]
    discovery = ask(f"{door.rest}/.well-known/wlcg-tape-rest-api", token=door.token).json
    assert discovery["endpoints"][0]["uri"] == f"{door.rest}/api/v1/tape"
    files = [{"path": path, "diskLifetime": "P1D"} for path in ("/a", "/b", "/none")]
    made = rest(door, "tape/stage", "POST", {"files": files})
    assert made.status == 201
    assert made.headers["Location"] == f"{door.rest}/api/v1/tape/stage/{made.json['requestId']}"
    request = f"tape/stage/{made.json['requestId']}"

    def states() -> list[str]:
        return [file["state"] for file in rest(door, request).json["files"]]

    assert states() == ["STARTED", "STARTED", "FAILED"]
    assert rest(door, f"{request}/cancel", "POST", {"paths": ["/b"]}).status == 200
    door.advance(door.state.tape.delay)
    assert states() == ["COMPLETED", "CANCELLED", "FAILED"]
    assert namespace(door, "/a", locality="true").json["fileLocality"] == "ONLINE_AND_NEARLINE"
    assert namespace(door, "/b", locality="true").json["fileLocality"] == "NEARLINE"
    assert rest(door, request.replace("stage", "release"), "POST", {"paths": ["/a"]}).status == 200
    assert rest(door, request, "DELETE").status == 200
    assert rest(door, request).status == 404


def test_reading_from_tape_waits_until_the_file_is_there(door: Door) -> None:
    door.put("/f", b"1")
    door.to_tape("/f")
    host, _, port = door.webdav.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"GET /f HTTP/1.1\r\nHost: h\r\nAuthorization: bearer {door.token}\r\n\r\n"
        connection.sendall(head.encode())
        entry = door.entry("/f")
        while not door.call(lambda: entry.pins):
            pass
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1000)
        door.advance(door.state.tape.delay)
        connection.settimeout(60)
        assert connection.recv(1000).startswith(b"HTTP/1.1 302 ")
