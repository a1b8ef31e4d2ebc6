"""TLS for a credential: an X.509 proxy (certificate and key in one file), authorities to trust."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rsdat.errors import CredentialError
from rsdat.storage.credentials import secrets
from rsdat.storage.credentials.tokens import moment

if TYPE_CHECKING:
    from rsdat.storage.credentials.credential import Credential

#: Seconds in which a server may say something about our certificate.
GREETING = 1.0
#: What makes a proxy.
RENEWAL = "make a new one: `voms-proxy-init --voms NAME`, or `grid-proxy-init`"

_lock = threading.Lock()
_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}


def context(proxy: str | None, authorities: str | None) -> ssl.SSLContext:
    """A TLS context, the same one until a file changes.

    Raises
    ------
    CredentialError
        A file is missing, is no certificate, or has expired.
    """
    key = (proxy, proxy and secrets.version(proxy), authorities, _trusted(authorities))
    with _lock:
        kept = _contexts.get(key)
    if proxy:
        check_end(proxy)
    if kept is not None:
        return kept
    made = _with_authorities(authorities)
    if proxy:
        # Apache asks only for what lies below some paths, when the connection stands already.
        made.post_handshake_auth = True
        try:
            made.load_cert_chain(secrets.place(proxy))
        except (ssl.SSLError, OSError):
            raise CredentialError(
                f"credentials: {proxy} holds no certificate with its key (PEM, no passphrase)",
                hint=f"give a file with both, or {RENEWAL}",
            ) from None
    with _lock:
        for old in [k for k in _contexts if k[0] == proxy and k[2] == authorities]:
            del _contexts[old]
        _contexts[key] = made
    return made


def ends(path: str) -> datetime | None:
    """When the first certificate of a file that ends ends; None where none can be read.

    Raises
    ------
    CredentialError
        The file is missing or open to others.
    """
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(secrets.from_file(path).encode())
    except ValueError:
        return None
    return min((certificate.not_valid_after_utc for certificate in found), default=None)


def refused(error: BaseException, proxy: str | None) -> tuple[str, str] | None:
    """What a server says of our certificate, and the hint; None where it speaks of something else.

    Parameters
    ----------
    error
        Of the connection: aiohttp's, urllib's or TLS' own.
    proxy
        The file that was shown; None: none was.
    """
    said = _alert(error)
    if said is None:
        return None
    if proxy is None:
        return (
            f"the server wants a certificate, and none is configured ({said})",
            "name an X.509 proxy with proxy_file in `credentials`; to make one: "
            "`voms-proxy-init --voms NAME`, or `grid-proxy-init`",
        )
    try:
        until = ends(proxy)
    except CredentialError:
        until = None
    lasts = f"; it ends on {moment(until)}" if until else ""
    return (
        f"the server does not accept the certificate of {proxy} ({said}{lasts})",
        f"if it is an old one, or of another organisation, {RENEWAL}; else ask the server's "
        "administrators which authorities it trusts, and whether it takes proxies",
    )


async def clearer(error: Exception, url: str, credential: Credential | None) -> Exception:
    """What a server meant that broke off: its word on our certificate, if it has one.

    With TLS 1.3 it looks at the certificate after the handshake, when the request is on its way
    already; then the connection's end often comes before the reason for it (seen with XRootD).
    """
    proxy = credential.proxy_file if credential else None
    if not (proxy and credential and url.startswith("https:")) or _alert(error):
        return error
    import aiohttp

    breaks = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
    if not isinstance(error, breaks):
        return error
    told = await asyncio.to_thread(greeted, url, credential)
    if told is None:
        return error
    made = aiohttp.ClientOSError(*told.args)
    made.__cause__ = told
    return made


def greeted(url: str, credential: Credential) -> ssl.SSLError | None:
    """What a server says of our certificate when nothing else is asked; None: nothing."""
    parts, context = urlsplit(url), credential.ssl_context()
    if parts.scheme != "https" or context is None:
        return None
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), GREETING) as plain,
            context.wrap_socket(plain, server_hostname=host) as safe,
        ):
            # Who is content says nothing, and waits for a request.
            safe.recv(1)
    except ssl.SSLError as error:
        return error if _alert(error) else None
    except OSError:
        return None
    return None


def refused_by(url: str, error: BaseException) -> tuple[str, str] | None:
    """The same with the proxy that is configured for an address."""
    if _alert(error) is None:
        return None
    from rsdat.storage.credentials import find

    credential = find(url)
    return refused(error, credential.proxy_file if credential else None)


def _alert(error: BaseException) -> str | None:
    """What TLS has let us know of a certificate, in words."""
    left: BaseException | None = error
    while left is not None:
        for one in (left, getattr(left, "os_error", None), getattr(left, "reason", None)):
            told = str(getattr(one, "reason", "")) if isinstance(one, ssl.SSLError) else ""
            about, _, words = told.partition("_ALERT_")
            if about and ("CERTIFICATE" in words or "UNKNOWN_CA" in words):
                return words.lower().replace("_", " ").replace(" ca", " authority")
        left = left.__cause__
    return None


def check_end(path: str) -> None:
    """Refuse a file of certificates that has expired.

    Raises
    ------
    CredentialError
        It has, or is missing, or is open to others.
    """
    until = ends(path)
    if until is not None and until <= datetime.now(UTC):
        raise CredentialError(
            f"the certificate of {path} expired on {moment(until)}",
            hint=RENEWAL,
        )


def _trusted(path: str | None) -> float | None:
    if path is None:
        return None
    try:
        return os.stat(secrets.place(path)).st_mtime
    except OSError as error:
        raise CredentialError(
            f"credentials: ca_file {path}: {error.strerror}",
            hint="correct ca_file in `credentials`, or leave it out for the usual authorities",
        ) from None


def _with_authorities(path: str | None) -> ssl.SSLContext:
    if path is None:
        return ssl.create_default_context()
    where = secrets.place(path)
    try:
        if os.path.isdir(where):
            return ssl.create_default_context(capath=where)
        return ssl.create_default_context(cafile=where)
    except (ssl.SSLError, OSError):
        raise CredentialError(
            f"credentials: ca_file {path} holds no certificates (PEM)",
            hint="correct ca_file in `credentials`, or leave it out for the usual authorities",
        ) from None
