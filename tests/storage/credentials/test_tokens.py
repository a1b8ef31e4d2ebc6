"""Tokens are read without their secret: macaroons of both versions, JSON web tokens, others."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.storage.credentials import decode, expires, lacks
from tests.storage.secrets import before, jwt, macaroon


def version2(location: str, identifier: str, caveats: list[str], signature: bytes) -> str:
    def length(number: int) -> bytes:
        return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80, number >> 7])

    def field(kind: int, value: bytes) -> bytes:
        return bytes([kind]) + length(len(value)) + value

    raw = b"\x02" + field(1, location.encode()) + field(2, identifier.encode()) + b"\0"
    for caveat in caveats:
        raw += field(2, caveat.encode()) + b"\0"
    raw += b"\0" + field(6, signature)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


CAVEATS = ["activity:DOWNLOAD,LIST", "path:/data", "before:2031-02-03T04:05:06.789Z"]


@pytest.mark.parametrize(
    "token",
    [
        macaroon(*CAVEATS),
        version2("Optional.empty", "identifier", CAVEATS, b"s" * 32),
        version2("Optional.empty", "identifier", [*CAVEATS, "path:/" + "x" * 300], b"s" * 32),
    ],
)
def test_a_macaroon_of_either_version(token: str) -> None:
    read = decode(token)
    assert (read.kind, read.location, read.identifier) == (
        "macaroon",
        "Optional.empty",
        "identifier",
    )
    assert read.caveats[:3] == tuple(CAVEATS)
    assert read.activities == {"DOWNLOAD", "LIST"}
    assert read.values("path")[0] == "/data"
    assert expires(token) == datetime(2031, 2, 3, 4, 5, 6, 789000, UTC)


def test_a_third_partys_caveat_is_passed_over() -> None:
    # Location, identifier and verification id of a caveat that another service has to discharge.
    raw = b"\x02\x02\x01i\x00" + b"\x01\x01l\x02\x03abc\x04\x02vv\x00" + b"\x00" + b"\x06\x01s"
    read = decode(base64.urlsafe_b64encode(raw).decode())
    assert (read.identifier, read.location, read.caveats) == ("i", "", ("abc",))


def test_the_first_end_counts_and_a_wrong_one_does_not() -> None:
    token = macaroon("before:2032-01-01T00:00:00Z", "before:soon", "before:2031-01-01T00:00:00Z")
    assert expires(token) == datetime(2031, 1, 1, tzinfo=UTC)


def test_a_json_web_token() -> None:
    token = jwt(exp=1_900_000_000, sub="me", iss="https://idp", scope="openid storage.read:/data")
    read = decode(token)
    assert (read.kind, read.identifier, read.location) == ("JWT", "me", "https://idp")
    assert read.scopes == ("openid", "storage.read:/data")
    assert expires(token) == datetime.fromtimestamp(1_900_000_000, UTC)
    assert "signature" not in repr(read)


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "MDAxY2xv", "AgE", "Ag", "AgIB", "____"])
def test_what_is_neither_is_opaque(token: str) -> None:
    assert decode(token).kind == "opaque"
    assert expires(token) is None
    assert lacks(token, "UPLOAD", "/x") is None


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda raw: b"\x02" + raw)))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    assert decode(base64.urlsafe_b64encode(raw).decode()).kind in ("opaque", "macaroon")


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=200))
def test_a_macaroon_that_was_cut_off_is_none(length: int) -> None:
    raw = base64.urlsafe_b64decode(macaroon(*CAVEATS) + "==")
    assert decode(base64.urlsafe_b64encode(raw[: min(length, len(raw) - 1)]).decode()).kind == (
        "opaque"
    )


@pytest.mark.parametrize(
    ("token", "activity", "path", "expected"),
    [
        (macaroon(), "DELETE", "/x", None),
        (macaroon(*CAVEATS), "DOWNLOAD", "/data/a/b", None),
        (macaroon(*CAVEATS), "UPLOAD", "/data/a", "it does not allow UPLOAD (only DOWNLOAD, LIST)"),
        (macaroon(*CAVEATS), "DOWNLOAD", "/database", "it is for /data only"),
        (macaroon(*CAVEATS), "DOWNLOAD", "/data/../other", "it is for /data only"),
        (macaroon(*CAVEATS), "LIST", "/", None),
        (macaroon("activity:LIST,UPLOAD", "activity:UPLOAD"), "LIST", "/", "does not allow LIST"),
        (macaroon("before:2020-01-01T00:00:00Z"), "LIST", "/", "it expired on 2020-01-01"),
        (jwt(scope="storage.read:/data"), "DOWNLOAD", "/data/x", None),
        (jwt(scope="storage.read:/"), "UPLOAD", "/x", "no scope storage.create or storage.modify"),
        (jwt(scope="storage.read:/data"), "DOWNLOAD", "/x", "no scope storage.read"),
        (jwt(scope="openid"), "DELETE", "/x", None),
    ],
)
def test_what_a_token_lacks(token: str, activity: str, path: str, expected: str | None) -> None:
    said = lacks(token, activity, path)
    assert (said is None) == (expected is None)
    assert expected is None or expected in str(said)


def test_a_token_of_the_future_has_not_expired() -> None:
    assert lacks(macaroon(before(hours=1)), "LIST", "/") is None
