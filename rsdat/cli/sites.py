"""From the word a person typed to a site and a connected host; an unknown host is drafted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rsdat.cli.progress import Line

if TYPE_CHECKING:
    from rsdat.config.models import Site
    from rsdat.host.base import Host

#: Option of `rsdat launch` -> the keys of the site that it sets.
_KEYS = {
    "walltime": ("head.walltime",),
    "cores": ("head.cores",),
    "memory": ("head.memory",),
    "partition": ("head.partition", "pools.*.partition"),
    "account": ("head.account", "pools.*.account"),
}


def overrides(**options: object) -> dict[str, object]:
    """Command-line options as site keys; those not given are left out."""
    from rsdat.config import Option

    return {
        key: Option(f"--{option}", value)
        for option, value in options.items()
        if value is not None
        for key in _KEYS[option]
    }


def site_for_launch(
    name: str, options: Mapping[str, object], line: Line, *, contact: bool = True
) -> tuple[Site, Host | None]:
    """The site to launch on, and its host, connected.

    A name without a site file is taken as an ssh host; its site is drafted from what its queue
    reports, and that is said. With ``contact`` False a known site is not contacted.

    Raises
    ------
    SiteNotFound
        No such site, and no ssh host of this name either.
    """
    from rsdat.config import SiteNotFound, load_site
    from rsdat.host import open_host
    from rsdat.session.follow import Progress

    try:
        site = load_site(name, overrides=options).site
    except SiteNotFound as missing:
        return _drafted(name, options, line, missing)
    if not contact:
        return site, None
    host = open_host(site.connection, name=name)
    line(Progress(f"connecting to {name}"))
    host.connect(interactive=sys.stdin.isatty())
    return site, host


def _drafted(
    name: str, options: Mapping[str, object], line: Line, missing: Exception
) -> tuple[Site, Host | None]:
    """A site for an ssh host that no file describes, from what its queue reports."""
    from rsdat.config.load import load_drafted
    from rsdat.errors import HostError, QueueError, RsdatError
    from rsdat.host import open_host
    from rsdat.session.find import known_site
    from rsdat.session.follow import Progress

    try:
        host = open_host(known_site(name).connection, name=name)
        line(Progress(f"no site is called {name}: trying it as an ssh host"))
        host.connect(interactive=sys.stdin.isatty())
    except HostError as error:
        # Neither a site nor a host: a mistyped site name is the likelier mistake.
        hint = getattr(missing, "hint", None)
        words = f"{missing}; and as an ssh host: {error.message}"
        raise error.reworded(words, hint=hint) from None
    from rsdat.config.draft import DRAFT_COMMAND, draft_site, parse_facts

    answer = host.run(DRAFT_COMMAND, check=False)
    try:
        values = draft_site(name, name, parse_facts(answer.stdout))
    except RsdatError as error:
        raise QueueError(f"{name}: {error.message}", hint=error.hint) from None
    site = load_drafted(values, overrides=options).site
    line.clear()
    print(
        f"{name} has no site file: its partition ({site.head.partition or 'the default'}), cores "
        f"and memory are drafted from what its queue reports.\n"
        f"  rsdat site init {name}   writes them to a file for you to correct",
        file=sys.stderr,
    )
    return site, host
