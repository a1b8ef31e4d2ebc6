"""WebDAV servers of others: Apache's mod_dav, rclone, XRootD over HTTP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import Server, give, missing, require, running, workplace

#: Who may enter ``/protected`` on the Apache server.
USER, PASSWORD = "ann", "open sesame"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE = """
ServerRoot {place}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {place}/pid
ErrorLog {place}/log
{modules}
TypesConfig /dev/null
DocumentRoot {root}
DavLockDB {place}/locks
<Directory {root}>
    Dav On
    Require all granted
</Directory>
<Location /protected>
    AuthType Basic
    AuthName tests
    AuthUserFile {place}/users
    Require valid-user
</Location>
"""
MODULES = (
    *("mpm_event", "authz_core", "authz_user", "authn_core", "authn_file", "auth_basic"),
    *("dav", "dav_fs", "mime"),
)
XROOTD = """
all.export /
all.adminpath {place}
all.pidpath {place}
oss.localroot {root}
xrd.port {xrootd_port}
xrd.protocol XrdHttp:{port} libXrdHttp.so
http.listingdeny no
"""


@contextmanager
def apache() -> Iterator[Server]:
    """Apache with mod_dav; ``/protected`` asks for a user and a password."""
    program = require("apache2", "apache2-bin")
    with workplace("apache") as place:
        root = give_directory(place / "root")
        give_directory(root / "protected")
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (place / "users").write_text(f"{USER}:{{SHA}}{digest}\n")
        modules = [f"LoadModule {m}_module {APACHE_MODULES}/mod_{m}.so" for m in MODULES]
        config = place / "httpd.conf"

        def argv(port: int) -> list[str]:
            text = APACHE.format(place=place, root=root, port=port, modules="\n".join(modules))
            config.write_text(text)
            return [program, "-f", str(config), "-D", "FOREGROUND"]

        with running(argv, place) as port:
            yield Server(f"http://127.0.0.1:{port}", root, place / "log")


@contextmanager
def rclone() -> Iterator[Server]:
    program = require("rclone", "rclone")
    with workplace("rclone") as place:
        root = give_directory(place / "root")

        def argv(port: int) -> list[str]:
            where = ["--addr", f"127.0.0.1:{port}", "--config", str(place / "rclone.conf")]
            # Files that tests lay into the directory are seen at once.
            return [program, "serve", "webdav", str(root), *where, "--dir-cache-time", "0s"]

        with running(argv, place) as port:
            yield Server(f"http://127.0.0.1:{port}", root, place / "log")


def xrootd_program() -> str:
    """XRootD's server, where it can speak HTTP."""
    program = require("xrootd", "xrootd-server")
    if not list(Path("/usr/lib").glob("**/libXrdHttp-*.so")):
        missing("XRootD's HTTP plugin is not installed (apt-get install xrootd-server-plugins)")
    return program


@contextmanager
def xrootd() -> Iterator[Server]:
    program = xrootd_program()
    with workplace("xrootd") as place:
        root = give_directory(place / "root")
        config = place / "xrootd.cfg"

        def argv(port: int) -> list[str]:
            text = XROOTD.format(place=place, root=root, port=port, xrootd_port="any")
            config.write_text(text)
            return [program, "-c", str(config), "-n", "tests"]

        with running(argv, place) as port:
            yield Server(f"http://127.0.0.1:{port}", root, place / "log")


def give_directory(path: Path) -> Path:
    path.mkdir()
    return give(path)
