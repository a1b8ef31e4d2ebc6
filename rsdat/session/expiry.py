"""Tokens and proxies that end before the session does; told by the head job, where they lie."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from rsdat.config.models import Site
from rsdat.errors import RsdatError


def expiring(site: Site, ends: float | None) -> list[str]:
    """What of this process's ``credentials`` ends before the session, one sentence each.

    Files that are not there are passed over: an admin may name what not everybody has.

    Parameters
    ----------
    ends
        The end of the head job in seconds of the epoch; None: by the site's walltime.
    """
    from rsdat.config.access import accesses
    from rsdat.storage.credentials import Credential, check_lifetime
    from rsdat.storage.credentials.secrets import place

    until = datetime.now(UTC) + (site.head.walltime or timedelta(0))
    if ends is not None:
        until = datetime.fromtimestamp(ends, UTC)
    found = []
    try:
        for access in accesses().values():
            file = access.token_file or access.proxy_file
            if file and os.path.exists(place(file)):
                found += check_lifetime(Credential.from_access(access), until)
    except RsdatError as error:
        found.append(error.message)
    return list(dict.fromkeys(found))
