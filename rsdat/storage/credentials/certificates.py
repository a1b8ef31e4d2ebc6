"""TLS for a credential: an X.509 proxy (certificate and key in one file), authorities to trust."""

from __future__ import annotations

import os
import ssl
import threading
from datetime import UTC, datetime

from rsdat.errors import CredentialError
from rsdat.storage.credentials import secrets
from rsdat.storage.credentials.tokens import moment

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
        _check_end(proxy)
    if kept is not None:
        return kept
    made = _with_authorities(authorities)
    if proxy:
        try:
            made.load_cert_chain(secrets.place(proxy))
        except (ssl.SSLError, OSError):
            raise CredentialError(
                f"credentials: {proxy} holds no certificate with its key (PEM, no passphrase)",
                hint="make a new proxy, or give a file with both",
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


def _check_end(path: str) -> None:
    until = ends(path)
    if until is not None and until <= datetime.now(UTC):
        raise CredentialError(
            f"the certificate of {path} expired on {moment(until)}",
            hint="make a new proxy (voms-proxy-init, or as your organisation says)",
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
