"""Paths, addresses, checksums and answers, as pure functions on recorded text."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.storage.dcache import checksums, paths, ranges, rest, retrying, webdav
from rsdat.storage.dcache.paths import Door
from rsdat.storage.dcache.retrying import Policy, Tries
from rsdat.storage.dcache.spans import Span

NAME = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))

# --- paths


@given(NAME, st.sampled_from(["https://h:1", "https://h/remote.php/dav", "https://h/a b%20c"]))
@settings(max_examples=60)
def test_an_address_and_back_is_the_same_path(name: str, webdav: str) -> None:
    door = Door(webdav.replace(" ", "%20"))
    path = paths.clean(f"/d/{name}")
    assert door.path_of(door.file(path)) == path
    assert door.path_of(door.file(path, directory=True)) == path
    assert set(paths.quoted(name)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%"
    )


def test_bytes_that_are_no_text_survive() -> None:
    assert paths.quoted(paths.unquoted("/a%FF%C3")) == "/a%FF%C3"


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("dcache://h/a", "h", "/a"),
        ("dcache://h:1/a//b/", "h:1", "/a/b"),
        ("dcache://u:secret@h/x?y#z%20", "h", "/x?y#z%20"),
        ("dcache:///a", None, "/a"),
        ("/a/b", None, "/a/b"),
        ("dcache://h", "h", "/"),
    ],
)
def test_addresses_are_split(url: str, host: str | None, path: str) -> None:
    assert paths.split_url(url) == (host, path)


def test_temporary_names_fit_and_stay_beside() -> None:
    for name in ("f", "é" * 127, "x" * 255):
        found = paths.temporary(f"/d/{name}")
        assert paths.parent(found) == "/d"
        assert len(paths.name_of(found).encode()) <= 255
        assert found != paths.temporary(f"/d/{name}")


def test_origins() -> None:
    assert paths.origin("https://H/x") == ("https", "h", 443)
    assert paths.origin("http://h:80/") == paths.origin("http://h/")
    assert paths.origin("https://h/") != paths.origin("http://h/")
    assert paths.without_query("https://u:p@h/a?token=1") == "https://h/a"
    assert paths.is_loopback("http://127.0.0.9:1/")
    assert not paths.is_loopback("http://10.0.0.1/")


def test_a_door_below_another_root() -> None:
    door = Door("https://h:2880", "https://h:3880/api/v1", None, "/pnfs/data")
    assert door.namespace("/a b") == "https://h:3880/api/v1/namespace/pnfs/data/a%20b"
    assert door.own("/pnfs/data/a b") == "/a b"
    assert door.own("/pnfs/database") == "/pnfs/database"


# --- checksums


@given(st.binary(max_size=200), st.integers(0, 200))
@settings(max_examples=40)
def test_sums_do_not_depend_on_the_pieces(data: bytes, cut: int) -> None:
    sums = checksums.Sums(("adler32", "md5", "sha256"))
    sums.update(data[:cut])
    sums.update(memoryview(data)[cut:])
    assert sums.size == len(data)
    assert sums.values() == {
        "adler32": f"{zlib.adler32(data):08x}",
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("adler32=03da0195", {"adler32": "03da0195"}),
        ("ADLER32=3da0195", {"adler32": "03da0195"}),
        (
            "md5=HLDoRBKT16JQmyFQzTGvEw==,adler32=1",
            {"md5": "1cb0e8441293d7a2509b2150cd31af13", "adler32": "00000001"},
        ),
        ("unixsum=30637, SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5=", {}),
        ("adler32=xyz", {}),
        ("", {}),
    ],
)
def test_digest_headers(header: str, found: dict[str, str]) -> None:
    named = {k: v for k, v in checksums.of_header({"Digest": header}).items() if k != "sha1"}
    assert named == found


def test_checksums_of_the_rest_interface_and_of_properties() -> None:
    listed = [{"type": "ADLER32", "value": "3da0195"}, {"type": "MD5_TYPE", "value": "A" * 32}]
    assert checksums.of_json(listed) == {"adler32": "03da0195", "md5": "a" * 32}
    assert checksums.of_json(None) == {}
    assert checksums.of_property("SHA1:" + "b" * 40 + " ADLER32:1") == {
        "sha1": "b" * 40,
        "adler32": "00000001",
    }
    assert checksums.differences({"adler32": "1"}, {"md5": "2"}) == []
    assert checksums.differences({"adler32": "1"}, {"adler32": "2"}) == ["adler32"]


# --- answers

MULTISTATUS = b"""<?xml version="1.0"?>
<D:multistatus xmlns:D="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager"
 xmlns:d="http://www.dcache.org/2013/webdav">
<D:response><D:href>/dav/d/</D:href><D:propstat><D:prop>
<D:resourcetype><D:collection/></D:resourcetype></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
<D:response><D:href>https://h/dav/d/a%20%25%E6%97%A5</D:href><D:propstat><D:prop>
<D:resourcetype/><D:getcontentlength>12</D:getcontentlength>
<D:getlastmodified>Sat, 21 Nov 2026 09:30:26 GMT</D:getlastmodified>
<D:creationdate>2026-11-21T09:30:26Z</D:creationdate>
<s:FileLocality>NEARLINE</s:FileLocality><d:Checksums>adler32=1</d:Checksums>
</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><D:getetag/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>
</D:propstat></D:response>
<D:response><D:href>/dav/d/gone</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>
</D:multistatus>"""


def test_a_multistatus() -> None:
    directory, file = webdav.entries(Door("https://h/dav"), MULTISTATUS)
    assert (directory["name"], directory["type"]) == ("/d", "directory")
    assert file["name"] == "/d/a %日"
    assert (file["size"], file["type"], file["etag"]) == (12, "file", None)
    assert file["mtime"] == file["created"] == 1795253426
    assert (file["locality"], file["checksums"]) == ("NEARLINE", {"adler32": "00000001"})
    assert webdav.failures(MULTISTATUS) == ["HTTP/1.1 404 Not Found"] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l "lol"><!ENTITY m "&l;&l;">]><l>&m;</l>',
    ],
)
def test_what_is_no_multistatus_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        webdav.entries(Door("https://h"), body)


def test_the_question_names_only_what_is_wanted() -> None:
    assert b"FileLocality" not in webdav.propfind()
    assert b"FileLocality" in webdav.propfind(locality=True)
    assert b"Checksums" in webdav.propfind(checksum=True)


def test_an_entry_of_the_rest_interface() -> None:
    record = {"fileType": "REGULAR", "size": 3, "mtime": 1500, "fileLocality": "ONLINE"}
    found = rest.entry("/f", record)
    assert (found["size"], found["type"], found["mtime"]) == (3, "file", 1.5)
    assert (found["created"], found["locality"]) == (None, "ONLINE")
    assert rest.entry("/d", {"fileType": "DIR", "size": 512})["size"] == 0
    names = [one["name"] for one in rest.children("/d", {"children": [{"fileName": "a#"}, {}]})]
    assert names == ["/d/a#"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status":"404","title":"Not Found","detail":"No such file"}', "No such file"),
        (b'{"errors":[{"message":"old form","status":"404"}]}', "old form"),
        (b'{"title":"only a title"}', "only a title"),
        (b"<html>", ""),
        (b"[]", ""),
        (b"\xff", ""),
    ],
)
def test_what_an_error_says(body: bytes, words: str) -> None:
    assert rest.detail(body) == words


def test_what_a_door_announces() -> None:
    def announced(uri: str, version: str = "v1") -> tuple[str | None, str | None]:
        return rest.discovered({"endpoints": [{"uri": uri, "version": version}]})

    dcache = "https://h:3880/api/v1"
    assert announced(f"{dcache}/tape") == (dcache, f"{dcache}/tape")
    assert announced("https://h/tape") == (None, "https://h/tape")
    assert announced(f"{dcache}/tape", "v7") == (None, None)
    for nonsense in (None, [], {}, {"endpoints": []}):
        assert rest.discovered(nonsense) == (None, None)


# --- ranges


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 300)), max_size=20),
    st.integers(0, 200),
)
@settings(max_examples=60)
def test_joined_ranges_cover_each_range(given_: list[tuple[int, int]], gap: int) -> None:
    wanted = [(start, start + length) for start, length in given_]
    found = ranges.joined(wanted, gap)
    assert all(any(a <= s and e <= b for a, b in found) for s, e in wanted)
    assert found == sorted(found)
    assert len(found) <= len(set(wanted))


def test_ranges_far_apart_are_not_joined() -> None:
    assert ranges.joined([(0, 10), (20, 30), (500, 510)], 10) == [(0, 30), (500, 510)]
    assert ranges.joined([(0, 10), (5, 20)], 0) == [(0, 20)]
    long = ranges.LONGEST
    assert ranges.joined([(0, long), (long, long + 5)], 10) == [(0, long), (long, long + 5)]


def test_the_range_header() -> None:
    assert Span().header(0) == {}
    assert Span().header(7) == {"Range": "bytes=7-"}
    assert Span(3, 9).header(2) == {"Range": "bytes=5-8"}
    assert Span(-4).header(0) == {"Range": "bytes=-4"}


# --- retries


def test_pauses_grow_spread_and_end() -> None:
    policy = Policy(retries=8, pause=0.25)
    for attempt in range(9):
        middle = min(0.25 * 2**attempt, retrying.LONGEST_PAUSE)
        assert 0.75 * middle <= policy.seconds(attempt) <= 1.25 * middle
    assert policy.seconds(0, "5") >= 3.75
    assert policy.seconds(0, "99999") <= 1.25 * retrying.LONGEST_PAUSE
    assert policy.seconds(0, "Sat, 21 Nov 2026 09:30:26 GMT") < 1
    # A network that is gone for half a minute is bridged.
    assert sum(0.75 * min(0.25 * 2**n, retrying.LONGEST_PAUSE) for n in range(8)) > 30


def test_what_is_worth_another_try() -> None:
    tries = Tries(Policy(retries=8))
    assert retrying.passes(503, tries)
    assert retrying.passes(500, tries)
    assert not retrying.passes(404, tries)
    assert retrying.breaks(ConnectionResetError(), tries, known=False)
    assert not retrying.breaks(ValueError(), tries, known=True)
    tries.made = 4
    assert not retrying.passes(500, tries)
    assert retrying.passes(503, tries)
    assert retrying.breaks(ConnectionResetError(), tries, known=True)
    assert not retrying.breaks(ConnectionResetError(), tries, known=False)
    tries.made = 8
    assert not retrying.passes(503, tries)
