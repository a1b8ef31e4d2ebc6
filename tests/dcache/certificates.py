"""A certificate authority of the tests, and server certificates good and bad."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: ProxyCertInfo of RFC 3820, with the policy "inherit all".
PROXY_INFORMATION = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"),
    bytes.fromhex("300c300a06082b06010505071501"),
)
Key = ec.EllipticCurvePrivateKey
#: What a user's key is for: signatures.
SIGNS = x509.KeyUsage(True, *[False] * 8)


class Authority:
    """Signs certificates for the loopback; ``pem`` is what a client has to trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _called("Authority of the tests")
        builder = self._builder(self._name, self._key, days=30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        signs = x509.KeyUsage(*[False] * 5, True, *[False] * 3)
        builder = builder.add_extension(signs, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = _pem(self._certificate)

    def write(self, file: Path) -> Path:
        file.write_bytes(self.pem)
        return file

    def server(self, kind: str = "good", host: str = "127.0.0.1") -> bytes:
        """A server's key and certificate; kinds as in :meth:`context`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _called("door")
        names: list[x509.GeneralName] = [x509.DNSName("door.example.org")]
        if kind != "other-host":
            names = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address(host)),
            ]
        builder = self._builder(name, key, days=-1 if kind == "expired" else 30)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return _pem_of_key(key) + _pem(certificate)

    def context(self, kind: str = "good", host: str = "127.0.0.1") -> ssl.SSLContext:
        """A server's context: ``good``, ``expired``, or for an ``other-host``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "server.pem"
            file.touch(mode=0o600)
            file.write_bytes(self.server(kind, host))
            context.load_cert_chain(file)
        # Clients may show a certificate, and grid users show proxies.
        context.load_verify_locations(cadata=self.pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
        return context

    def user(self, user: str, days: float = 30) -> bytes:
        """A user's certificate and its key."""
        certificate, key = self._user(user, days)
        return _pem(certificate) + _pem_of_key(key)

    def _user(self, user: str, days: float = 30) -> tuple[x509.Certificate, Key]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_called(user), key, days=days).add_extension(SIGNS, critical=True)
        return builder.sign(self._key, hashes.SHA256()), key

    def proxy(self, user: str, hours: float = 12) -> bytes:
        """A user's X.509 proxy as grid tools write it: certificate, its key, the user's one."""
        user_certificate, user_key = self._user(user)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _called(user)
        proxy_name = x509.Name([*name, x509.NameAttribute(NameOID.COMMON_NAME, "1")])
        certificate = (
            self._builder(proxy_name, key, days=hours / 24, issuer=(name, user_key))
            .add_extension(SIGNS, critical=True)
            .add_extension(PROXY_INFORMATION, critical=True)
            .sign(user_key, hashes.SHA256())
        )
        return _pem(certificate) + _pem_of_key(key) + _pem(user_certificate)

    def _builder(
        self,
        name: x509.Name,
        key: Key,
        days: float,
        issuer: tuple[x509.Name, Key] | None = None,
    ) -> x509.CertificateBuilder:
        """What every certificate says; Python 3.13 insists on the identifiers of the keys."""
        now = datetime.datetime.now(datetime.UTC)
        issuer_name, issuer_key = issuer or (self._name, self._key)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(own, critical=False)
            .add_extension(above, critical=False)
        )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
