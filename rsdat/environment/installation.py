"""Make a site's environment through a host; the old one works until the new one does."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsdat.config.models import Site
from rsdat.environment import conda, download
from rsdat.environment import lock as locks
from rsdat.environment.comparison import compare, expected, ready_made
from rsdat.environment.facts import (
    Facts,
    ask_environment,
    ask_site,
    events,
    program,
    starting,
)
from rsdat.environment.interpreter import environments, interpreter, on_site
from rsdat.environment.wheel import Wheel, pack
from rsdat.errors import EnvironmentMissing, HostError
from rsdat.host.base import Host

Progress = Callable[[str], None]

#: Bytes sent in one go: memory stays small, and a broken line costs at most this much.
_BATCH = 32 * 2**20

# Files appear whole under their names: another installation may be looking for them. One that ends
# just now takes the directory away, perhaps between our making it and our filling it.
_UNPACK = """\
mkdir -p "$1" && part=$(mktemp -d "$1.XXXXXX") || exit
tar --extract --no-same-owner --file=- --directory="$part" &&
    for attempt in 1 2 3; do
        mkdir -p "$1" && mv -f "$part"/* "$1"/ && rmdir "$part" && exit
    done
status=$?
rm -rf "$part"
exit "$status"
"""


@dataclass(frozen=True)
class Installed:
    """What :func:`install` did."""

    changed: bool
    rsdat: str
    """Version of rsdat there."""
    python: tuple[str, ...]
    """What starts it."""
    name: str
    """The environment's directory below ``environments``; empty where it is the admin's."""


@dataclass(frozen=True)
class Plan:
    """Names of what is to be there, and what is there already."""

    packages: str
    layer: str
    have_packages: bool
    record: dict[str, str]


def plan(site: Site, facts: Facts, lock: str, rsdat_version: str, damaged: bool) -> Plan:
    """Name the directories for this lock, Python and rsdat.

    A ``damaged`` environment is not mended in place, under a running session: the same contents
    are made under the next free name.
    """
    manager = site.environment.manager
    made_from = (
        (facts.markers["python_full_version"], facts.executable) if manager == "venv" else ()
    )
    packages = name = f"packages-{locks.digest(manager, lock, *made_from)}"
    if damaged:
        taken = set(facts.complete)
        packages = next(n for i in range(1, 10**6) if (n := f"{name}.{i}") not in taken)
    elif facts.record and facts.record["packages"].split(".")[0] == name:
        # Mended earlier: what is in use now is the good one.
        packages = facts.record["packages"]
    layer = f"rsdat-{rsdat_version}-{packages.removeprefix('packages-')}"
    record = {"rsdat": rsdat_version, "packages": packages, "manager": manager}
    return Plan(packages, layer, packages in facts.complete, record)


def install(
    site: Site,
    host: Host,
    *,
    offline: bool = False,
    progress: Progress = lambda line: None,
    lock: str | None = None,
) -> Installed:
    """Make the site's environment what this rsdat needs; nothing is done where it is already.

    Parameters
    ----------
    offline
        Send the wheels too: they are fetched here, for the site's Python and platform.
    progress
        Called with one line for each step.
    lock
        Text of the lock file; the shipped one by default.

    Raises :class:`~rsdat.errors.EnvironmentMissing` when it cannot be made, and
    :class:`~rsdat.errors.HostError` when the host fails.
    """
    wheel = pack()
    if ready_made(site):
        progress(f"nothing to do: {site.name} runs {' '.join(interpreter(site))}")
        return Installed(False, wheel.version, interpreter(site), "")
    if offline and site.environment.manager != "venv":
        raise EnvironmentMissing(
            f"{site.environment.manager} environments cannot be made offline",
            hint=f"leave --offline out, or set environment.manager: venv for {site.name}",
        )
    progress(f"looking at {host.name}")
    facts = ask_site(site, host)
    lock = lock or _specification(site)
    wish = plan(site, facts, lock, wheel.version, damaged=False)
    if facts.record == wish.record:
        if not _damage(site, host, lock, wheel.version):
            if facts.leftovers:
                progress("clearing up after an interrupted installation")
                _make(Work(site, host, facts, wish, wheel, progress), interpreter(site))
            progress(f"nothing to do: rsdat {wheel.version} is there")
            return Installed(False, wheel.version, interpreter(site), wish.layer)
        wish = plan(site, facts, lock, wheel.version, damaged=True)
    work = Work(site, host, facts, wish, wheel, progress)
    if site.environment.manager == "venv":
        _make_by_lock(work, lock, offline)
    else:
        _make_by_conda(work, lock)
    progress(f"ready: rsdat {wheel.version}")
    return Installed(True, wheel.version, interpreter(site), wish.layer)


def _specification(site: Site) -> str:
    name = "environment.lock" if site.environment.manager == "venv" else "environment.yaml"
    return locks.shipped(name).read_text()


def _damage(site: Site, host: Host, lock: str, version: str) -> bool:
    found = ask_environment(site, host, interpreter(site))
    wanted = expected(site)
    if "locked" in wanted:
        wanted = {"locked": locks.parse(lock)}
    return bool(compare(found, python="", rsdat_version=version, **wanted))


@dataclass(frozen=True)
class Work:
    """One installation: where, what, from what."""

    site: Site
    host: Host
    facts: Facts
    wish: Plan
    wheel: Wheel
    progress: Progress


def _make_by_lock(work: Work, lock: str, offline: bool) -> None:
    facts, python = work.facts, [work.facts.executable]
    if work.wish.have_packages:
        _make(work, python)
        return
    files: list[Path] = []
    if offline:
        files += _fetch(work, locks.applying(locks.parse(lock), facts.markers))
    if not facts.uv:
        files += _fetch_uv(work)
    send(work.host, files, f"{facts.root}/wheels", facts.wheels, work.progress)
    _make(work, python, lock=lock, uv=facts.uv, offline=offline)


def _fetch(work: Work, wanted: Mapping[str, locks.Locked]) -> list[Path]:
    facts, host = work.facts, work.host
    if facts.markers["sys_platform"] != "linux" or facts.glibc is None:
        raise EnvironmentMissing(
            f"{host.name} is no Linux with glibc: there are no wheels to send",
            hint="install without --offline, or make an image and set environment.container",
        )
    tags = download.platforms(facts.markers["platform_machine"], facts.glibc)
    return download.fetch(wanted, facts.python, tags, work.progress)


def _fetch_uv(work: Work) -> list[Path]:
    """The wheel of uv; without it the site's own pip does as well, slower, if there is one."""
    lines = locks.parse(locks.shipped("installer.lock").read_text())
    try:
        return _fetch(work, locks.applying(lines, work.facts.markers))
    except EnvironmentMissing as error:
        if work.facts.ensurepip:
            return []
        raise EnvironmentMissing(
            f"{work.host.name} has neither uv nor pip (ensurepip), and uv could not be fetched "
            f"here: {error.message}",
            hint="run it again where this machine reaches its package index",
        ) from error


def batches(files: Iterable[Path], limit: int = _BATCH) -> Iterator[list[Path]]:
    """The files in groups of at most ``limit`` bytes, or of one file."""
    group: list[Path] = []
    size = 0
    for path in files:
        length = path.stat().st_size
        if group and size + length > limit:
            yield group
            group, size = [], 0
        group.append(path)
        size += length
    if group:
        yield group


def send(
    host: Host,
    files: Sequence[Path],
    directory: str,
    there: Mapping[str, int],
    progress: Progress,
) -> None:
    """Copy the files that it lacks into a directory of the host, which is made if need be."""
    lacking = [path for path in files if there.get(path.name) != path.stat().st_size]
    sent = len(files) - len(lacking)
    for group in batches(lacking):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for path in group:
                entry = tarfile.TarInfo(path.name)
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)
        argv = ["sh", "-c", _UNPACK, "rsdat", directory]
        done = host.run(argv, input=stream.getvalue(), timeout=None, check=False)
        if done.returncode:
            raise failure("files", done.stderr.strip(), host.name)
        sent += len(group)
        progress(f"sending wheels {sent}/{len(files)}")


def _make_by_conda(work: Work, specification: str) -> None:
    manager = work.site.environment.manager
    assert manager != "venv"
    host, root = work.host, work.facts.root
    directory = f"{root}/{work.wish.packages}"
    prefix = conda.prefix(manager, directory)
    if not work.wish.have_packages:
        work.progress(f"installing packages with {manager}")
        host.run(["rm", "-rf", "--", directory], timeout=None)
        host.run(["mkdir", "-p", root])
        host.put(specification.encode(), f"{root}/environment.yaml")
        for argv in conda.create(manager, directory, f"{root}/environment.yaml"):
            command = on_site(work.site, conda.locked(argv, f"{root}/lock"))
            done = host.run(command, timeout=None, check=False)
            if done.returncode:
                raise failure("packages", done.stderr.strip()[-2000:], host.name)
        host.run(["touch", f"{directory}/complete"])
    _make(work, [f"{prefix}/bin/python"], prefix=prefix.removeprefix(f"{root}/"))


def _make(work: Work, python: Sequence[str], **task: Any) -> None:
    """Run the program that makes an environment, on the site; follow what it says."""
    given = {
        "root": work.facts.root,
        "packages": work.wish.packages,
        "layer": work.wish.layer,
        "record": work.wish.record,
        "wheel": base64.b64encode(work.wheel.content).decode(),
        "prefix": work.wish.packages,
        "lock": None,
        **task,
    }
    argv = on_site(work.site, starting(python))
    for event in events(work.host.stream(argv, input=program("make", given))):
        if "progress" in event:
            work.progress(event["progress"])
        elif "error" in event:
            raise failure(event["kind"], event["error"], work.host.name)
        elif "done" in event:
            return
    raise HostError(
        f"the installation on {work.host.name} ended before it was done",
        hint="run it again: the environment that was there still works",
    )


def failure(kind: str, text: str, host: str) -> EnvironmentMissing:
    """The error for something that went wrong on the site."""
    if kind == "full" or any(w in text for w in ("No space left", "quota exceeded")):
        return EnvironmentMissing(
            f"no space left for the environment on {host}: {_last(text)}",
            hint="make room (about 1 GB; see `quota` and `du -sh ~/.rsdat`), or set `directory` in "
            "the site file to a larger file system",
        )
    if kind == "packages":
        return EnvironmentMissing(
            f"the packages could not be installed on {host}:\n{text}",
            hint="if the host reaches no package index: rsdat env install --offline",
        )
    return EnvironmentMissing(
        f"the environment on {host} could not be made: {_last(text)}",
        hint="run it again; the environment that was there still works",
    )


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"


def uninstall(site: Site, host: Host) -> bool:
    """Remove what :func:`install` made on the site; True when there was something.

    Sessions that run there end badly: stop them before.
    """
    argv = on_site(site, ["sh", "-c", _REMOVE, "rsdat", environments(site)])
    return "rsdat-env-removed" in host.run(argv, timeout=None).stdout


# Names only what install makes; a directory with anything else in it stays.
_REMOVE = """\
cd "$1" 2>/dev/null || exit 0
[ -e lock ] || exit 0
rm -f default
rm -rf -- packages-* rsdat-* wheels uv-cache tools lock environment.yaml requirements.lock
cd .. && rmdir -- "$1"
echo rsdat-env-removed
"""
