"""Which credential a URL has, from the merged ``credentials`` section: the closest pattern."""

from __future__ import annotations

from functools import lru_cache

from rsdat.config.addresses import parse_pattern
from rsdat.storage.credentials.credential import Credential

_pattern = lru_cache(maxsize=256)(parse_pattern)


def find(url: str) -> Credential | None:
    """The credential that is configured for a URL; None where there is none.

    The closest pattern counts: a whole host name before one with ``*``, then the longer one, one
    with a port, the longer path. An entry without keys takes a host out of a wider pattern.

    Raises
    ------
    InvalidSite
        The section is wrong; each problem with its file and line.
    """
    from rsdat.config.access import accesses

    best = None
    for text, access in accesses().items():
        pattern = _pattern(text)
        if pattern.matches(url) and (best is None or pattern.rank > best[0].rank):
            best = pattern, access
    if best is None:
        return None
    found = Credential.from_access(best[1], clear=best[0].clear)
    return found if found.reference else None
