"""Files for what memory does not hold: where they lie, that they are shared, and what stays."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from rsdat.errors import DataError
from rsdat.raster import scratch
from rsdat.raster.scratch import Scratch, place


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """The temporary directory."""
    found = tmp_path / "tmp"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    monkeypatch.setattr(scratch, "_in_memory", lambda directory: False)
    return found


def open_files(directory) -> list[str]:
    """Files without a name that this process has open there."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue  # the listing's own
    return [one for one in found if one.startswith(f"{directory}/") and one.endswith("(deleted)")]


def test_what_is_written_is_read_and_nothing_has_a_name(directory):
    values = np.arange(5000, dtype="uint16")
    with Scratch().lend() as files:
        file = files.open(10_000)
        file.write(values, 4096)
        found = np.empty(5000, "uint16")
        file.read(found, 4096)
        np.testing.assert_array_equal(found, values)
        assert os.listdir(directory) == []
        assert open_files(directory)


def test_files_are_used_again_and_go_with_their_scratch(directory):
    shared = Scratch()
    with shared.lend() as files:
        first = files.open(10)
        assert files.open(10) is not first
    with shared.lend() as files:
        assert {files.open(10), files.open(10)} >= {first}
        assert len(open_files(directory)) == 2
        del files
    assert len(open_files(directory)) == 2
    del shared, first
    assert open_files(directory) == []


def test_what_is_begun_anew_takes_the_same_files(directory):
    with Scratch().lend() as files:
        first = [files.open(10), files.open(10)]
        files.again()
        assert [files.open(10), files.open(10)] == first
        assert files.open(10) not in first


def test_after_an_error_the_room_is_free(directory):
    shared = Scratch()

    def fail():
        with shared.lend() as files:
            files.open(10)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert open_files(directory) == []


def test_a_scratch_travels_without_its_files(directory):
    shared = Scratch("beside")
    with shared.lend() as files:
        files.open(10)
    other = pickle.loads(pickle.dumps(shared))
    assert other.beside == "beside"
    assert other._idle == []


def test_the_place_is_a_disk_with_room(directory, tmp_path, monkeypatch):
    beside = tmp_path / "out"
    beside.mkdir()
    assert place(1000, str(beside)) == str(directory)
    assert place(1 << 60, str(beside)) is None
    assert place(0, str(tmp_path / "missing")) == str(directory)
    monkeypatch.setattr(scratch, "_in_memory", lambda name: name == str(directory))
    assert place(1000, str(beside)) == str(beside)
    assert place(1000) is None
    with Scratch(str(beside)).lend() as files:
        assert files.open(10).directory == str(beside)
    with Scratch().lend() as files:  # better there than nowhere
        assert files.open(10).directory == str(directory)


def test_memory_is_known_by_the_table_of_mounts(tmp_path):
    with open("/proc/mounts") as table:
        kinds = {line.split()[1]: line.split()[2] for line in table}
    if kinds.get("/dev/shm") == "tmpfs":
        assert scratch._in_memory("/dev/shm")
    assert not scratch._in_memory("/proc")


def test_a_worker_keeps_files_in_its_own_directory(tmp_path, monkeypatch):
    from distributed import Client

    monkeypatch.setattr(scratch, "_in_memory", lambda directory: False)
    with Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path),
    ) as client:
        assert client.submit(place, 0).result(60).startswith(f"{tmp_path}/")


def test_a_full_disk_is_named(directory, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DataError, match="up to 12 MB for each thread: No space") as caught:
        Scratch().take(12_000_000)
    assert str(directory) in caught.value.message
    assert "TMPDIR" in caught.value.hint


#: Keeps two layers of 80 000 numbers where a file may have 200 000 bytes.
_LIMITED = """
import resource
import numpy as np
from rsdat.errors import DataError
from rsdat.raster.kernels import Disk, reducer
from rsdat.raster.scratch import Scratch
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
layer = np.ones((1, 200, 400), "uint16")
try:
    with Scratch().lend() as files:
        made = reducer("median", bands=("a",), shape=(200, 400), dtype="uint16", scales=(1.0,),
                       offsets=(0.0,), disk=Disk(files, 2))
        made.add(layer, None, 0.0)
        made.add(layer, None, 1.0)
except DataError as error:
    print(error.message, error.hint, error.__context__)
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path):
    (tmp_path / "scratch").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED],
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{tmp_path}/scratch cannot hold" in done.stdout
    assert done.stdout.rstrip().endswith("None")
    assert os.listdir(tmp_path / "scratch") == []
