"""SAS tokens of Azure's blob storage from a service that gives them, as Planetary Computer does.

``GET ENDPOINT/ACCOUNT/CONTAINER`` answers ``{"msft:expiry": "2025-06-01T12:00:00Z", "token":
"st=…&se=…&sig=…"}``: the query that opens this container until then. Source of the protocol:
https://planetarycomputer.microsoft.com/docs/concepts/sas/. Tokens are kept, in this process only,
until shortly before they end.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rsdat.errors import CredentialError
from rsdat.storage.files import shown

#: Seconds before its end from which a token is asked for anew.
MARGIN = 60
_PATIENCE = 30
#: The most bytes of an answer.
_LONGEST = 65536


@dataclass
class _Kept:
    """A container's token; its lock lets one thread at a time ask for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0


_lock = threading.Lock()
_kept: dict[str, _Kept] = {}


@dataclass(frozen=True)
class Tokens:
    """Signs addresses with the tokens of a service.

    Parameters
    ----------
    endpoint
        The service's address, without account and container.
    """

    endpoint: str

    def __call__(self, href: str) -> str:
        """The address with its token.

        Raises
        ------
        CredentialError
            The service does not answer, or gives no token for this container.
        """
        account, container = container_of(href)
        address = f"{self.endpoint.rstrip('/')}/{quote(account)}/{quote(container)}"
        return f"{href}?{_token(address)}"


def container_of(href: str) -> tuple[str, str]:
    """Account and container of a blob; of a server that is named by its number, both in the path.

    Raises
    ------
    CredentialError
        The address has none.
    """
    parts = urlsplit(href)
    host = parts.hostname or ""
    names = [unquote(name) for name in parts.path.split("/") if name]
    if not _is_number(host):
        names = [host.partition(".")[0], *names]
    if len(names) < 3:
        raise CredentialError(
            f"{shown(href)} names no blob in a container",
            hint="an address is https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME",
        )
    return names[0], names[1]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _token(address: str) -> str:
    with _lock:
        kept = _kept.setdefault(address, _Kept())
    with kept.lock:
        if time.time() >= kept.until:
            kept.token, kept.until = _asked(address)
        return kept.token


def _asked(address: str) -> tuple[str, float]:
    from rsdat.storage.credentials.finding import find

    credential = find(address)
    request = urllib.request.Request(address)
    for name, value in (credential.headers(address) if credential else {}).items():
        # Else it would go to wherever a redirect leads.
        request.add_unredirected_header(name, value)
    context = credential.ssl_context() if credential else None
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE, context=context) as answer:
            return _read(json.loads(answer.read(_LONGEST)))
    except urllib.error.HTTPError as error:
        error.close()
        words = f"status {error.code}"
    except OSError as error:
        words = str(getattr(error, "reason", None) or error)
    except (ValueError, KeyError, TypeError, AttributeError):
        words = "an answer that is not understood"
    raise CredentialError(
        f"no SAS token from {shown(address)}: {words}",
        hint="check `sas` of this address in `credentials`, and the network",
    )


def _read(answer: Any) -> tuple[str, float]:
    token, ends = str(answer["token"]).lstrip("?"), datetime.fromisoformat(answer["msft:expiry"])
    if not token:
        raise ValueError("an empty token")
    ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
    left = (ends - datetime.now(UTC)).total_seconds()
    return token, time.time() + left - min(MARGIN, left / 10)
