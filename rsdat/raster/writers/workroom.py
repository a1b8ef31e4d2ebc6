"""The hidden directory beside an output where its parts gather: one run at a time, resumable."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rsdat.errors import DataError
from rsdat.raster.image import Skipped

logger = logging.getLogger(__name__)


_ELSEWHERE = ("EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "EINVAL")
#: In the words of the system: what more room would not help.
_NO_MATTER_OF_ROOM = frozenset(os.strerror(getattr(errno, name)) for name in _ELSEWHERE)


@dataclass(frozen=True)
class Workroom:
    """A run's directory, while this process holds its lock."""

    path: Path
    mark: str
    """Written in the directory: who sees it there sees this directory, and not one like it."""
    work: str
    """A digest of the fingerprint."""
    kept: Mapping[str, tuple[Skipped, ...]]
    """Parts that an earlier run has noted as done, and what was left out of them."""

    def note(self, part: str, skipped: tuple[Skipped, ...]) -> None:
        """Note a part as done: from now on the next run would keep it."""
        line = json.dumps([part, [[one.item, one.asset, one.reason] for one in skipped]])
        # Few system calls: at each, this thread gives the interpreter away to those that compute.
        file = os.open(self.path / "done", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)

    def clear(self) -> None:
        """Remove the directory, in one step for whoever looks at its name."""
        gone = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        os.rename(self.path, gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def workroom(target: Path, fingerprint: Mapping[str, Any], *, resume: bool) -> Iterator[Workroom]:
    """The directory of an output, with what an interrupted run of the same work left there.

    Left alone when the block ends, but for the lock: whoever is done clears it.

    Raises
    ------
    DataError
        Another process writes the same output.
    OSError
        The directory cannot be made.
    """
    path = target.with_name(f".{target.name}.parts")
    _lock(path, target)
    try:
        kept = _kept(path, target, fingerprint, resume)
        mark = secrets.token_hex(8)
        _write(path / "run.json", json.dumps({"fingerprint": dict(fingerprint), "mark": mark}))
        work = hashlib.sha256(json.dumps(dict(fingerprint), sort_keys=True).encode()).hexdigest()
        yield Workroom(path, mark, work[:8], kept)
    finally:
        if path.exists() and _holder(path / "lock") == _self():
            (path / "lock").unlink(missing_ok=True)


def cannot_write(target: Path, cause: str) -> DataError:
    """What to say when the disk refuses."""
    if cause in _NO_MATTER_OF_ROOM:
        return DataError(
            f"{target} cannot be written: {cause}", hint="choose another place or name for it"
        )
    try:
        free = f"{shutil.disk_usage(target.parent).free / 1e6:.0f} MB are free there: "
    except OSError:
        free = ""
    return DataError(
        f"{target} cannot be written: {cause}", hint=f"{free}make room, or choose another place"
    )


@lru_cache(maxsize=8)
def reachable(directory: str, mark: str) -> bool:
    """Whether a run's directory is seen from here, which on a worker may be another machine."""
    try:
        return bool(json.loads(Path(directory, "run.json").read_text())["mark"] == mark)
    except (OSError, ValueError, KeyError):
        return False


def _kept(
    path: Path, target: Path, fingerprint: Mapping[str, Any], resume: bool
) -> dict[str, tuple[Skipped, ...]]:
    others = [entry for entry in path.iterdir() if entry.name != "lock"]
    if not others:
        return {}
    before = _fingerprint(path / "run.json")
    if resume and before == json.loads(json.dumps(dict(fingerprint))):
        return dict(_noted(path / "done"))
    if resume:
        changed = [k for k, v in fingerprint.items() if before is None or before.get(k) != v]
        logger.warning(
            "%s: the parts of an interrupted run do not fit this one (%s differ); they are removed",
            target,
            ", ".join(changed) or "entries",
        )
    for entry in others:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return {}


def _fingerprint(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _noted(file: Path) -> Iterator[tuple[str, tuple[Skipped, ...]]]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            name, skipped = json.loads(line)
            yield str(name), tuple(Skipped(*one) for one in skipped)
        except (ValueError, TypeError):
            continue  # the last line of a run that was killed while it wrote


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def _lock(path: Path, target: Path) -> None:
    """Make the directory and take its lock; a lock of a process that is gone is no lock."""
    while True:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            number = os.open(path / "lock", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            continue  # cleared by its holder just now
        except FileExistsError:
            holder = _holder(path / "lock")
            if holder is None and not (path / "lock").exists():
                continue  # given back just now
            if holder is None or not _gone(holder):
                raise _taken(path, target, holder) from None
            _remove(path / "lock", holder)
            continue
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            json.dump(_self(), stream)
        return


def _taken(path: Path, target: Path, holder: dict[str, Any] | None) -> DataError:
    who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
    return DataError(
        f"{target} is being written by {who}",
        hint=f"wait for it, or choose another output; if it is dead, remove {path / 'lock'}",
    )


def _remove(lock: Path, holder: dict[str, Any]) -> None:
    """Remove a dead process's lock, and not the one that another has put there meanwhile."""
    aside = lock.with_name(f"lock.{secrets.token_hex(4)}")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:
        return
    if _holder(aside) == holder:
        aside.unlink()
    else:
        os.rename(aside, lock)


def _holder(lock: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"host", "pid"} <= found.keys() else None


def _self() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def _gone(holder: dict[str, Any]) -> bool:
    """Whether a lock's process has certainly ended: only this host's are known."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    # The number may belong to another process by now; containers share small numbers.
    return bool(_started(int(holder["pid"])) != holder.get("started"))


def _started(pid: int) -> str | None:
    """When a process began, in clock ticks since the boot; None where /proc does not tell."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return f"{boot}/{status.rpartition(')')[2].split()[19]}"
