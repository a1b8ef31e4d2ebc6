"""Asking a door for a macaroon: what one has, narrowed by caveats and ending sooner.

dCache's protocol: ``POST`` with ``Content-Type: application/macaroon-request`` and a JSON object
of ``caveats`` and ``validity`` (an ISO 8601 duration); the answer holds ``macaroon``.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from rsdat.errors import ConfigError, CredentialError, DataError
from rsdat.storage.credentials.tokens import ACTIVITIES
from rsdat.storage.files import shown

#: Seconds for each step of the request.
PATIENCE = 30


@dataclass(frozen=True)
class Request:
    """What a macaroon is to allow.

    Parameters
    ----------
    activities
        Some of :data:`~rsdat.storage.credentials.tokens.ACTIVITIES`; empty: all that one has.
    path
        A folder, or one file; None: everything that one may reach.
    validity
        How long it lasts; None: as long as the door gives by itself.
    """

    activities: tuple[str, ...] = ()
    path: str | None = None
    validity: timedelta | None = None

    def __post_init__(self) -> None:
        for activity in self.activities:
            if activity not in ACTIVITIES:
                raise ConfigError(
                    f"{activity!r} is no activity", hint=f"choose of {', '.join(ACTIVITIES)}"
                )
        if self.path is not None and not self.path.startswith("/"):
            raise ConfigError(f"the path {self.path!r} has to begin with /", hint="as /pnfs/data")

    def body(self) -> dict[str, Any]:
        """The JSON object that the door is sent."""
        caveats = []
        if self.activities:
            caveats.append("activity:" + ",".join(self.activities))
        if self.path is not None:
            caveats.append(f"path:{self.path}")
        body: dict[str, Any] = {"caveats": caveats} if caveats else {}
        if self.validity is not None:
            body["validity"] = f"PT{int(self.validity.total_seconds())}S"
        return body


def ask(
    url: str,
    wanted: Request,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None = None,
) -> str:
    """The macaroon that a door makes; redirects are not followed, with them goes the secret.

    Parameters
    ----------
    url
        The door's http(s) address.
    headers
        Who asks (``Authorization``); empty with an X.509 proxy in ``context``.

    Raises
    ------
    CredentialError
        The door refuses who asks.
    DataError
        It cannot be reached, or makes no macaroons.
    """
    status, reason, answer = _post(url, wanted, headers, context)
    if status in (401, 403):
        raise CredentialError(
            f"{shown(url)} gives no macaroon to this credential ({status} {reason})",
            hint="check the credential, --user or --proxy; a macaroon can only be narrowed",
        )
    if status != 200:
        raise DataError(
            f"{shown(url)} makes no macaroons ({status} {reason})",
            hint="give the address of a dCache WebDAV door, without a file's path",
        )
    try:
        token = json.loads(answer)["macaroon"]
    except (ValueError, KeyError, TypeError):
        token = None
    if not isinstance(token, str) or not token:
        raise DataError(
            f"{shown(url)} answers with something that holds no macaroon",
            hint="give the address of a dCache WebDAV door",
        )
    return token


def _post(
    url: str, wanted: Request, headers: Mapping[str, str], context: ssl.SSLContext | None
) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=PATIENCE, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=PATIENCE)
    )
    kind = {"Content-Type": "application/macaroon-request", "Accept": "application/json"}
    try:
        connection.request(
            "POST", parts.path or "/", json.dumps(wanted.body()), {**kind, **headers}
        )
        response = connection.getresponse()
        return response.status, response.reason, response.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{shown(url)} does not answer: {error or type(error).__name__}",
            hint="check address, port and network; for a certificate of its own, set ca_file in "
            "`credentials`",
        ) from None
    finally:
        connection.close()
