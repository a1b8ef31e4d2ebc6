"""Finding sessions: ask the sites for what lies there, and resolve what a person typed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsdat.cluster.layout import SESSION_VARIABLE
from rsdat.config import load_site, site_names
from rsdat.config.models import Connection, Site
from rsdat.errors import ConfigError, HostError, RsdatError, SessionError
from rsdat.host import open_host
from rsdat.host.base import Host
from rsdat.jobqueue import queue_named
from rsdat.session import memory, remote
from rsdat.session.identity import JOB_PREFIX
from rsdat.session.model import Overview, overviews


@dataclass(frozen=True)
class Found:
    """A session together with the host where it lives."""

    overview: Overview
    host: Host


def known_site(name: str) -> Site:
    """The site of this name; any other word is taken as an ssh host with nothing known of it."""
    try:
        return load_site(name).site
    except ConfigError:
        if name in {entry.name for entry in site_names()}:
            raise
    user, _, host = name.rpartition("@")
    return Site(name=name, connection=Connection(host=host, user=user or None))


def list_site(site: Site, host: Host, *, ended: bool = False) -> list[Overview]:
    """All sessions of the user on a site, in one round trip.

    A queue that does not answer makes their state unknown; it is no error.
    """
    queue = queue_named(site.queue)
    argv = remote.call(
        "list", site.directory, "all" if ended else "live", *queue.status_by_name(JOB_PREFIX)
    )
    answer = host.run(argv, timeout=90)
    return overviews(remote.parse_listing(answer.stdout), site, queue)


def ask_sites(
    names: Iterable[str], *, ended: bool = False, interactive: bool = True
) -> tuple[list[Found], list[RsdatError]]:
    """The sessions on several sites, and what went wrong with those that did not answer."""
    found: list[Found] = []
    problems: list[RsdatError] = []
    for name in names:
        try:
            site = known_site(name)
            host = open_host(site.connection, name=name)
            host.connect(interactive=interactive)
            found += [Found(one, host) for one in list_site(site, host, ended=ended)]
        except TimeoutError:
            problems.append(HostError(f"{name} did not answer in time"))
        except RsdatError as error:
            problems.append(error)
    return found, problems


def candidates() -> list[str]:
    """The sites worth asking when none is named: this machine, and those used from here."""
    return list(dict.fromkeys(["local", *memory.used_sites()]))


def find(reference: str | None, *, ended: bool = False, interactive: bool = True) -> Found:
    """Resolve what a person typed: ``ID``, ``NAME``, ``SITE``, ``SITE/ID``, or nothing.

    Nothing means the session this shell runs in, else the only live session there is.

    Raises
    ------
    SessionError
        No session, or more than one, matches.
    """
    here = os.environ.get(SESSION_VARIABLE)
    if reference is None and here:
        return _enclosing(Path(here))
    site, name = _split(reference)
    names = [site] if site else candidates()
    found, problems = ask_sites(names, ended=ended, interactive=interactive)
    matching = [one for one in found if _matches(one.overview, name)]
    live = [one for one in matching if one.overview.state.live]
    chosen = live or (matching if ended else [])
    if len(chosen) == 1 or (chosen and ended and not live):
        return chosen[0]
    if not chosen:
        if problems and not found:
            raise problems[0]
        what = f"no live session {reference!r}" if reference else "no live session"
        raise SessionError(
            f"{what} on {', '.join(names)}",
            hint="`rsdat ls SITE` asks another site; `rsdat launch` starts a session.",
        )
    listed = ", ".join(one.overview.session.id for one in chosen)
    raise SessionError(f"more than one session matches: {listed}", hint="Name one of them.")


def _split(reference: str | None) -> tuple[str | None, str | None]:
    """Site and session name of a reference."""
    if reference is None:
        return None, None
    if "/" in reference:
        site, _, name = reference.rpartition("/")
        return site, name or None
    remembered = memory.site_of(reference)
    if remembered:
        return remembered, reference
    if reference in {entry.name for entry in site_names()} or "@" in reference:
        return reference, None
    return None, reference


def _matches(overview: Overview, name: str | None) -> bool:
    if name is None:
        return True
    return name == overview.session.id or name == overview.record.request.get("name")


def _enclosing(directory: Path) -> Found:
    """The session that this process runs in."""
    try:
        site = Site.model_validate(json.loads((directory / "site.json").read_text()))
    except (OSError, ValueError) as error:
        raise SessionError(
            f"{SESSION_VARIABLE} names {directory}, which holds no session: {error}",
            hint=f"unset {SESSION_VARIABLE}",
        ) from error
    inside = site.model_copy(
        update={"connection": Connection(), "directory": str(directory.parent.parent)}
    )
    host = open_host(inside.connection)
    for one in list_site(inside, host, ended=True):
        if one.session.id == directory.name:
            return Found(one, host)
    raise SessionError(f"the session directory {directory} is gone")
