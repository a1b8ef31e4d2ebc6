"""The lock file: which packages, which versions, which hashes an environment holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import rsdat
from rsdat.errors import EnvironmentMissing


@dataclass(frozen=True)
class Locked:
    """One line of the lock: a version with its hashes, and where it applies."""

    name: str
    version: str
    marker: str | None
    hashes: frozenset[str]
    """SHA-256 of each file that may be installed, in hexadecimal."""

    def requirement(self) -> str:
        """A line for pip, without the marker: it applies where the caller says."""
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version} {hashes}"


def canonical(name: str) -> str:
    """The name as indexes compare it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shipped(name: str) -> Path:
    """A file that says what an environment holds: the checkout's, else the installed copy.

    Raises :class:`~rsdat.errors.EnvironmentMissing` when neither is there.
    """
    package = Path(rsdat.__file__).parent
    checkout = package.parent
    places = [package / "_shipped" / name]
    if (checkout / "pyproject.toml").is_file():
        places = [checkout / "deploy" / name, checkout / name]
    for path in places:
        if path.is_file():
            return path
    raise EnvironmentMissing(
        f"{name} is missing from this installation of rsdat in {package}",
        hint="install rsdat anew on this machine",
    )


def parse(text: str) -> tuple[Locked, ...]:
    """The lines of a lock file. Raises :class:`ValueError` for one without a hash or a version."""
    joined = re.sub(r"\\\n", " ", text)
    result = []
    for line in joined.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        head, *rest = line.split("--hash=")
        match = re.fullmatch(
            r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)\s*(?:;\s*(.*?))?\s*", head
        )
        hashes = frozenset(part.strip().removeprefix("sha256:") for part in rest)
        if not match or not hashes:
            raise ValueError(f"not a pinned requirement with hashes: {line[:80]}")
        result.append(Locked(canonical(match[1]), match[2], match[3] or None, hashes))
    return tuple(result)


def applying(locked: tuple[Locked, ...], markers: Mapping[str, str]) -> dict[str, Locked]:
    """Name to line, of the lines whose marker holds for a Python described by ``markers``."""
    from packaging.markers import Marker

    environment = cast("dict[str, str]", {**markers, "extra": ""})
    return {
        line.name: line
        for line in locked
        if line.marker is None or Marker(line.marker).evaluate(environment)
    }


def digest(*parts: str) -> str:
    """A short name for a combination of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
