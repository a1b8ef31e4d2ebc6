"""Bearer tokens read, not verified: macaroons (libmacaroons v1, v2) and JSON web tokens.

Only what is no secret is kept: identifier, caveats, claims; never the signature. The binary formats
are those of libmacaroons (v1: packets of four hexadecimal digits, a key and a value; v2: fields of
type, length and value). The caveats are dCache's (``before:``, ``activity:``, ``path:``, ``root:``,
``home:``, ``ip:``), the scopes those of the WLCG common JWT profile (``storage.read:/path``).
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

#: dCache's activities.
ACTIVITIES = (
    "READ_METADATA",
    "UPDATE_METADATA",
    "LIST",
    "DOWNLOAD",
    "MANAGE",
    "UPLOAD",
    "DELETE",
    "STAGE",
)

_SCOPES = {
    "READ_METADATA": ("storage.read", "storage.stage"),
    "LIST": ("storage.read", "storage.stage"),
    "DOWNLOAD": ("storage.read", "storage.stage"),
    "UPLOAD": ("storage.create", "storage.modify"),
    "UPDATE_METADATA": ("storage.modify",),
    "MANAGE": ("storage.modify",),
    "DELETE": ("storage.modify",),
    "STAGE": ("storage.stage",),
}


@dataclass(frozen=True)
class Token:
    """What can be read of a token; empty for an opaque one."""

    kind: str
    """``macaroon``, ``JWT`` or ``opaque``."""
    identifier: str = ""
    location: str = ""
    """Who made it: a macaroon's location, a JWT's issuer."""
    caveats: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    expires: datetime | None = None

    def values(self, name: str) -> tuple[str, ...]:
        """The values of all caveats of one name, as ``path``."""
        return tuple(c.partition(":")[2] for c in self.caveats if c.startswith(f"{name}:"))

    @property
    def activities(self) -> frozenset[str] | None:
        """The activities that a macaroon allows; None where no caveat limits them."""
        limits = [frozenset(_words(value)) for value in self.values("activity")]
        return frozenset.intersection(*limits) if limits else None


@lru_cache(maxsize=64)
def decode(token: str) -> Token:
    """Read a token; one that is neither a macaroon nor a JWT is opaque, and no error."""
    if token.count(".") == 2:
        claims = _claims(token)
        if claims is not None:
            return _jwt(claims)
    try:
        return _macaroon(_unbase64(token))
    except (ValueError, binascii.Error, IndexError):
        return Token("opaque")


def expires(token: str) -> datetime | None:
    """When a token ends, as far as it says so itself: the first ``before:`` caveat, or ``exp``."""
    return decode(token).expires


def lacks(token: str | Token, activity: str, path: str) -> str | None:
    """What a token lacks for an activity on a path, in words; None where nothing is seen to lack.

    Parameters
    ----------
    activity
        One of :data:`ACTIVITIES`.
    path
        As the door is asked for it: absolute, decoded.
    """
    read = decode(token) if isinstance(token, str) else token
    if read.expires is not None and read.expires <= datetime.now(UTC):
        return f"it expired on {moment(read.expires)}"
    allowed = read.activities
    if allowed is not None and activity not in allowed:
        return f"it does not allow {activity} (only {', '.join(sorted(allowed))})"
    for limit in read.values("path"):
        above = activity in ("LIST", "READ_METADATA") and _inside(limit, path)
        if not (_inside(path, limit) or above):
            return f"it is for {limit} only"
    return _lacking_scope(read, activity, path)


def moment(value: datetime) -> str:
    """A time for messages: local, to the minute, with its zone."""
    return f"{value.astimezone():%Y-%m-%d %H:%M %Z}"


def _lacking_scope(read: Token, activity: str, path: str) -> str | None:
    storage = [scope for scope in read.scopes if scope.startswith("storage.")]
    wanted = _SCOPES.get(activity)
    if not storage or wanted is None:
        return None
    for scope in storage:
        name, _, place = scope.partition(":")
        if name in wanted and _inside(path, place or "/"):
            return None
    return f"it has no scope {' or '.join(wanted)} for this path (only {', '.join(storage)})"


def _inside(path: str, folder: str) -> bool:
    path, folder = (posixpath.normpath("/" + text.strip("/")) for text in (path, folder))
    return folder == "/" or path == folder or path.startswith(folder + "/")


def _words(text: str) -> list[str]:
    return [word.strip().upper() for word in text.split(",") if word.strip()]


def _unbase64(text: str) -> bytes:
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _claims(token: str) -> dict[str, Any] | None:
    try:
        claims = json.loads(_unbase64(token.split(".")[1]))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _jwt(claims: dict[str, Any]) -> Token:
    until, scope = claims.get("exp"), claims.get("scope", "")
    try:
        ends = datetime.fromtimestamp(until, UTC) if isinstance(until, int | float) else None
    except (ValueError, OverflowError, OSError):
        ends = None
    return Token(
        "JWT",
        identifier=str(claims.get("sub", "")),
        location=str(claims.get("iss", "")),
        scopes=tuple(scope.split() if isinstance(scope, str) else map(str, scope)),
        expires=ends,
    )


def _macaroon(raw: bytes) -> Token:
    fields = list(_version2(raw) if raw[:1] == b"\x02" else _version1(raw))
    location = next((value for key, value in fields if key == "location"), b"")
    identifier = next((value for key, value in fields if key == "identifier"), None)
    if identifier is None or not any(key == "signature" for key, _ in fields):
        raise ValueError("a macaroon has an identifier and a signature")
    caveats = tuple(value.decode("utf-8", "replace") for key, value in fields if key == "cid")
    return Token(
        "macaroon",
        identifier=identifier.decode("utf-8", "replace"),
        location=location.decode("utf-8", "replace"),
        caveats=caveats,
        expires=min(_ends(caveats), default=None),
    )


def _ends(caveats: tuple[str, ...]) -> Iterator[datetime]:
    for caveat in caveats:
        name, _, value = caveat.partition(":")
        if name != "before":
            continue
        try:
            read = datetime.fromisoformat(value.strip())
        except ValueError:
            continue
        yield read if read.tzinfo else read.replace(tzinfo=UTC)


def _version1(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Packets, each ``length key value`` and a line's end; their order gives them their meaning."""
    position = 0
    while position < len(raw):
        length = int(raw[position : position + 4], 16)
        packet = raw[position + 4 : position + length]
        if length < 6 or len(packet) != length - 4 or not packet.endswith(b"\n"):
            raise ValueError("a packet of wrong length")
        key, found, value = packet[:-1].partition(b" ")
        if not found:
            raise ValueError("a packet without a key")
        yield key.decode("ascii"), value
        position += length


def _version2(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Fields of type, length and value in sections that a zero ends; the first is the macaroon."""
    position, first, empty = 1, True, True
    while True:
        kind, position = _varint(raw, position)
        if kind == 0:
            if empty:
                break
            first, empty = False, True
            continue
        length, position = _varint(raw, position)
        value = raw[position : position + length]
        if len(value) != length:
            raise ValueError("a field of wrong length")
        position, empty = position + length, False
        if kind == 1 and first:
            yield "location", value
        elif kind == 2:
            yield ("identifier" if first else "cid"), value
    kind, position = _varint(raw, position)
    length, position = _varint(raw, position)
    if kind != 6 or len(raw) < position + length:
        raise ValueError("a macaroon has a signature")
    yield "signature", b""


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = raw[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
