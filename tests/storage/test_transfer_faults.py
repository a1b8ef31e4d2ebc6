"""Copies that are disturbed: resumed, tried again, or failed in words; nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.storage import transfer, transfer_writing
from rsdat.storage.dcache.retrying import Policy
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_errors import (
    Broken,
    Changed,
    CopyFailed,
    Damaged,
    Denied,
    Full,
    Missing,
    Stopped,
)
from rsdat.storage.transfer_reading import BLOCK
from tests.conftest import Sshd
from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, all_ends, ends, short_clock
from tests.storage.waiting import LONG, eventually, left

__all__ = ["all_ends", "ends", "person", "short_clock"]

DATA = os.urandom(9_000_000)
HALF = 4_500_000
#: What is told to have arrived when so much was sent: whole blocks.
ARRIVES = HALF // BLOCK * BLOCK


class Half:
    """A callback that does something once, in the middle of a copy."""

    def __init__(self, action: Callable[[], object], at: int = HALF) -> None:
        self._action: Callable[[], object] | None = action
        self._at = at

    def set_size(self, size: int) -> None:
        pass

    def absolute_update(self, nbytes: int) -> None:
        if nbytes >= self._at and self._action is not None:
            action, self._action = self._action, None
            action()


def blink(ends: Ends) -> None:
    """Break all connections off."""
    ends.door.disconnect()
    ends.door.reconnect()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize("scheme", ["dcache", "https"])
def test_a_break_of_the_source_is_bridged_without_asking_twice(
    ends: Ends, kind: str, scheme: str
) -> None:
    source, target = ends.url(scheme, "f"), ends.url("local", "f")
    ends.write(source, DATA)
    # A reset takes along what the receiver's kernel still holds: it comes when that has arrived.
    ends.door.fault("hold" if kind == "reset" else kind, "/d/f", origin="pool", value=HALF)
    ends.door.clear_log()
    told = Half(lambda: blink(ends), at=ARRIVES) if kind == "reset" else None
    copy_file(source, target, callback=told)
    assert Path(target).read_bytes() == DATA
    gets = [one for one in ends.door.requests("pool", "GET") if one.status != 404]
    starts = [int(one.headers.get("range", "bytes=0-")[6:-1]) for one in gets]
    # What was in flight may be lost; what arrived is not asked for again.
    assert starts[0] == 0
    assert len(starts) == 2
    assert (ARRIVES if kind == "reset" else HALF - (2 << 20)) <= starts[1] <= HALF
    assert ends.hidden() == []


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_a_server_that_passes(ends: Ends, status: int) -> None:
    ends.write(ends.url("https", "f"), DATA)
    ends.door.fault("status", "/d/f", origin="webdav", value=status, times=2)
    copy_file(ends.url("https", "f"), ends.url("local", "f"))
    ends.door.fault("status", "/d/g", origin="webdav", verb="PUT", value=status, times=2)
    copy_file(ends.url("local", "f"), ends.url("dcache", "g"))
    assert ends.door.read("/d/g") == DATA


@pytest.mark.parametrize("pair", [("https", "local"), ("dcache", "local"), ("local", "dcache")])
def test_a_network_that_is_gone_in_the_middle(ends: Ends, pair: tuple[str, str]) -> None:
    source, target = ends.url(pair[0], "f"), ends.url(pair[1], "f2")
    ends.write(source, DATA)
    # So that it is the middle, however late this is told of it.
    ends.door.fault("hold", "/d/f*", origin="pool", value=2 * HALF - 1)
    ends.door.clear_log()
    back = threading.Timer(0.5, ends.door.reconnect)

    def away() -> None:
        ends.door.disconnect()
        back.start()

    copy_file(source, target, callback=Half(away))
    back.join()
    carried = [r for r in ends.door.requests("pool") if r.method in ("GET", "PUT")]
    assert len([r for r in carried if r.sent or r.received]) > 1
    assert ends.read(target) == DATA
    assert ends.hidden() == []


def test_the_clock_is_long_enough_for_half_a_minute() -> None:
    policy = Policy()
    shortest = sum(0.75 * min(policy.pause * 2.0**n, 20.0) for n in range(policy.retries))
    assert policy == transfer.PATIENCE
    assert shortest > 30


def test_a_network_that_stays_away_leaves_a_part_from_which_the_next_try_goes_on(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends.url("https", "f"), ends.url("local", "f")
    ends.write(source, DATA)
    ends.door.fault("hold", "/d/f", origin="pool", value=2 * HALF - 1)
    monkeypatch.setattr(transfer, "PATIENCE", Policy(retries=2, pause=0.01))
    with pytest.raises(Broken, match="was not copied") as caught:
        copy_file(source, target, callback=Half(ends.door.disconnect))
    assert "run it again" in str(caught.value.hint)
    assert not Path(target).exists()
    (part,) = ends.hidden()
    assert Path(part).name.startswith(".f.")
    left = Path(part).stat().st_size
    assert HALF <= left < len(DATA)
    ends.door.reconnect()
    ends.door.clear_log()
    done = copy_file(source, target)
    assert done.resumed_from == left
    assert Path(target).read_bytes() == DATA
    assert sum(one.sent for one in ends.door.requests("pool", "GET")) == len(DATA) - left
    assert ends.hidden() == []


def test_a_part_of_another_version_of_the_source_is_not_gone_on_with(ends: Ends) -> None:
    source, target = ends.url("dcache", "f"), ends.url("local", "f")
    ends.write(source, DATA)
    with pytest.raises(KeyboardInterrupt):
        copy_file(source, target, callback=Half(interrupt))
    assert len(ends.hidden()) == 1
    ends.write(source, DATA[::-1])
    assert copy_file(source, target).resumed_from == 0
    assert Path(target).read_bytes() == DATA[::-1]
    assert ends.hidden() == []


def test_a_part_that_was_spoiled_is_noticed_and_made_anew(ends: Ends) -> None:
    source, target = ends.url("dcache", "f"), ends.url("local", "f")
    ends.write(source, DATA)
    with pytest.raises(KeyboardInterrupt):
        copy_file(source, target, callback=Half(interrupt))
    with open(ends.hidden()[0], "r+b") as part:
        part.write(b"spoiled")
    assert copy_file(source, target).resumed_from == 0
    assert Path(target).read_bytes() == DATA


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_sftp_goes_on_with_its_part_and_bridges_a_break(all_ends: Ends, sftp_server: Sshd) -> None:
    source, target = all_ends.url("local", "f"), all_ends.url("sftp", "deep/f")
    all_ends.write(source, DATA)
    with pytest.raises(KeyboardInterrupt):
        copy_file(source, target, callback=Half(interrupt))
    done = copy_file(source, target, callback=Half(sftp_server.sever, at=HALF + 2_500_000))
    assert done.resumed_from >= HALF
    assert all_ends.read(target) == DATA
    back = all_ends.url("local", "back")
    copy_file(target, back, callback=Half(sftp_server.sever))
    assert Path(back).read_bytes() == DATA
    assert all_ends.hidden() == []


def test_a_copy_to_s3_that_is_interrupted_leaves_no_upload(
    all_ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_writing, "S3_PART", 5 << 20)
    source, target = all_ends.url("local", "f"), all_ends.url("s3", "f")
    all_ends.write(source, DATA)
    place = transfer.place_of(target)
    with pytest.raises(KeyboardInterrupt):
        copy_file(source, target, callback=Half(interrupt, at=8_000_000))
    bucket = place.path.split("/")[0]
    assert place.fs.list_multipart_uploads(bucket) == []
    assert place.fs.ls(bucket, refresh=True) == []
    assert copy_file(source, target).verified == ("target:etag",)
    assert all_ends.read(target) == DATA
    back = all_ends.url("local", "back")
    assert copy_file(target, back).verified == ("source:etag",)
    assert Path(back).read_bytes() == DATA


@pytest.mark.parametrize("scheme", ["dcache", "https"])
def test_bytes_that_were_spoiled_on_the_way_are_fetched_again(ends: Ends, scheme: str) -> None:
    source, target = ends.url(scheme, "f"), ends.url("local", "f")
    ends.write(source, DATA)
    ends.door.fault("corrupt", "/d/f", origin="pool", value=7)
    copy_file(source, target)
    assert Path(target).read_bytes() == DATA


@pytest.mark.parametrize("target", ["local", "memory", "davs"])
def test_a_source_whose_checksum_is_wrong_is_never_given_its_name(ends: Ends, target: str) -> None:
    ends.write(ends.url("dcache", "f"), DATA)
    ends.door.fault("checksum", "/d/f", times=None)
    end = ends.url(target, "f2")
    with pytest.raises(Damaged, match="adler32"):
        copy_file(ends.url("dcache", "f"), end)
    with pytest.raises(FileNotFoundError):
        ends.read(end)
    assert ends.hidden() == []
    if target == "local":
        assert copy_file(ends.url("dcache", "f"), end, verify=False).nbytes == len(DATA)


def test_an_upload_with_a_wrong_checksum_is_removed(ends: Ends) -> None:
    ends.write(ends.url("local", "f"), DATA)
    ends.door.fault("checksum", "/d/g", times=None)
    with pytest.raises(CopyFailed, match="differs in adler32"):
        copy_file(ends.url("local", "f"), ends.url("dcache", "g"))
    assert not ends.door.exists("/d/g")


def test_no_room(ends: Ends) -> None:
    ends.write(ends.url("local", "f"), DATA)
    ends.door.options.quota = 1000
    with pytest.raises(Full, match="quota"):
        copy_file(ends.url("local", "f"), ends.url("dcache", "g"))
    assert not ends.door.exists("/d/g")
    if os.path.exists("/dev/full"):
        with pytest.raises(CopyFailed):
            copy_file(ends.url("local", "f"), "/proc/nowhere/f")


def test_what_may_not_be_read_or_written(ends: Ends) -> None:
    ends.write(ends.url("https", "f"), DATA)
    ends.write(ends.url("local", "f"), DATA)
    ends.door.allow("read-only", ["DOWNLOAD", "READ_METADATA", "LIST"])
    (ends.home / "token").write_text("read-only")
    with pytest.raises(Denied, match="credential"):
        copy_file(ends.url("local", "f"), ends.url("dcache", "g"))
    (ends.home / "token").write_text("unknown")
    for scheme in ("davs", "https"):  # another filesystem than the one that knows the old token
        with pytest.raises(Denied) as caught:
            copy_file(ends.url(scheme, "f"), ends.url("local", "x"))
        assert "unknown" not in f"{caught.value.message} {caught.value.hint}"
    (ends.home / "token").unlink()
    with pytest.raises(Denied, match="~/token does not exist"):
        copy_file(ends.url("https", "f"), ends.url("local", "x"))
    assert ends.hidden() == []


def test_a_source_that_vanishes_or_changes(ends: Ends) -> None:
    source = ends.url("https", "f")
    ends.write(source, DATA)

    def vanish() -> None:
        ends.door.remove("/d/f")
        blink(ends)

    def change() -> None:
        ends.door.put("/d/f", DATA[::-1])
        blink(ends)

    ends.door.fault("hold", "/d/f", origin="pool", value=HALF, times=2)
    with pytest.raises(Missing):
        copy_file(source, ends.url("local", "f"), callback=Half(vanish, at=1))
    ends.write(source, DATA)
    with pytest.raises(Changed, match="replaced"):
        copy_file(source, ends.url("local", "f"), callback=Half(change, at=1))
    assert ends.hidden() == []


def test_a_source_on_tape_says_what_to_do(ends: Ends) -> None:
    ends.write(ends.url("dcache", "{f}"), DATA)
    ends.door.to_tape("/d/{f}")
    with pytest.raises(CopyFailed, match="NEARLINE") as caught:
        copy_file(ends.url("dcache", "{f}"), ends.url("local", "f"))
    assert "rsdat data stage" in str(caught.value.hint)
    assert "/d/{f}" in str(caught.value.hint)


@pytest.mark.parametrize("target", ["local", "memory", "dcache", "davs"])
def test_a_copy_can_be_called_off(ends: Ends, target: str) -> None:
    stop = threading.Event()
    ends.write(ends.url("https", "f"), DATA)
    ends.door.fault("slow", "/d/f", value=0.01, times=None)
    with pytest.raises(Stopped):
        copy_file(
            ends.url("https", "f"), ends.url(target, "g"), stop=stop, callback=Half(stop.set, at=1)
        )
    assert [name for name in ends.hidden() if "here" not in name] == []
    with pytest.raises(FileNotFoundError):
        ends.read(ends.url(target, "g"))
    assert eventually(lambda: "rsdat-read-ahead" not in {one.name for one in threading.enumerate()})


PROGRAM = """
import sys
from rsdat.storage.transfer import copy_many

def progress(now):
    if now.nbytes:
        print("moving", flush=True)

try:
    copy_many([tuple(pair.split("|")) for pair in sys.argv[1:]], progress=progress)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_leaves_nothing_but_parts_to_go_on_with(ends: Ends) -> None:
    for name in "abc":
        ends.write(ends.url("https", name), DATA)
    # None comes to its end, however late the interrupt is.
    ends.door.fault("hold", "/d/*", origin="pool", value=HALF, times=None)
    pairs = [(ends.url("https", "a"), ends.url("local", "a"))]
    pairs += [(ends.url("https", n), ends.url("dcache", f"new {n}")) for n in "bc"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *("|".join(pair) for pair in pairs)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moving\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(2 * LONG) == 130
    process.stdout.close()
    assert left(lambda: [p for p in ends.door.paths("/d") if "new" in p]) == []
    here = list(Path(ends.urls["local"]).iterdir())
    assert all(p.name.startswith(".a.") and p.name.endswith(".part") for p in here)
