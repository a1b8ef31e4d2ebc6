"""Checksums: computed while bytes pass, read from what doors say, compared in one spelling.

A checksum is a name (``adler32``, ``md5``) and lower-case hexadecimal digits, whatever the
spelling of the source: dCache says ``ADLER32``, RFC 3230 says ``md5`` in base64, RFC 9530 puts
colons around it, and leading zeros are left out by some.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

# Hexadecimal digits of each.
LENGTHS = {"adler32": 8, "crc32": 8, "md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_NAMES = {
    "adler": "adler32",
    "adler32": "adler32",
    "md5": "md5",
    "md5_type": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    "sha-1": "sha1",
    "sha-256": "sha256",
    "sha256": "sha256",
    "sha-512": "sha512",
    "sha512": "sha512",
}
Buffer = bytes | bytearray | memoryview
#: Those of zlib: the function, and what it begins with.
_RUNNING = {"adler32": (zlib.adler32, 1), "crc32": (zlib.crc32, 0)}


class Sums:
    """Checksums of the bytes that have passed.

    Parameters
    ----------
    names
        Which to compute. Adler32 runs at memory speed and is what dCache stores by default; md5
        costs more than a fast network.
    """

    def __init__(self, names: tuple[str, ...] = ("adler32",)) -> None:
        self.size = 0
        #: Names of those that were compared with what a server said, the last time.
        self.compared: tuple[str, ...] = ()
        self._running = {name: _RUNNING[name][1] for name in names if name in _RUNNING}
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False) for name in names if name not in _RUNNING
        }

    def update(self, data: Buffer) -> None:
        """Take the next bytes in."""
        self.size += len(data)
        for name, value in self._running.items():
            self._running[name] = _RUNNING[name][0](data, value)
        for running in self._hashes.values():
            running.update(data)

    def values(self) -> dict[str, str]:
        """The checksums so far."""
        sums = {name: running.hexdigest() for name, running in self._hashes.items()}
        return sums | {name: f"{value:08x}" for name, value in self._running.items()}

    def differing(self, told: Mapping[str, str]) -> list[str]:
        """Names of the checksums that a server tells otherwise."""
        ours = self.values()
        self.compared = tuple(sorted(set(ours) & set(told)))
        return differences(ours, told)


def of_header(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums in an answer's ``Digest`` (RFC 3230) or ``Repr-Digest`` (RFC 9530)."""
    found: dict[str, str] = {}
    for header in ("Repr-Digest", "Digest"):
        for part in headers.get(header, "").split(","):
            name, _, value = part.strip().partition("=")
            if value:
                _add(found, name, value.strip(":"))
    return found


def of_json(listed: Any) -> dict[str, str]:
    """The checksums in a REST answer: ``[{"type": "ADLER32", "value": "…"}]``."""
    found: dict[str, str] = {}
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            _add(found, str(entry.get("type", "")), str(entry.get("value", "")))
    return found


def of_property(text: str) -> dict[str, str]:
    """The checksums in a WebDAV property: ``md5=base64,adler32=hex`` or ``SHA1:hex MD5:hex``."""
    found: dict[str, str] = {}
    for part in text.replace(",", " ").split():
        mark = min((m for m in ("=", ":") if m in part), key=part.index, default="=")
        name, _, value = part.partition(mark)
        _add(found, name, value)
    return found


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Names of the checksums that both know and that differ."""
    return sorted(name for name, value in ours.items() if theirs.get(name, value) != value)


def _add(found: dict[str, str], name: str, value: str) -> None:
    known = _NAMES.get(name.strip().lower())
    if known is None:
        return
    digits = _hexadecimal(value.strip(), LENGTHS[known])
    if digits is not None:
        found[known] = digits


def _hexadecimal(value: str, length: int) -> str | None:
    """A value in either spelling; only Adler32's may lack its leading zeros."""
    shortest = 1 if length == LENGTHS["adler32"] else length
    if shortest <= len(value) <= length and set(value.lower()) <= set("0123456789abcdef"):
        return value.lower().zfill(length)
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) * 2 == length else None
