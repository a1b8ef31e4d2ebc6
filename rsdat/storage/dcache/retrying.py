"""What is worth another try, how often, and how long to wait before it."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
from dataclasses import dataclass

# Seconds; a door that says "come back in an hour" is answered with an error now.
LONGEST_PAUSE = 20.0
# Statuses that a moment heals: too many requests, gateways, a restart.
PASSING = frozenset({408, 425, 429, 502, 503, 504})
# An internal error of dCache, or a lock, is as often lasting as passing: fewer tries.
DOUBTFUL = frozenset({423, 500})
DOUBTFUL_TRIES = 4
# A door that has never answered is more likely to be a wrong name than a broken network.
FIRST_CONTACT_TRIES = 3


class ShortRead(Exception):
    """A body ended before its announced end."""


@dataclass(frozen=True)
class Policy:
    """How patient to be.

    Parameters
    ----------
    retries
        Tries after the first. Eight pauses bridge a network that is gone for half a minute.
    pause
        Seconds before the first of them, doubled before each next one, and spread by up to a
        quarter, so that a thousand workers do not come back at one moment.
    """

    retries: int = 8
    pause: float = 0.25

    def seconds(self, attempt: int, wanted: str | None = None) -> float:
        """The pause after a failed attempt (counted from 0); ``wanted``: ``Retry-After``."""
        pause = min(self.pause * 2.0**attempt, LONGEST_PAUSE)
        if wanted is not None and wanted.strip().isdigit():
            pause = max(pause, min(float(wanted), LONGEST_PAUSE))
        return pause * random.uniform(0.75, 1.25)


class Tries:
    """The tries of one request: says whether there is another, and waits before it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.made = 0

    def progressed(self) -> None:
        """Something arrived: a long transfer may be interrupted many times."""
        self.made = 0

    def left(self, limit: int | None = None) -> bool:
        """Whether there is another try."""
        most = self.policy.retries if limit is None else min(limit - 1, self.policy.retries)
        return self.made < most

    async def pause(self, wanted: str | None = None) -> None:
        """Wait before the next try, and count it."""
        await asyncio.sleep(self.policy.seconds(self.made, wanted))
        self.made += 1


def passes(status: int, tries: Tries) -> bool:
    """Whether an answer is worth another try."""
    return (status in PASSING and tries.left()) or (
        status in DOUBTFUL and tries.left(DOUBTFUL_TRIES)
    )


def may_pass(status: int) -> bool:
    """Whether an answer is of the kinds that a moment heals."""
    return status in PASSING or status in DOUBTFUL


def breaks(error: BaseException, tries: Tries, *, known: bool) -> bool:
    """Whether a broken connection is worth another try.

    Parameters
    ----------
    known
        Whether this origin has answered before.
    """
    return (
        is_break(error)
        and not lasting(error)
        and tries.left(None if known else FIRST_CONTACT_TRIES)
    )


def is_break(error: BaseException) -> bool:
    """Whether an exception says that a connection failed, rather than that a program is wrong."""
    import aiohttp

    kinds = (
        aiohttp.ClientConnectionError,
        aiohttp.ClientPayloadError,
        aiohttp.ServerDisconnectedError,
        aiohttp.ClientOSError,
        ConnectionError,
        TimeoutError,
        ShortRead,
    )
    if isinstance(error, kinds):
        return True
    # A peer that breaks off inside a header or a chunk.
    return isinstance(error, aiohttp.ClientResponseError) and error.status in (0, 400)


def by_peer(error: BaseException) -> bool:
    """Whether the other side has ended a connection: then it knows that it is at its end."""
    import aiohttp

    if isinstance(error, aiohttp.ServerDisconnectedError):
        return True
    return getattr(error, "errno", None) in (errno.ECONNRESET, errno.EPIPE)


def untrusted(error: BaseException) -> bool:
    """Whether the other side's certificate is the trouble."""
    import aiohttp

    kinds = (
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ClientConnectorSSLError,
        ssl.SSLError,
    )
    return isinstance(error, kinds)


def unknown_host(error: BaseException) -> bool:
    """Whether there is no such host."""
    cause = getattr(error, "os_error", error)
    return isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN


def reason(error: BaseException) -> tuple[str, int]:
    """A broken connection in words, and the errno that it stands for."""
    if isinstance(error, ShortRead):
        return "it ended in the middle of the data", errno.ECONNABORTED
    if isinstance(error, TimeoutError):
        return "no answer in time", errno.ETIMEDOUT
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if isinstance(number, int) and number > 0 and not untrusted(error):
        return os.strerror(number).lower(), number
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return words, errno.ECONNABORTED


def lasting(error: BaseException) -> bool:
    """Whether a broken connection will break again: names and certificates do not heal."""
    from rsdat.storage.credentials import certificates

    refused = certificates.refused(error, None) is not None
    return refused or untrusted(error) or unknown_host(error)
