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
from rsdat.session.model import Overview, State, overviews


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
) -> tuple[list[Found], dict[str, RsdatError]]:
    """The sessions on several sites, and by name of site what went wrong with the others."""
    found: list[Found] = []
    failed: dict[str, RsdatError] = {}
    for name in names:
        try:
            site = known_site(name)
            host = open_host(site.connection, name=name)
            host.connect(interactive=interactive)
            found += [Found(one, host) for one in list_site(site, host, ended=ended)]
        except TimeoutError:
            failed[name] = HostError(
                f"{name} did not answer in time", hint=f"Try again; `rsdat doctor {name}` looks."
            )
        except RsdatError as error:
            failed[name] = error
    return found, failed


def candidates() -> list[str]:
    """The sites worth asking when none is named: this machine, and those used from here."""
    return list(dict.fromkeys(["local", *memory.used_sites()]))


def find(
    reference: str | None, *, ended: bool = False, certain: bool = False, interactive: bool = True
) -> Found:
    """Resolve what a person typed: ``ID``, ``NAME``, ``SITE``, ``SITE/ID``, or nothing.

    Nothing means the session this shell runs in, else the only live session there is.

    Parameters
    ----------
    ended
        Take the newest ended session where no live one matches.
    certain
        Only an id is enough where not all sites have answered: another session may be meant.

    Raises
    ------
    SessionError
        No session, or more than one, matches.
    """
    here = os.environ.get(SESSION_VARIABLE)
    if here and _is_here(reference, Path(here)):
        return _enclosing(Path(here))
    site, name = _split(reference)
    names = [site] if site else candidates()
    found, failed = ask_sites(names, interactive=interactive)
    chosen = _live(_matching(found, name))
    if not chosen and ended:
        # Asked for only now: of ended sessions there may be hundreds.
        answering = [one for one in names if one not in failed]
        found, _ = ask_sites(answering, ended=True, interactive=interactive)
        chosen = _live(_matching(found, name)) or _matching(found, name)[:1]
    if len(chosen) > 1:
        listed = ", ".join(one.overview.session.id for one in chosen)
        raise SessionError(f"more than one session matches: {listed}", hint="Name one of them.")
    if chosen and (not failed or not certain or chosen[0].overview.session.id == name):
        return chosen[0]
    if not chosen and not failed:
        what = f"no live session {reference!r}" if reference else "no live session"
        raise SessionError(
            f"{what} on {', '.join(names)}",
            hint="`rsdat ls SITE` asks another site; `rsdat launch` starts a session.",
        )
    raise _unanswered(failed, chosen)


def _unanswered(failed: dict[str, RsdatError], chosen: list[Found]) -> RsdatError:
    """The error for a question that only a site that did not answer could decide."""
    error = next(iter(failed.values()))
    if not chosen:
        return error
    session = chosen[0].overview.session.id
    return error.reworded(
        f"it may not be {session} that is meant, because not all sites answer: {error.message}",
        hint=f"Name it by its id: {session}",
    )


def _matching(found: list[Found], name: str | None) -> list[Found]:
    """The sessions of this id, else of this name; all where None is given."""
    if name is None:
        return found
    exact = [one for one in found if one.overview.session.id == name]
    return exact or [one for one in found if one.overview.record.request.get("name") == name]


def _live(found: list[Found]) -> list[Found]:
    """Those that live; one that is ending only where there is no other."""
    live = [one for one in found if one.overview.state.live]
    return [one for one in live if one.overview.state is not State.ENDING] or live


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
    sites = {entry.name for entry in site_names()}.union(memory.used_sites())
    if reference in sites or "@" in reference:
        return reference, None
    return None, reference


def _is_here(reference: str | None, directory: Path) -> bool:
    """Whether a reference means the session that this process runs in."""
    session = directory.name
    if reference is None or reference.rpartition("/")[2] == session:
        return True
    return reference == session.rpartition("-")[0]


def sessions_here(found: list[Found]) -> list[Found]:
    """The session that this process runs in, where it is not among those found."""
    here = os.environ.get(SESSION_VARIABLE)
    if not here or Path(here).name in {one.overview.session.id for one in found}:
        return []
    return [_enclosing(Path(here))] if Path(here).is_dir() else []


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
    # The ended ones are many, and seldom wanted.
    for ended in (False, True):
        for one in list_site(inside, host, ended=ended):
            if one.session.id == directory.name:
                return Found(one, host)
    raise SessionError(
        f"the session directory {directory} is gone", hint=f"unset {SESSION_VARIABLE}"
    )
