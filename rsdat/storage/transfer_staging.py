"""Bringing files from tape before they are needed, in bulk; letting their disk copies go again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rsdat.storage.dcache.tape import FIRST_LOOK, LAST_LOOK, StagedFile, Staging
from rsdat.storage.transfer_listing import Entry, address, by_door, localities
from rsdat.storage.transfer_places import Place, place_of

#: Localities of files whose data cannot be brought.
GONE = frozenset({"LOST", "UNAVAILABLE"})


@dataclass(frozen=True)
class Brought:
    """What became of files that were to be brought to disk, each by its address.

    Parameters
    ----------
    online
        On disk before anything was asked.
    staged
        On disk now.
    coming
        Asked for, and not there yet.
    failed
        Address and reason of those that will not come.
    """

    online: tuple[str, ...]
    staged: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def bring(
    entries: Sequence[Entry],
    lifetime: timedelta,
    *,
    wait: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Brought:
    """Ask for files that are on tape only, one request for many, and wait until they are there.

    Parameters
    ----------
    lifetime
        How long they stay on disk at least.
    wait
        Whether to wait until each is there, or known not to come.
    progress
        Told how many of the files that were asked for are over, and of how many.
    """
    where = localities(entries)
    online = tuple(url for url, word in where.items() if "ONLINE" in word)
    gone = [(url, f"its locality is {word}") for url, word in where.items() if word in GONE]
    wanted = [entry for entry in entries if where[entry.url] not in GONE | set(_ONLINE)]
    asked = [
        (door, door.fs.stage([place_of(one.url).path for one in group], lifetime))
        for door, group in by_door(wanted)
    ]
    asked = _waited(asked, wait, progress)
    files = [(address(door, file.path), file) for door, now in asked for file in now.files]
    return Brought(
        online,
        tuple(url for url, file in files if file.state == "COMPLETED"),
        tuple(url for url, file in files if not file.over),
        (*gone, *((url, _reason(file)) for url, file in files if _will_not_come(file))),
    )


_ONLINE = ("ONLINE", "ONLINE_AND_NEARLINE")


def _will_not_come(file: StagedFile) -> bool:
    return file.over and file.state != "COMPLETED"


def _reason(file: StagedFile) -> str:
    return file.error or file.state.lower()


def _waited(
    asked: list[tuple[Place, Staging]], wait: bool, progress: Callable[[int, int], None] | None
) -> list[tuple[Place, Staging]]:
    pause = FIRST_LOOK
    while True:
        files = [file for _, staging in asked for file in staging.files]
        if progress is not None:
            progress(sum(file.over for file in files), len(files))
        if not wait or all(file.over for file in files):
            return asked
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK)
        asked = [(door, door.fs.staging(staging)) for door, staging in asked]


def let_go(entries: Sequence[Entry]) -> int:
    """Give the disk copies of files free before their time; how many there were at doors."""
    count = 0
    for door, group in by_door(entries):
        if door.kind == "door":
            door.fs.release([place_of(one.url).path for one in group])
            count += len(group)
    return count
