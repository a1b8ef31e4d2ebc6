"""Macaroons as dCache makes them: the binary format, version 1, of libmacaroons in base64url.

Packets are four hexadecimal digits of length, a key, a space, the value and a newline. The
signature is a chain of HMAC-SHA256: of the identifier under a key derived from the root key, then
of each caveat under the signature so far.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

ACTIVITIES = frozenset(
    ["READ_METADATA", "UPDATE_METADATA", "LIST", "DOWNLOAD", "MANAGE", "UPLOAD", "DELETE", "STAGE"]
)


@dataclass(frozen=True)
class Macaroon:
    identifier: str
    caveats: tuple[str, ...]
    signature: bytes
    location: str = "Optional.empty"

    def serialized(self) -> str:
        packets = [("location", self.location.encode()), ("identifier", self.identifier.encode())]
        packets += [("cid", caveat.encode()) for caveat in self.caveats]
        packets.append(("signature", self.signature))
        binary = b"".join(_packet(key.encode(), value) for key, value in packets)
        return base64.urlsafe_b64encode(binary).rstrip(b"=").decode()


@dataclass(frozen=True)
class Caveats:
    """What a macaroon's caveats together allow."""

    activities: frozenset[str] = ACTIVITIES
    path: str = "/"
    root: str = "/"
    home: str = "/"
    before: float | None = None
    addresses: tuple[str, ...] = ()
    user: str = ""


def make(key: bytes, identifier: str, caveats: tuple[str, ...]) -> Macaroon:
    return Macaroon(identifier, caveats, _sign(key, identifier, caveats))


def parse(text: str) -> Macaroon:
    """Read a serialized macaroon; ValueError if it is none."""
    binary = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    location = identifier = ""
    caveats: list[str] = []
    signature = b""
    while binary:
        length = int(binary[:4], 16)
        if length < 6 or length > len(binary):
            raise ValueError("broken packet")
        key, _, value = binary[4 : length - 1].partition(b" ")
        binary = binary[length:]
        if key == b"location":
            location = value.decode()
        elif key == b"identifier":
            identifier = value.decode()
        elif key == b"cid":
            caveats.append(value.decode())
        elif key == b"signature":
            signature = value
    if not signature:
        raise ValueError("no signature")
    return Macaroon(identifier, tuple(caveats), signature, location)


def genuine(macaroon: Macaroon, key: bytes) -> bool:
    return hmac.compare_digest(
        macaroon.signature, _sign(key, macaroon.identifier, macaroon.caveats)
    )


def understand(caveats: tuple[str, ...]) -> Caveats:
    """All caveats at once; ValueError names one that is not known, or widens an earlier one."""
    activities = ACTIVITIES
    path = root = home = "/"
    before: float | None = None
    addresses: list[str] = []
    user = ""
    for caveat in caveats:
        kind, _, value = caveat.partition(":")
        if kind == "activity":
            named = frozenset(value.split(","))
            if not named <= ACTIVITIES:
                raise ValueError(f"unknown activity in {caveat!r}")
            # Whoever may do anything with a file may also ask for its attributes.
            activities &= named | {"READ_METADATA"}
        elif kind == "path":
            path = _deeper(path, value)
        elif kind == "root":
            root = _deeper("/", root + value)
        elif kind == "home":
            home = value
        elif kind == "before":
            moment = datetime.fromisoformat(value).timestamp()
            before = moment if before is None else min(before, moment)
        elif kind == "ip":
            addresses += value.split(",")
        elif kind == "id":
            user = value.split(";")[-1]
        elif kind != "iid":
            raise ValueError(f"unknown caveat {caveat!r}")
    return Caveats(activities, path, root, home, before, tuple(addresses), user)


def _deeper(path: str, value: str) -> str:
    new = "/" + "/".join(part for part in value.split("/") if part)
    if path != "/" and new != path and not new.startswith(path + "/"):
        raise ValueError(f"path {new} is not below {path}")
    return new


def _packet(key: bytes, value: bytes) -> bytes:
    return b"%04x%s %s\n" % (len(key) + len(value) + 6, key, value)


def _sign(key: bytes, identifier: str, caveats: tuple[str, ...]) -> bytes:
    derived = hmac.digest(b"macaroons-key-generator", key, hashlib.sha256)
    signature = hmac.digest(derived, identifier.encode(), hashlib.sha256)
    for caveat in caveats:
        signature = hmac.digest(signature, caveat.encode(), hashlib.sha256)
    return signature
