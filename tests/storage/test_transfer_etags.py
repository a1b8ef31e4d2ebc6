"""Copies to and from S3 are compared with what it says: ETags of parts, additional checksums."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.storage import transfer_writing
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_errors import Damaged
from rsdat.storage.transfer_etags import PartSums, layout_of, of_answer
from rsdat.storage.transfer_places import facts_of, place_of
from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, all_ends, ends, short_clock

__all__ = ["all_ends", "ends", "person", "short_clock"]

PART = 5 << 20
DATA = os.urandom(3 * PART + 12345)


def etag(*parts: bytes) -> str:
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5), st.data())
def test_the_etag_does_not_depend_on_how_the_bytes_pass(
    parts: list[bytes], data: st.DataObject
) -> None:
    sums, whole = PartSums(tuple(map(len, parts))), b"".join(parts)
    while whole:
        cut = data.draw(st.integers(1, len(whole)))
        sums.update(whole[:cut])
        whole = whole[cut:]
    assert sums.value() == etag(*parts)
    uniform = PartSums(4)
    uniform.update(b"abcdefghij")
    assert uniform.value() == etag(b"abcd", b"efgh", b"ij")


@pytest.mark.parametrize(
    ("answer", "sums", "of_parts"),
    [
        ({"ETag": f'"{"0" * 32}"'}, {"md5": "0" * 32}, ""),
        ({"ETag": f'"{"0" * 32}-7"'}, {}, "0" * 32 + "-7"),
        ({"ETag": f'"{"0" * 32}"', "ServerSideEncryption": "aws:kms"}, {}, ""),
        ({"ETag": f'"{"0" * 32}-2"', "ServerSideEncryption": "aws:kms:dsse"}, {}, ""),
        ({"ETag": f'"{"0" * 32}"', "ServerSideEncryption": "AES256"}, {"md5": "0" * 32}, ""),
        ({"ETag": f'"{"0" * 32}"', "SSECustomerAlgorithm": "AES256"}, {}, ""),
        ({"ETag": '"opaque"', "ChecksumCRC32": "NSRBwg=="}, {"crc32": "352441c2"}, ""),
        ({"ETag": f'"{"0" * 32}-2"', "ChecksumCRC32": "NSRBwg==-2"}, {}, "0" * 32 + "-2"),
        ({"ChecksumSHA256": "no base64", "ChecksumSHA1": "NSRBwg=="}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_what_an_answer_tells(answer: dict[str, str], sums: dict[str, str], of_parts: str) -> None:
    assert of_answer(answer) == (sums, of_parts)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_writing, "S3_PART", PART)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 12345])
def test_both_directions_are_compared_whatever_the_size(
    all_ends: Ends, small_parts: None, size: int
) -> None:
    here, there = all_ends.url("local", f"f{size}"), all_ends.url("s3", f"f{size}")
    all_ends.write(here, DATA[:size])
    up = copy_file(here, there)
    back = copy_file(there, f"{here}.back")
    if size < PART:
        assert "target:md5" in up.verified
        assert "source:md5" in back.verified
    else:
        # Parts of one size: what others compute who know it.
        parts = [DATA[at : min(at + PART, size)] for at in range(0, size, PART)]
        assert facts_of(place_of(there)).etag == etag(*parts)
        assert up.verified == ("target:etag",)
        assert back.verified == ("source:etag",)
    assert Path(f"{here}.back").read_bytes() == DATA[:size]


def test_parts_of_different_sizes_that_somebody_else_uploaded(all_ends: Ends) -> None:
    there = all_ends.url("s3", "f")
    cuts = [0, PART, 2 * PART + 99, 3 * PART + 12345]
    upload(there, [DATA[a:b] for a, b in pairwise(cuts)])
    place = place_of(there)
    sizes = layout_of(place, facts_of(place), threading.Event())
    assert sizes == (PART, PART + 99, PART + 12345 - 99)
    done = copy_file(there, all_ends.url("dcache", "f"))
    assert done.verified == ("source:etag", "target:adler32")


def upload(url: str, parts: list[bytes]) -> None:
    place = place_of(url)
    bucket, key, _ = place.fs.split_path(place.path)
    name = {"Bucket": bucket, "Key": key}
    made = place.fs.call_s3("create_multipart_upload", **name)
    done = []
    for number, part in enumerate(parts, 1):
        sent = {**name, "UploadId": made["UploadId"], "PartNumber": number, "Body": part}
        done.append({"PartNumber": number, "ETag": place.fs.call_s3("upload_part", **sent)["ETag"]})
    place.fs.call_s3(
        "complete_multipart_upload",
        **name,
        UploadId=made["UploadId"],
        MultipartUpload={"Parts": done},
    )


def spoiling(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for number, block in enumerate(blocks):
        yield bytes([block[0] ^ 1]) + block[1:] if number == 2 else block


def test_a_part_that_was_spoiled_on_the_way_is_noticed(
    all_ends: Ends, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsdat.storage import transfer_reading

    there, here = all_ends.url("s3", "f"), all_ends.url("local", "f")
    all_ends.write(here, DATA)
    copy_file(here, there)
    honest = transfer_reading.READERS["s3"]

    def reader(*given: Any) -> Iterator[bytes]:
        return spoiling(honest(*given))

    monkeypatch.setitem(transfer_reading.READERS, "s3", reader)
    with pytest.raises(Damaged, match=r"checksum \(etag\) is not what the source says"):
        copy_file(there, f"{here}.back")
    assert not Path(f"{here}.back").exists()
    assert copy_file(there, f"{here}.back", verify=False).verified == ()


def test_an_upload_that_was_spoiled_on_the_way_is_noticed(
    all_ends: Ends, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = all_ends.url("s3", "f"), all_ends.url("local", "f")
    all_ends.write(here, DATA)
    write = transfer_writing._write_parts

    def spoil(stream: Any, block: bytes, part: int) -> None:
        write(stream, bytes([block[0] ^ 1]) + block[1:], part)

    monkeypatch.setattr(transfer_writing, "_write_parts", spoil)
    with pytest.raises(Damaged, match=r"checksum \(etag\) is not what the target says"):
        copy_file(here, there)
    with pytest.raises(FileNotFoundError):
        all_ends.read(there)


def test_an_additional_checksum_where_the_etag_says_nothing(all_ends: Ends) -> None:
    there = all_ends.url("s3", "f")
    upload(there, [DATA])
    place = place_of(there)
    facts = facts_of(place)
    assert facts.sums == {}
    bucket, key, _ = place.fs.split_path(place.path)
    sent = {"ChecksumAlgorithm": "CRC32", "Body": b"abc", "Bucket": bucket, "Key": key}
    place.fs.call_s3("put_object", **sent, ServerSideEncryption="aws:kms")
    facts = facts_of(place)
    crc = zlib.crc32(b"abc")
    assert facts.sums == {"crc32": f"{crc:08x}"}
    assert base64.b64encode(crc.to_bytes(4, "big")) == b"NSRBwg=="
    assert copy_file(there, all_ends.url("local", "f")).verified == ("source:crc32",)


def test_where_no_side_tells_a_checksum_it_is_said(all_ends: Ends) -> None:
    here = all_ends.url("local", "f")
    all_ends.write(here, b"abc")
    for protocol, told in (
        ("sftp", ()),
        ("memory", ()),
        ("s3", ("target:md5",)),
        ("dcache", ("target:adler32",)),
    ):
        assert copy_file(here, all_ends.url(protocol, "f")).verified[-1:] == told, protocol
