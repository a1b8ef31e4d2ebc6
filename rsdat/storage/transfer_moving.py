"""Plans of copies, moving and removing: what goes where, and what may go away afterwards."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count

from rsdat.errors import RsdatError
from rsdat.storage.files import shown
from rsdat.storage.transfer import Copied
from rsdat.storage.transfer_errors import CopyFailed, Directory, explained
from rsdat.storage.transfer_listing import Entry, expand, files_below, is_directory, opened
from rsdat.storage.transfer_many import CONCURRENCY, Failed, Planned, Progress, Report, copy_many
from rsdat.storage.transfer_places import Place, place_of, run, same


def plan(
    sources: Sequence[str], target: str, *, recursive: bool = False, whole: bool = False
) -> list[Planned]:
    """Which files become which, as `cp` and `rsync` have it.

    A file goes into ``target`` under its name if that is a directory, ends with a slash, or takes
    several sources; else it becomes ``target``. A directory likewise; with a slash at its end, only
    what is in it goes.

    Parameters
    ----------
    whole
        Whether a directory that can be renamed stays one in the plan.

    Raises
    ------
    DataError
        A source does not exist, or is a directory and ``recursive`` was not given.
    """
    given = [(source, expand(source)) for source in sources]
    several = sum(len(entries) for _, entries in given) > 1
    into = several or target.endswith("/") or is_directory(target)
    base = target.rstrip("/") or "/"
    found: dict[str, Planned] = {}
    for source, entries in given:
        contents = source.endswith("/")
        for entry in entries:
            for one in _planned(entry, base, into, recursive, contents=contents, whole=whole):
                other = found.setdefault(one.target, one)
                if other.source != one.source:
                    raise CopyFailed(
                        f"{shown(other.source)} and {shown(one.source)} would both become "
                        f"{shown(one.target)}",
                        hint="copy them into different directories",
                    )
    return list(found.values())


def _planned(
    entry: Entry, base: str, into: bool, recursive: bool, *, contents: bool, whole: bool
) -> list[Planned]:
    if not entry.is_directory:
        return [Planned(entry.url, below(base, entry.name) if into else base, entry.nbytes)]
    if not recursive:
        raise Directory(
            f"{shown(entry.url)} is a directory", hint="give -r to copy all that is below it"
        )
    top = below(base, entry.name) if into and not contents else base
    if _inside(top, entry.url):
        raise CopyFailed(
            f"{shown(entry.url)} cannot be copied into itself ({shown(top)})",
            hint="choose a target outside of it",
        )
    if whole and not contents and _renames(opened(entry.url), opened(top)):
        try:
            expand(top)
        except FileNotFoundError:
            return [Planned(entry.url, top)]
    cut = len(entry.url.rstrip("/")) + 1
    return [Planned(one.url, below(top, one.url[cut:]), one.nbytes) for one in files_below(entry)]


def below(directory: str, name: str) -> str:
    """The address of something in a directory."""
    return f"{directory.rstrip('/')}/{name}"


def _inside(target: str, source: str) -> bool:
    top, end = opened(source), opened(target)
    if top.kind != end.kind:
        return False
    one, other = top.url.rstrip("/") + "/", end.url.rstrip("/") + "/"
    return other.startswith(one) and other != one


# --- moving


def move_many(
    planned: Sequence[Planned],
    *,
    concurrency: int = CONCURRENCY,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Move files: renamed where both ends are one server, else copied, compared and removed.

    A file that is its own target stays. What failed to be copied is not removed.
    """
    left = [one for one in planned if not _is_itself(one)]
    here = [one for one in left if _renames(opened(one.source), opened(one.target))]
    others = [one for one in left if one not in here]
    with ThreadPoolExecutor(concurrency) as pool:
        renamed = list(pool.map(_renamed, here))
    failed = [one for one in renamed if isinstance(one, Failed)]
    # By checksum: a target that only seems equal is no reason to remove the source.
    report = copy_many(others, checksum=True, concurrency=concurrency, progress=progress)
    for one in (*report.copied, *report.skipped):
        trouble = _taken_away(one.source, one.target)
        failed += [] if trouble is None else [trouble]
    moved = (one for one in renamed if isinstance(one, Copied))
    return replace(
        report,
        copied=(*moved, *report.copied, *report.skipped),
        skipped=(),
        failed=(*report.failed, *failed),
    )


def _is_itself(one: Planned) -> bool:
    return same(opened(one.source), opened(one.target))


def _renames(source: Place, target: Place) -> bool:
    if source.kind != target.kind:
        return False
    if source.kind == "local":
        above = target.path
        while not os.path.exists(above):
            above = os.path.dirname(above)
        return os.stat(source.path).st_dev == os.stat(above).st_dev
    return source.kind in ("door", "sftp") and source.fs is target.fs


def _renamed(one: Planned) -> Copied | Failed:
    began = time.monotonic()
    source, target = place_of(one.source), place_of(one.target)
    try:
        if source.kind == "local":
            os.makedirs(os.path.dirname(target.path), exist_ok=True)
            os.replace(source.path, target.path)
        elif source.kind == "sftp":
            source.fs.makedirs(os.path.dirname(target.path), exist_ok=True)
            source.fs.ftp.posix_rename(source.path, target.path)
        else:
            run(source.fs, lambda: source.fs._mv_file(source.path, target.path))
    except Exception as error:
        return Failed(one.source, one.target, explained(error, one.source, one.target))
    seconds = time.monotonic() - began
    return Copied(one.source, one.target, one.nbytes or 0, None, False, 0, seconds)


def _taken_away(source: str, target: str) -> Failed | None:
    end = place_of(target)
    try:
        if end.kind == "local":
            with open(end.path, "rb") as stream:
                # The copy has to survive a power cut, before the original goes.
                os.fsync(stream.fileno())
        remove_file(place_of(source))
    except Exception as error:
        return Failed(source, target, explained(error, source, target))
    return None


def without_empty(directories: Sequence[Entry]) -> None:
    """Remove directories that nothing is left in, from the leaves up."""
    for top in directories:
        place = place_of(top.url)
        if place.kind in ("http", "s3"):
            continue
        found = place.fs.find(place.path, withdirs=True, detail=True)
        names = [n for n, info in found.items() if info["type"] == "directory"]
        for name in sorted({*names, place.path}, key=len, reverse=True):
            with suppress(OSError):
                place.fs.rmdir(name)


# --- removing


def remove_file(place: Place) -> None:
    """Remove one file by its literal name."""
    if place.kind == "local":
        os.unlink(place.path)
    elif place.kind == "sftp":
        place.fs.ftp.remove(place.path)
    elif place.kind == "http":
        raise PermissionError("files cannot be removed over plain https://")
    else:
        place.fs.rm_file(place.path)


def remove(
    entries: Sequence[Entry],
    *,
    recursive: bool = False,
    progress: Callable[[int], object] | None = None,
) -> list[Failed]:
    """Remove files, and (recursive) directories with all that is in them; what failed.

    Names are literal: a file ``x?y`` is that file, and a link is removed, not what it leads to.
    ``progress`` is told how many files are gone, but where a door removes a tree by one request.
    """
    failed: list[Failed] = []
    numbers = count(1)

    def gone() -> None:
        number = next(numbers)
        if progress is not None:
            progress(number)

    def one(entry: Entry) -> None:
        try:
            _removed(entry, recursive, gone)
        except RsdatError as error:
            failed.append(Failed(entry.url, "", error))
        except Exception as error:
            failed.append(Failed(entry.url, "", _not_removed(error, entry)))

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(one, entries))
    return failed


def _removed(entry: Entry, recursive: bool, gone: Callable[[], None]) -> None:
    place = place_of(entry.url)
    is_link = place.kind == "local" and os.path.islink(place.path)
    if not entry.is_directory or is_link:
        remove_file(place)
        gone()
        return
    if not recursive:
        raise Directory(f"{shown(entry.url)} is a directory", hint="give -r to remove it")
    if place.kind == "door":
        place.fs.rm(place.path, recursive=True, gone=gone)
    elif place.kind == "local":
        _remove_tree(place.path, gone)
    else:
        for below_it in files_below(entry):
            remove_file(place_of(below_it.url))
            gone()
        without_empty([entry])


def _remove_tree(top: str, gone: Callable[[], None]) -> None:
    """Remove a directory with all that is in it; nobody can put a link in the way meanwhile."""

    def fail(error: OSError) -> None:
        raise error

    for _, directories, files, number in os.fwalk(top, topdown=False, onerror=fail):
        for name in directories:
            if stat.S_ISLNK(os.stat(name, dir_fd=number, follow_symlinks=False).st_mode):
                files.append(name)
            else:
                os.rmdir(name, dir_fd=number)
        for name in files:
            os.unlink(name, dir_fd=number)
            gone()
    os.rmdir(top)


def _not_removed(error: BaseException, entry: Entry) -> CopyFailed:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CopyFailed(
        f"{shown(entry.url)} was not removed: {words}",
        hint="check your permissions and credentials for it",
    )
