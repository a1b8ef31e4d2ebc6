"""What both kinds of cluster share: their session's site, its limit, and the end of adapting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsdat.cluster.layout import SESSION_VARIABLE, Layout
from rsdat.config.models import Site
from rsdat.errors import ConfigError, SessionError


def session_directory_or_current(directory: str | os.PathLike[str] | None) -> str:
    """The directory given, or that of the session that this process runs in."""
    found = os.fspath(directory) if directory else os.environ.get(SESSION_VARIABLE)
    if not found:
        raise SessionError(
            "this process does not run in a session",
            hint="Name the session's directory, or start a session with `rsdat launch`.",
        )
    return found


def read_site(layout: Layout) -> Site:
    """The session's site, as it was at launch."""
    try:
        text = Path(layout.site).read_text()
    except FileNotFoundError:
        raise SessionError(
            f"there is no session in {layout.directory}: site.json is missing",
            hint="See `rsdat ls` for the sessions there are.",
        ) from None
    return Site.model_validate_json(text)


def check_limit(site: Site, jobs: Mapping[str, int]) -> None:
    """Check jobs by pool against the site's limit of workers.

    Raises
    ------
    rsdat.errors.ConfigError
        When they are more than the site allows.
    """
    workers = sum(n * site.pools[pool].processes for pool, n in jobs.items())
    limit = site.limits.workers
    if any(n < 0 for n in jobs.values()):
        raise ConfigError("a number of workers cannot be negative", hint="Scale to 0 for none.")
    if limit is not None and workers > limit:
        raise ConfigError(
            f"{workers} workers are more than site {site.name} allows ({limit})",
            hint=f"Ask for {limit} at most; the limit is limits.workers in the site's file.",
        )


def stop_adapting(cluster: Any) -> None:
    """End adaptive scaling: a number asked for would otherwise be changed a second later."""
    adaptive = getattr(cluster, "_adaptive", None)
    if adaptive is not None:
        adaptive.stop(reason="scaled by hand")
        cluster._adaptive = None
