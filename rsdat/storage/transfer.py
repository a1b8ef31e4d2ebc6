"""Copying a file between any two filesystems: streamed, verified, resumed, skipped when equal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsdat.storage.dcache import checksums
from rsdat.storage.dcache.checksums import Sums
from rsdat.storage.dcache.retrying import DOUBTFUL_TRIES, Policy
from rsdat.storage.transfer_disks import Local, Sftp
from rsdat.storage.transfer_errors import Differs, Stopped, Trouble, explained, passing
from rsdat.storage.transfer_etags import layout_of
from rsdat.storage.transfer_places import (
    Facts,
    Place,
    facts_of,
    place_of,
    refuse_offline,
    run,
    same,
)
from rsdat.storage.transfer_reading import ANSWERED, Patience, blocks, origin
from rsdat.storage.transfer_writing import Job, to_disk, to_door, to_other, to_s3

if TYPE_CHECKING:
    from rsdat.storage.transfer_many import Report, copy_many

__all__ = ["Copied", "Report", "copy_file", "copy_many", "pour"]

OVERWRITE = ("never", "different", "always")
#: Eight pauses bridge a network that is gone for half a minute.
PATIENCE = Policy()
#: Seconds by which the times of Linux file systems lag behind its clock.
TICK = 0.02


def __getattr__(name: str) -> Any:
    if name in ("Report", "copy_many"):
        from rsdat.storage import transfer_many

        return getattr(transfer_many, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class Copied:
    """What became of one file.

    Parameters
    ----------
    source, target
        The addresses as they were given.
    nbytes
        The size of the file.
    checksum
        As ``adler32:0a1b2c3d``: of what was copied, or what both sides say of a file that was
        skipped; None where it was not computed.
    skipped
        Whether the target was there and equal, or was to be kept, or is the source itself.
    resumed_from
        Bytes that an earlier copy had left, and that were not asked for again.
    seconds
        How long it took.
    sums
        All checksums of what was copied, in the same form.
    verified
        What was compared with what each side says, as ``source:md5``, ``target:etag`` (S3's, of an
        upload in parts); empty where only the size was.
    """

    source: str
    target: str
    nbytes: int
    checksum: str | None
    skipped: bool
    resumed_from: int
    seconds: float
    sums: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()


def copy_file(
    source: str,
    target: str,
    *,
    overwrite: str = "different",
    verify: bool = True,
    checksum: bool = False,
    sums: tuple[str, ...] = (),
    callback: Any = None,
    stop: threading.Event | None = None,
) -> Copied:
    """Copy a file between any two filesystems of fsspec, with the configured credentials.

    The target appears complete or not at all. A break in the middle is bridged, or ends in an error
    after half a minute; a copy to this machine or over SFTP leaves a hidden ``.part`` file beside
    its target then, and the next try goes on from it if the source is the same.

    Parameters
    ----------
    source, target
        Files; missing directories above the target are made.
    overwrite
        ``different``: a target of the same size is kept if a checksum that both sides tell is the
        same, or, where they tell none in common, if it is not older than the source. ``never``: any
        target is kept. ``always``: none is.
    verify
        Whether to compare the checksum of what was copied with what the two sides say.
    checksum
        Whether to read files to compare them, where a side tells no checksum.
    sums
        Further checksums to compute of what passes, as ``("sha256",)``. Where a server copies by
        itself nothing passes.
    callback
        An fsspec callback: told the size and the number of bytes that have arrived.
    stop
        Ends the copy when it is set.

    Raises
    ------
    CopyFailed
        One of its kinds; it names source, target and the next step.
    Stopped
        ``stop`` was set.
    """
    if overwrite not in OVERWRITE:
        raise ValueError(f"overwrite is one of {', '.join(OVERWRITE)}, not {overwrite!r}")
    began = time.monotonic()
    stop = stop or threading.Event()
    try:
        done = _tried(source, target, overwrite, verify, checksum, sums, callback, stop)
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:
        failure = explained(error, source, target)
    else:
        return _copied(source, target, done, time.monotonic() - began)
    # Raised outside the handler: what caused it may not be picklable, and then it would not arrive
    # from a worker.
    raise failure


def _copied(source: str, target: str, done: Done, seconds: float) -> Copied:
    size, told, skipped, resumed, verified = done
    if isinstance(told, str):
        return Copied(source, target, size, told or None, skipped, resumed, seconds)
    spelled = tuple(f"{name}:{told[name]}" for name in sorted(told))
    first = spelled[0] if spelled else None
    return Copied(source, target, size, first, skipped, resumed, seconds, spelled, verified)


#: Size, checksums (or the one that both sides tell), whether it was skipped, bytes resumed from,
#: what was compared.
Done = tuple[int, Mapping[str, str] | str, bool, int, tuple[str, ...]]


def _tried(
    source: str,
    target: str,
    overwrite: str,
    verify: bool,
    checksum: bool,
    sums: tuple[str, ...],
    callback: Any,
    stop: threading.Event,
) -> Done:
    patience = Patience(PATIENCE)
    damaged = 0
    while True:
        try:
            job = _begun(source, target, verify, sums, callback, patience, stop)
            if isinstance(job, tuple):
                return job
            done = _kept(job, overwrite, checksum) or _copy(job)
            ANSWERED.add(origin(target))
            return done
        except Exception as error:
            if isinstance(error, Trouble) and isinstance(error.error, Differs):
                damaged += 1
                if damaged >= DOUBTFUL_TRIES:
                    raise
            elif not passing(error) or not patience.left(target):
                raise
        patience.pause(stop)


def _begun(
    source: str,
    target: str,
    verify: bool,
    sums: tuple[str, ...],
    callback: Any,
    patience: Patience,
    stop: threading.Event,
) -> Job | Done:
    begin, facts = _source(source, patience, stop)
    end = place_of(target)
    if end.kind == "http":
        raise PermissionError("files cannot be written over plain https://")
    if same(begin, end):
        return facts.size or 0, facts.sums, True, 0, ()
    if callback is not None and facts.size is not None:
        callback.set_size(facts.size)

    def moved(number: int) -> None:
        if callback is not None:
            callback.absolute_update(number)

    names = tuple(dict.fromkeys((*_names(facts), *sums)))
    return Job(begin, end, facts, verify, patience, stop, moved, names)


def _source(url: str, patience: Patience, stop: threading.Event) -> tuple[Place, Facts]:
    while True:
        try:
            place = place_of(url)
            facts = facts_of(place, stop)
            ANSWERED.add(origin(url))
            refuse_offline(place, facts)
            return place, facts
        except Stopped:
            raise
        except Exception as error:
            if not passing(error) or not patience.left(url):
                raise Trouble("source", error) from error
        patience.pause(stop)


def _names(facts: Facts) -> tuple[str, ...]:
    """What to compute: Adler32, which costs nothing; another where the source tells no Adler32."""
    if not facts.sums or "adler32" in facts.sums:
        return ("adler32",)
    return ("adler32", next(iter(facts.sums)))


def pour(source: str) -> Iterator[bytes]:
    """The bytes of a file, in blocks, across breaks.

    Raises
    ------
    CopyFailed
        It cannot be read.
    """
    stop, patience = threading.Event(), Patience(PATIENCE)
    target = "the standard output"
    try:
        place, facts = _source(source, patience, stop)
        yield from blocks(place, facts, 0, patience, stop)
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise explained(error, source, target) from error


# --- whether there is anything to do


def _kept(job: Job, overwrite: str, checksum: bool) -> Done | None:
    """What to say of a target that stays as it is; None: it is to be written."""
    if overwrite == "always":
        # A directory is never replaced; the writers refuse it by themselves.
        return None
    try:
        there = facts_of(job.target, job.stop)
    except FileNotFoundError:
        return None
    if overwrite == "never":
        return there.size or 0, "", True, 0, ()
    told = equal(job, there, checksum=checksum)
    return None if told is None else (there.size or 0, told, True, 0, ())


def equal(job: Job, there: Facts, *, checksum: bool) -> str | None:
    """Whether a target is equal to the source: None if not, else the common checksum or ""."""
    facts = job.facts
    if facts.size is None or facts.size != there.size:
        return None
    ours, theirs = dict(facts.sums), dict(there.sums)
    dated = facts.mtime is not None and there.mtime is not None
    if not set(ours) & set(theirs) and (checksum or not dated) and (ours or theirs or checksum):
        name = next(iter(ours or theirs), "adler32")
        for sums, place, known in ((ours, job.source, facts), (theirs, job.target, there)):
            if name not in sums:
                sums |= _summed(job, place, known, name)
    return alike(replace(facts, sums=ours), replace(there, sums=theirs))


def alike(facts: Facts, there: Facts) -> str | None:
    """What :func:`equal` says, by what is known of source and target alone."""
    if facts.size is None or facts.size != there.size:
        return None
    common = sorted(set(facts.sums) & set(there.sums))
    if common:
        same_sums = all(facts.sums[name] == there.sums[name] for name in common)
        return f"{common[0]}:{facts.sums[common[0]]}" if same_sums else None
    return "" if _not_older(there.mtime, facts.mtime) else None


def _not_older(there: float | None, source: float | None) -> bool:
    if there is None or source is None:
        return False
    # Some servers tell whole seconds.
    return there + TICK >= (math.floor(source) if there.is_integer() else source)


def _summed(job: Job, place: Place, facts: Facts, name: str) -> dict[str, str]:
    sums = Sums((name,))
    for block in blocks(place, facts, 0, job.patience, job.stop):
        sums.update(block)
    return sums.values()


# --- the copy


def _copy(job: Job) -> Done:
    """Copy; what stands there now."""
    there = _by_the_server(job)
    if there is not None:
        common = sorted(set(job.facts.sums) & set(there.sums)) if job.verify else []
        verified = tuple(f"target:{name}" for name in common)
        return there.size or 0, {**job.facts.sums, **there.sums}, False, 0, verified
    if job.verify and job.facts.etag and not job.facts.sums:
        layout = layout_of(job.source, job.facts, job.stop)
        job.layouts |= {} if layout is None else {"source": layout}
    kind = job.target.kind
    if kind == "door":
        to_door(job)
    elif kind in ("local", "sftp"):
        to_disk(job, Local() if kind == "local" else Sftp(job.target.fs))
    else:
        (to_s3 if kind == "s3" else to_other)(job)
        there = facts_of(job.target, job.stop)
        try:
            job.check(there, "target")
        except Trouble:
            # It stands there under its name, and seems equal to whoever looks at size and time.
            job.target.fs.rm_file(job.target.path)
            raise
    verified = tuple(f"{side}:{name}" for side in job.compared for name in job.compared[side])
    return job.sums.size, job.sums.values(), False, job.resumed, verified


def _by_the_server(job: Job) -> Facts | None:
    """Copy without the bytes passing here, where both ends are one server that offers it.

    Returns
    -------
    Facts or None
        What the server says of its copy; None: it does not copy by itself.
    """
    source, target = job.source, job.target
    if source.fs is not target.fs or source.kind not in ("door", "s3"):
        return None
    if source.kind == "s3":
        source.fs.cp_file(source.path, target.path)
    elif not run(source.fs, lambda: _door_copies(source, target), job.stop):
        return None
    there = facts_of(target, job.stop)
    differs = job.facts.size not in (None, there.size)
    if differs or (job.verify and checksums.differences(job.facts.sums, there.sums)):
        target.fs.rm_file(target.path)
        raise Trouble("target", Differs("the server's own copy is not equal to the source"))
    return there


async def _door_copies(source: Place, target: Place) -> bool:
    await source.fs.ready()
    copied: bool = await source.fs.namespace.copy(source.path, target.path)
    if copied:
        source.fs.reader.forget(target.path)
        source.fs.invalidate_cache(target.path)
    return copied
