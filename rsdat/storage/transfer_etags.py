"""What S3 says of an object's content: its ETag, also of one uploaded in parts, and checksums.

The ETag of an object that was uploaded in parts is the MD5 of the parts' MD5s, a hyphen and their
number; where the parts lie is asked with ``HEAD ?partNumber=N``. Additional checksums
(``x-amz-checksum-*``) are of the whole object unless a hyphen says that they are of parts. Source:
Amazon S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import threading
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from rsdat.storage.dcache.checksums import LENGTHS, Buffer, Sums
from rsdat.storage.transfer_places import Facts, Place, run

#: More parts than this are not asked for one by one; S3 has at most 10 000.
MOST_PARTS = 2000
_AT_ONCE = 16
_ADDITIONAL = {
    "ChecksumCRC32": "crc32",
    "ChecksumSHA1": "sha1",
    "ChecksumSHA256": "sha256",
}
_HEXADECIMAL = frozenset("0123456789abcdef")

#: Sizes of an object's parts: each, or one for all but the last.
Layout = tuple[int, ...] | int


class PartSums:
    """The ETag of bytes that pass, for an upload in parts."""

    def __init__(self, layout: Layout) -> None:
        self._sizes: Iterable[int] = iter(repeat(layout) if isinstance(layout, int) else layout)
        self._left = 0
        self._part = hashlib.md5(usedforsecurity=False)
        self._digests: list[bytes] = []

    def update(self, data: Buffer) -> None:
        """Take the next bytes in."""
        view = memoryview(data)
        while view:
            if not self._left:
                self._next()
            piece = view[: self._left]
            self._part.update(piece)
            self._left -= len(piece)
            view = view[len(piece) :]
            if not self._left:
                self._digests.append(self._part.digest())

    def _next(self) -> None:
        # Bytes after the last part: a wrong size, which is told as such.
        self._left = next(iter(self._sizes), 1 << 62)
        self._part = hashlib.md5(usedforsecurity=False)

    def value(self) -> str:
        """The ETag so far."""
        digests = self._digests + ([self._part.digest()] if self._left else [])
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
        return f"{whole.hexdigest()}-{len(digests)}"


class PassingSums(Sums):
    """Checksums of the bytes that pass, and ETags for the parts of both ends.

    Parameters
    ----------
    names
        The checksums to compute.
    layouts
        The parts of each side (``source``, ``target``) that has some.
    """

    def __init__(self, names: tuple[str, ...], layouts: Mapping[str, Layout]) -> None:
        super().__init__(names)
        self._parts = {side: PartSums(layout) for side, layout in layouts.items()}

    def update(self, data: Buffer) -> None:
        """Take the next bytes in."""
        super().update(data)
        for parts in self._parts.values():
            parts.update(data)

    def etag(self, side: str) -> str | None:
        """The ETag that a side should tell; None where its parts are not known."""
        return self._parts[side].value() if side in self._parts else None


def of_answer(found: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The checksums in an answer to HEAD, and the ETag where it is one of parts.

    With a key of the user, or of the service, an ETag is not the content's.
    """
    told = str(found.get("ETag", "")).strip('"')
    plain = "SSECustomerAlgorithm" not in found
    plain = plain and "kms" not in str(found.get("ServerSideEncryption", ""))
    digest, _, parts = told.partition("-")
    is_md5 = plain and len(digest) == LENGTHS["md5"] and set(digest) <= _HEXADECIMAL
    sums = {"md5": told} if is_md5 and not parts else {}
    for key, name in _ADDITIONAL.items():
        if digits := _digits(str(found.get(key, "")), name):
            sums[name] = digits
    return sums, told if is_md5 and parts.isdigit() else ""


def _digits(text: str, name: str) -> str:
    if "-" in text:
        return ""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ""
    return raw.hex() if len(raw) * 2 == LENGTHS[name] else ""


def layout_of(place: Place, facts: Facts, stop: threading.Event) -> Layout | None:
    """The sizes of the parts of an S3 object; None where they cannot be asked for."""
    count = int(facts.etag.partition("-")[2] or 0)
    if not 0 < count <= MOST_PARTS:
        return None
    sizes = run(place.fs, lambda: _sizes(place, count), stop)
    return sizes if sizes is not None and sum(sizes) == facts.size else None


async def _sizes(place: Place, count: int) -> tuple[int, ...] | None:
    bucket, key, _ = place.fs.split_path(place.path)
    room = asyncio.Semaphore(_AT_ONCE)

    async def size(number: int) -> int:
        async with room:
            found = await place.fs._call_s3(
                "head_object", Bucket=bucket, Key=key, PartNumber=number
            )
        # A service that does not know the question tells of the whole object.
        if found.get("PartsCount") != count:
            raise LookupError
        return int(found["ContentLength"])

    try:
        first = await size(1)
        return (first, *await asyncio.gather(*map(size, range(2, count + 1))))
    except (OSError, LookupError):
        return None
