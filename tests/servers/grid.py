"""Servers that know their users by X.509 certificates and proxies: Apache's mod_ssl, XRootD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.dcache.certificates import Authority
from tests.ports import kept_port

from .programs import Server, give, require, running, workplace
from .webdav import APACHE_MODULES, MODULES, give_directory, xrootd_program

#: The user whom XRootD lets in.
MEMBER = "anna"
#: On one port it asks every client for a certificate, on the other below ``/members`` alone.
APACHE = """
ServerRoot {place}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{other}
PidFile {place}/pid
ErrorLog {place}/log
{modules}
TypesConfig /dev/null
DocumentRoot {root}
DavLockDB {place}/locks
SSLCertificateFile {place}/server.pem
SSLCACertificateFile {place}/ca.pem
SSLVerifyDepth 5
<Directory {root}>
    Dav On
    Require all granted
</Directory>
<VirtualHost 127.0.0.1:{port}>
    SSLEngine on
    SSLVerifyClient require
</VirtualHost>
<VirtualHost 127.0.0.1:{other}>
    SSLEngine on
    <Location /members>
        SSLVerifyClient require
    </Location>
</VirtualHost>
"""
XROOTD = """
all.export /
all.adminpath {place}
all.pidpath {place}
oss.localroot {root}
xrd.port any
xrd.protocol XrdHttp:{port} libXrdHttp.so
xrd.tls {place}/server.pem {place}/server.pem
xrd.tlsca certfile {place}/ca.pem
http.listingdeny no
http.gridmap {place}/gridmap
ofs.authorize 1
acc.authdb {place}/authdb
"""


@dataclass(frozen=True)
class Grid:
    """A server, and the authority whose certificates it takes."""

    server: Server
    authority: Authority


@contextmanager
def apache() -> Iterator[tuple[Grid, Grid]]:
    """Apache with mod_dav over TLS: asking every client, and asking below ``/members``."""
    program = require("apache2", "apache2-bin")
    with workplace("apache") as place, kept_port() as kept:
        root = give_directory(place / "root")
        give_directory(root / "members")
        authority = _at(place)
        modules = [f"LoadModule {m}_module {APACHE_MODULES}/mod_{m}.so" for m in (*MODULES, "ssl")]
        config, other = place / "httpd.conf", kept.getsockname()[1]

        def argv(port: int) -> list[str]:
            told = {"place": place, "root": root, "port": port, "other": other}
            config.write_text(APACHE.format(**told, modules="\n".join(modules)))
            return [program, "-f", str(config), "-D", "FOREGROUND"]

        with running(argv, place) as port:
            every, some = (
                Grid(Server(f"https://127.0.0.1:{number}", root, place / "log"), authority)
                for number in (port, other)
            )
            yield every, some


@contextmanager
def xrootd() -> Iterator[Grid]:
    """XRootD over HTTPS: `MEMBER` may do everything, by a proxy of a certificate."""
    program = xrootd_program()
    with workplace("xrootd") as place:
        root = give_directory(place / "root")
        authority = _at(place)
        (place / "gridmap").write_text(f'"/CN={MEMBER}" {MEMBER}\n')
        (place / "authdb").write_text(f"u {MEMBER} / a\n")
        config = place / "xrootd.cfg"

        def argv(port: int) -> list[str]:
            config.write_text(XROOTD.format(place=place, root=root, port=port))
            return [program, "-c", str(config), "-n", "tests"]

        with running(argv, place) as port:
            yield Grid(Server(f"https://127.0.0.1:{port}", root, place / "log"), authority)


def _at(place: Path) -> Authority:
    """An authority, with the server's own certificate and key laid into its place."""
    authority = Authority()
    give(authority.write(place / "ca.pem"))
    file = place / "server.pem"
    file.touch(mode=0o600)
    file.write_bytes(authority.server())
    give(file)
    return authority
