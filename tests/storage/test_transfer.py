"""Copying between any two protocols: complete, verified, skipped when equal, harmless to itself."""

from __future__ import annotations

import itertools
import os
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsdat.errors import DataError
from rsdat.storage.transfer import copy_file, copy_many
from rsdat.storage.transfer_errors import Changed, CopyFailed, Denied, Directory, Missing
from rsdat.storage.transfer_many import Planned, Progress
from rsdat.storage.transfer_places import of_headers
from tests.storage.secrets import Person, person
from tests.storage.signed_servers import Answer, Asked, file_answer, serving
from tests.storage.transfer_ends import Ends, all_ends, ends, short_clock

__all__ = ["all_ends", "ends", "person", "short_clock"]

DATA = os.urandom(200_000)
ADLER = f"adler32:{zlib.adler32(DATA):08x}"


def test_every_pair_of_protocols(all_ends: Ends) -> None:
    targets = [one for one in all_ends.urls if one != "https"]
    for source in all_ends.urls:
        begin = all_ends.url(source, "é 1+#.bin")
        all_ends.write(begin, DATA)
        for target in targets:
            end = all_ends.url(target, f"{target}/from {source}/é 1+#.bin")
            done = copy_file(begin, end)
            assert not done.skipped, (source, target)
            assert done.nbytes == len(DATA)
            assert done.checksum == ADLER or source == target == "s3", (source, target)
            assert all_ends.read(end) == DATA, (source, target)
            again = copy_file(begin, end)
            assert again.skipped, (source, target)
    assert all_ends.hidden() == []


def test_an_empty_file_and_one_that_is_longer_than_a_block(ends: Ends) -> None:
    for size in (0, 5_000_001):
        data = os.urandom(size)
        for source, target in (("local", "dcache"), ("dcache", "local"), ("https", "memory")):
            begin, end = ends.url(source, f"s{size}"), ends.url(target, f"t{size}")
            ends.write(begin, data)
            assert copy_file(begin, end, overwrite="always").nbytes == size
            assert ends.read(end) == data


def test_a_file_is_equal_by_checksum_or_by_size_and_time(ends: Ends) -> None:
    here, there = ends.url("local", "f"), ends.url("dcache", "f")
    ends.write(here, DATA)
    ends.write(there, DATA[::-1])
    os.utime(here, (1, 1))
    assert copy_file(here, there).skipped  # the same size, and not older
    assert not copy_file(here, there, checksum=True).skipped
    assert copy_file(here, there, checksum=True).checksum == ADLER
    other = ends.url("dcache", "g")
    ends.write(other, DATA[::-1])
    assert not copy_file(there, other).skipped  # both tell a checksum
    Path(here).write_bytes(DATA[:-1])
    assert not copy_file(here, there).skipped
    assert copy_file(here, there, overwrite="never").skipped
    assert not copy_file(here, there, overwrite="always").skipped
    with pytest.raises(ValueError, match="overwrite is one of"):
        copy_file(here, there, overwrite="sometimes")


def test_a_newer_source_of_the_same_size_is_copied(ends: Ends) -> None:
    here, there = ends.url("local", "f"), ends.url("memory", "f")
    ends.write(here, DATA)
    assert not copy_file(here, there).skipped
    later = Path(here).stat().st_mtime + 3600
    os.utime(here, (later, later))
    assert not copy_file(here, there).skipped


def test_a_source_that_is_the_target_is_left_alone(ends: Ends) -> None:
    here = Path(ends.url("local", "f"))
    here.write_bytes(DATA)
    (here.parent / "link").symlink_to(here)
    os.link(here, here.parent / "hard")
    ends.write(ends.url("dcache", "f"), DATA)
    host = ends.door.webdav.removeprefix("https://")
    pairs = [
        (here, here),
        (here, f"file://{here.parent}/../{here.parent.name}/f"),
        (here.parent / "link", here),
        (here, here.parent / "link"),
        (here, here.parent / "hard"),
        (f"dcache://{host}/d//f", f"dcache://{host}/d/f"),
        (f"https://{host}/d/f", f"dcache://{host}/d/f"),
        (f"dcache://{host}/d/f", f"davs://{host}/d/f"),
    ]
    ends.door.clear_log()
    for source, target in pairs:
        done = copy_file(str(source), str(target), overwrite="always")
        assert (done.skipped, done.nbytes) == (True, len(DATA)), (source, target)
    assert here.read_bytes() == DATA
    assert not ends.door.requests(method="PUT")


def test_a_link_at_the_target_is_followed(ends: Ends, tmp_path: Path) -> None:
    real, link = tmp_path / "real", Path(ends.url("local", "link"))
    real.write_bytes(b"old")
    link.symlink_to(real)
    ends.write(ends.url("memory", "f"), DATA)
    copy_file(ends.url("memory", "f"), str(link))
    assert link.is_symlink()
    assert real.read_bytes() == DATA


def test_a_door_that_copies_does_so_without_the_bytes_passing_here(ends: Ends) -> None:
    # WebDAV alone: dCache's own COPY is for copies between doors.
    ends.write(ends.url("davs", "f"), DATA)
    ends.door.clear_log()
    done = copy_file(ends.url("davs", "f"), ends.url("davs", "g"))
    assert done.checksum == ADLER
    assert ends.read(ends.url("davs", "g")) == DATA
    assert not ends.door.requests("webdav", "PUT")
    assert ends.door.requests("webdav", "COPY")


def test_a_source_whose_tag_becomes_strong_is_the_same(person: Person, tmp_path: Path) -> None:
    """Apache calls the tag of a file weak until the file is a second old."""
    (tmp_path / "f").write_bytes(DATA)
    for later in ('"a"', '"b"'):
        tags = itertools.chain(['W/"a"'], itertools.repeat(later))

        def answer(asked: Asked, tags: Iterator[str] = tags) -> Answer:
            status, headers, data = file_answer(tmp_path / "f", asked)
            return status, {**headers, "ETag": next(tags)}, data

        with serving(answer) as address:
            if later == '"b"':
                with pytest.raises(Changed, match="replaced"):
                    copy_file(f"{address}/f", str(tmp_path / "h"))
            else:
                copy_file(f"{address}/f", str(tmp_path / "g"))
    assert (tmp_path / "g").read_bytes() == DATA
    assert not (tmp_path / "h").exists()
    told = [of_headers(200, {"ETag": tag}) for tag in ('W/"a"', '"a"')]
    assert [(one.version, one.weak) for one in told] == [('"a"', True), ('"a"', False)]


def test_what_goes_wrong_names_both_ends_and_the_next_step(ends: Ends) -> None:
    here = ends.url("local", "f")
    ends.write(here, DATA)
    (Path(here).parent / "dir").mkdir()
    signed = ends.url("https", "none") + "?signature=hidden"
    wrong = [
        (ends.url("local", "none"), ends.url("dcache", "x"), Missing),
        (ends.url("dcache", "none"), ends.url("local", "x"), Missing),
        (signed, ends.url("local", "x"), Missing),
        (ends.url("local", "dir"), ends.url("dcache", "x"), Directory),
        (here, ends.url("local", "dir"), Directory),
        (here, ends.url("https", "x"), Denied),
        (here, "nonsense://host/x", DataError),
    ]
    for source, target, kind in wrong:
        with pytest.raises(kind) as caught:
            copy_file(source, target)
        error = caught.value
        assert isinstance(error, CopyFailed)
        assert error.hint
        assert error.source in error.message
        assert error.target in error.message
        assert "hidden" not in f"{error.message}{error.hint}"
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), back.message, back.source) == (type(error), error.message, error.source)
    assert ends.hidden() == []


def test_many_files_big_ones_first_with_progress_and_a_report(ends: Ends) -> None:
    sizes = [10, 300_000, 2_000]
    for number, size in enumerate(sizes):
        ends.write(ends.url("local", f"f{number}"), bytes(size))
    names = [*(f"f{number}" for number in range(3)), "none"]
    pairs = [(ends.url("local", name), ends.url("dcache", name)) for name in names]
    seen: list[Progress] = []
    ends.door.clear_log()
    report = copy_many(pairs, concurrency=1, progress=seen.append)
    assert [one.nbytes for one in report.copied] == sizes
    assert [one.source for one in report.failed] == [pairs[3][0]]
    assert "does not exist" in report.failed[0].reason
    assert report.nbytes == sum(sizes)
    put = dict.fromkeys(one.path for one in ends.door.requests("webdav", "PUT"))
    assert list(put) == ["/d/f1", "/d/f2", "/d/f0"]
    last = seen[-1]
    assert (last.files, last.total_files, last.failed) == (4, 4, 1)
    assert last.nbytes == last.total_bytes == sum(sizes)
    again = copy_many([Planned(*pair) for pair in pairs[:3]])
    assert len(again.skipped) == 3
    assert not again.copied
    assert again.nbytes == 0
    assert pickle.loads(pickle.dumps(report)).copied == report.copied


def test_many_files_can_end_with_the_first_failure(ends: Ends) -> None:
    pairs = [(ends.url("local", f"none{i}"), ends.url("dcache", f"x{i}")) for i in range(3)]
    with pytest.raises(Missing):
        copy_many(pairs, on_error="raise")
    with pytest.raises(ValueError, match="would both become"):
        copy_many([("a", "/x"), ("b", "/x")])


def test_copies_of_many_share_the_connections_to_a_door(ends: Ends) -> None:
    # Nobody is answered before six ask.
    ends.door.fault("meet", "/d/new/*", verb="PUT", value=6, times=None)
    for number in range(12):
        ends.write(ends.url("memory", f"f{number}"), b"x" * number)
    ends.door.clear_log()
    pairs = [(ends.url("memory", f"f{n}"), ends.url("dcache", f"new/f{n}")) for n in range(12)]
    report = copy_many(pairs, concurrency=6)
    assert len(report.copied) == 12
    assert ends.door.most_active >= 6
    made = [one.path for one in ends.door.requests(method="MKCOL") if one.status < 300]
    assert sorted(made) == ["/d/", "/d/new/"]  # once for all
