"""What differs between a site's environment and what this rsdat needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from rsdat.config.models import Site
from rsdat.environment import lock as locks
from rsdat.environment.facts import Facts, ask_environment
from rsdat.environment.interpreter import interpreter
from rsdat.host.base import Host


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be."""

    what: str
    """``environment``, ``python``, or the name of a package."""
    expected: str
    found: str | None
    """None when it is not there."""

    def __str__(self) -> str:
        return f"{self.what}: {self.found or 'missing'}, expected {self.expected}"


def check(site: Site, host: Host) -> list[Difference]:
    """What differs in the environment that the site's jobs run; empty when nothing does.

    Where the environment is the admin's (an image, ``environment.python``, conda and its family),
    versions within the bounds of rsdat's own metadata are right; else those of the lock are.
    """
    from rsdat.environment.wheel import pack

    facts = ask_environment(site, host, interpreter(site))
    python = " ".join(interpreter(site))
    if ready_made(site):
        # An image or an admin's environment holds a release, whatever this checkout holds.
        version = pack().version.split("+")[0]
        return compare(facts, python=python, rsdat_version=version, bounds=bounds(), public=True)
    return compare(facts, python=python, rsdat_version=pack().version, **expected(site))


def ready_made(site: Site) -> bool:
    """Whether rsdat makes no environment there: an image, a named interpreter, this machine."""
    environment = site.environment
    return bool(environment.container or environment.python) or site.queue == "local"


def advice(site: Site) -> str:
    """What to do where the environment differs."""
    if site.queue == "local":
        return "bring this machine's own environment up to date: make install, or pip install"
    if ready_made(site):
        return f"ask the admin of {site.name} to bring {' '.join(interpreter(site))} up to date"
    return f"rsdat env install {site.name}"


class Expected(TypedDict, total=False):
    """What :func:`compare` is to expect of the packages."""

    locked: tuple[locks.Locked, ...]
    bounds: tuple[str, ...]


def expected(site: Site) -> Expected:
    """The lock, or bounds where conda and its family choose the versions."""
    if site.environment.manager != "venv":
        return {"bounds": bounds()}
    return {"locked": locks.parse(locks.shipped("environment.lock").read_text())}


def bounds() -> tuple[str, ...]:
    """What rsdat and its sessions need, as requirements with bounds."""
    from importlib.metadata import requires

    return tuple(requires("rsdat") or ())


def compare(
    facts: Facts | None,
    *,
    python: str,
    rsdat_version: str,
    locked: tuple[locks.Locked, ...] = (),
    bounds: tuple[str, ...] = (),
    public: bool = False,
) -> list[Difference]:
    """Differences between what an interpreter holds and what it should.

    ``public`` compares rsdat's version without the part that stands for its contents.
    """
    if facts is None:
        return [Difference("environment", python, None)]
    result = []
    version = facts.markers["python_full_version"]
    if facts.python not in ("3.11", "3.12", "3.13"):
        result.append(Difference("python", "3.11 to 3.13", version))
    found = facts.distributions
    for name, line in locks.applying(locked, facts.markers).items():
        if found.get(name) != line.version:
            result.append(Difference(name, line.version, found.get(name)))
    result += _outside(found, facts.markers, bounds)
    ours = found.get("rsdat")
    if (ours.split("+")[0] if ours and public else ours) != rsdat_version:
        result.append(Difference("rsdat", rsdat_version, ours))
    return result


def _outside(
    found: Mapping[str, str], markers: Mapping[str, str], bounds: tuple[str, ...]
) -> list[Difference]:
    from packaging.requirements import Requirement

    result = []
    for text in bounds:
        requirement = Requirement(text)
        environment = {**markers, "extra": "jupyter"}
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        version = found.get(locks.canonical(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            result.append(Difference(requirement.name, str(requirement.specifier), version))
    return result
