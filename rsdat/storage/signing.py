"""Addresses that need a signature: who signs which, asked at the moment of use, never kept.

What is written, planned, sent to workers or shown is the plain address; the signature is added to
each request by :mod:`rsdat.storage.credentials.backends`, and to GDAL's name of a file by
:mod:`rsdat.storage.gdal`. A signer may add a query and nothing else, so that it cannot lead a
request elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

from rsdat.config.addresses import Pattern, parse_pattern
from rsdat.errors import ConfigError, CredentialError, RsdatError
from rsdat.storage.files import is_remote, shown

#: Takes an http(s) address, gives it with its signature as the query.
Signer = Callable[[str], str]
Registered = tuple[tuple[str, Signer], ...]

#: Packages offer signers under this group: an object that is a mapping of patterns to signers.
GROUP = "rsdat.signers"

_lock = threading.Lock()
_signers: dict[str, Signer] = {}


def register_signer(pattern: str, signer: Signer | None) -> None:
    """Have a function sign the addresses of a pattern, in this process and in copies on workers.

    Parameters
    ----------
    pattern
        ``[scheme://]host[:port][/path]``, as in ``credentials``; the closest counts.
    signer
        Takes an http(s) address without its query, and gives it with the query that is its
        signature. It is called for each request, perhaps by several threads, so it keeps what is
        dear to get; and it is sent to workers, so it looks secrets up when it is called. None takes
        the signer of this pattern away.

    Raises
    ------
    ConfigError
        The pattern is none, or so wide that strangers' addresses would be signed.
    """
    try:
        parse_pattern(pattern)
    except ValueError as error:
        raise ConfigError(f"signer: {error}", hint="give a host or a domain") from None
    with _lock:
        if signer is None:
            _signers.pop(pattern, None)
        else:
            _signers[pattern] = signer


def registered() -> Registered:
    """The signers that were registered in this process, to be handed to others."""
    with _lock:
        return tuple(_signers.items())


def take_over(signers: Registered) -> None:
    """Register what another process has registered."""
    for pattern, signer in signers:
        register_signer(pattern, signer)


def signer_of(href: str) -> Signer | None:
    """Who signs an address; None where nobody does.

    Raises
    ------
    ConfigError
        A package offers something else under the entry point.
    """
    if not is_remote(href) or urlsplit(href).scheme not in ("http", "https"):
        return None
    from rsdat.storage.credentials import find, sas

    matching = [
        (_parsed(pattern).rank, signer)
        for pattern, signer in (*_offered(), *registered())
        if _parsed(pattern).matches(href)
    ]
    if matching:
        return max(matching, key=lambda pair: pair[0])[1]
    credential = find(href)
    if credential is not None and credential.sas:
        return sas.Tokens(credential.sas)
    return None


def signed(href: str) -> str:
    """An address as it is to be asked for now; one that nobody signs, or has a query, as it is.

    Raises
    ------
    CredentialError
        There is no signature to be had, or its signer gives another address.
    """
    signer = signer_of(href)
    if signer is None or urlsplit(href).query:
        return href
    try:
        found = signer(href)
    except RsdatError:
        raise
    except Exception as error:
        # Its words may hold what it has made so far.
        raise CredentialError(
            f"{shown(href)}: its signer failed ({type(error).__name__})",
            hint="try the function by itself; register_signer(pattern, None) takes it away",
        ) from None
    if urlsplit(found)._replace(query="") != urlsplit(href):
        raise CredentialError(
            f"{shown(href)}: its signer gives another address",
            hint="a signer may add a query, and nothing else",
        )
    return found


_parsed: Callable[[str], Pattern] = lru_cache(maxsize=256)(parse_pattern)


@lru_cache(maxsize=1)
def _offered() -> Registered:
    """What installed packages offer."""
    found: list[tuple[str, Signer]] = []
    for entry in entry_points(group=GROUP):
        offered: Any = entry.load()
        try:
            pairs = list(dict(offered).items())
            for pattern, _ in pairs:
                parse_pattern(pattern)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"entry point {entry.name!r} of {GROUP}: {error}",
                hint="it has to name a mapping of patterns to functions",
            ) from None
        found += pairs
    return tuple(found)
