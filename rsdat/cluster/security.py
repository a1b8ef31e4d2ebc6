"""TLS credentials of one session: a certificate authority of its own, and one certificate.

Whoever can read the session's directory is the session's user; nobody else gets a certificate, and
the authority's key is thrown away, so no further one can be made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rsdat.cluster.layout import Layout

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

# A local session may live for months, and a certificate that runs out in the middle of one shows
# as a network fault. The session's end, not a date, is what ends its credentials.
_VALID = timedelta(days=3650)
_CLOCK_SKEW = timedelta(days=1)


def make_credentials(layout: Layout) -> None:
    """Make the session's TLS files, unless they are there already.

    ``tls/`` (0700) appears at once with its three files (0600), or not at all. The keys are on the
    curve P-256: 1 ms to make, where an RSA key of the same strength takes about 100.
    """
    target = Path(layout.ca).parent
    if all(Path(path).exists() for path in (layout.ca, layout.cert, layout.key)):
        return
    shutil.rmtree(target, ignore_errors=True)
    # mkdtemp makes the directory 0700, on the same file system as its final place.
    temporary = Path(tempfile.mkdtemp(prefix=".tls-", dir=target.parent))
    try:
        for path, content in zip((layout.ca, layout.cert, layout.key), _pems(), strict=True):
            _write_private(temporary / path.name, content)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _pems() -> tuple[bytes, bytes, bytes]:
    """The authority's certificate, the session's certificate and its key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    # Two names: OpenSSL takes a certificate whose issuer is its own subject for self-signed.
    authority = _certificate("rsdat-authority", "rsdat-authority", authority_key, authority_key)
    certificate = _certificate("rsdat-session", "rsdat-authority", key, authority_key)
    pem = serialization.Encoding.PEM
    return (
        authority.public_bytes(pem),
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _certificate(
    subject: str,
    issuer: str,
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=key is signer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
