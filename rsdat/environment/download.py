"""Wheels for a site, fetched on the laptop: which files fit, which are there already, the rest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from rsdat.environment.lock import Locked, canonical
from rsdat.errors import EnvironmentMissing

#: Names that older installers gave to some of the manylinux platforms (PEP 600).
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

#: pip is slow to start and waits for the network between files: several at once.
_AT_ONCE = 4


def platforms(machine: str, glibc: str) -> list[str]:
    """Platform tags that a Linux of this glibc (``2.36``) accepts, best first (PEP 600)."""
    major, minor = (int(part) for part in glibc.split(".")[:2])
    if major != 2:
        raise ValueError(f"glibc {glibc} is of no known kind")
    result = []
    for version in range(minor, 4, -1):
        result.append(f"manylinux_2_{version}_{machine}")
        if version in _LEGACY:
            result.append(f"{_LEGACY[version]}_{machine}")
    return [*result, f"linux_{machine}"]


def fitting(names: Iterable[str], python: str, platform_tags: Sequence[str]) -> list[str]:
    """The wheels among ``names`` that a CPython (``3.11``) on such a platform can install."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    major, minor = (int(part) for part in python.split(".")[:2])
    accepted = set(cpython_tags((major, minor), platforms=platform_tags)) | set(
        compatible_tags((major, minor), f"cp{major}{minor}", platform_tags)
    )
    result = []
    for name in names:
        try:
            *_, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        if tags & accepted:
            result.append(name)
    return result


def cache_directory() -> Path:
    """Where fetched wheels are kept on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "rsdat" / "wheels"


def held(cache: Path, wanted: Mapping[str, Locked], names: Iterable[str]) -> dict[str, Path]:
    """Package to file, of the wheels in the cache whose content is in the lock."""
    result: dict[str, Path] = {}
    for filename in sorted(names):
        name, version = filename.split("-")[:2]
        line = wanted.get(canonical(name))
        if line is None or version != line.version:
            continue
        path = cache / filename
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() in line.hashes:
                result[line.name] = path
    return result


def fetch(
    wanted: Mapping[str, Locked],
    python: str,
    platform_tags: Sequence[str],
    progress: Callable[[str], None],
    cache: Path | None = None,
) -> list[Path]:
    """Files of all wanted packages, for this Python and platform; fetched where not yet cached.

    Raises :class:`~rsdat.errors.EnvironmentMissing` when pip cannot fetch one.
    """
    cache = cache or cache_directory()
    cache.mkdir(parents=True, exist_ok=True)

    def present() -> dict[str, Path]:
        names = [path.name for path in cache.glob("*.whl")]
        return held(cache, wanted, fitting(names, python, platform_tags))

    found = present()
    lines = [line for name, line in wanted.items() if name not in found]
    if lines:
        _download(lines, python, platform_tags, progress, cache)
        found = present()
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise EnvironmentMissing(
            f"no wheel of {', '.join(missing)} for Python {python} on {platform_tags[0]}",
            hint="choose another Python for the site: environment.base_python",
        )
    return [found[name] for name in sorted(found)]


def _download(
    lines: Sequence[Locked],
    python: str,
    platform_tags: Sequence[str],
    progress: Callable[[str], None],
    cache: Path,
) -> None:
    options = [
        "--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off",
        "--disable-pip-version-check", "--implementation=cp", f"--python-version={python}",
        *(f"--platform={tag}" for tag in platform_tags),
    ]  # fmt: skip
    pip = _pip(cache)
    count, lock = 0, Lock()

    def begun() -> None:
        nonlocal count
        with lock:
            count += 1
            progress(f"fetching wheels {count}/{len(lines)}")

    def one(part: Sequence[Locked]) -> None:
        _run_pip([*pip, "download", *options], part, cache, begun)

    parts = [lines[i::_AT_ONCE] for i in range(_AT_ONCE) if lines[i::_AT_ONCE]]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, parts))


def _run_pip(
    argv: list[str], lines: Sequence[Locked], cache: Path, begun: Callable[[], None]
) -> None:
    # Into a directory of its own first: a file in the cache is always whole.
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        requirements = Path(directory) / "requirements.txt"
        requirements.write_text("".join(f"{line.requirement()}\n" for line in lines))
        last: list[str] = []
        with subprocess.Popen(
            [*argv, f"--dest={directory}", "-r", str(requirements)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for text in process.stdout or ():
                last = [*last[-9:], text.rstrip()]
                if text.startswith("Collecting "):
                    begun()
        for path in Path(directory).glob("*.whl"):
            path.replace(cache / path.name)
    if process.returncode:
        errors = [text for text in last if text.startswith("ERROR")] or last
        said = " ".join(errors)
        unfit = "No matching distribution" in said and "from versions: none" not in said
        raise EnvironmentMissing(
            "the wheels for the site could not be fetched: " + " ".join(errors),
            hint="the site's Python or glibc may be too old for it: set environment.base_python, "
            "or environment.container"
            if unfit
            else "run it again where this machine reaches its package index",
        )


def _pip(cache: Path) -> list[str]:
    """Words that run pip: this Python's own, or one in the cache (uv's environments have none)."""
    try:
        import pip  # noqa: F401
    except ImportError:
        pass
    else:
        return [sys.executable, "-m", "pip"]
    import venv

    directory = cache.parent / f"pip-{sys.version_info[0]}.{sys.version_info[1]}"
    python = directory / "bin" / "python"
    try:
        if subprocess.call([python, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0:
            return [str(python), "-m", "pip"]
    except OSError:
        pass
    try:
        venv.EnvBuilder(with_pip=True, clear=True).create(directory)
    except (subprocess.CalledProcessError, OSError):
        raise EnvironmentMissing(
            "this machine has no pip to fetch the site's wheels with",
            hint="install pip (Debian: python3-venv), then run it again",
        ) from None
    return [str(python), "-m", "pip"]
