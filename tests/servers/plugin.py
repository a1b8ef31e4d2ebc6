"""Fixtures for servers that nobody here wrote, imported by ``tests/conftest.py``.

A server starts with the first test of a session that asks for it. Each test has a directory (a
bucket, a collection) of its own choice on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.servers import programs

if TYPE_CHECKING:
    from tests.conftest import Sshd
    from tests.servers.grid import Grid
    from tests.servers.programs import Server
    from tests.servers.stac_api import StacApi


@pytest.fixture(scope="session")
def _apache() -> Iterator[Server]:
    from tests.servers.webdav import apache

    with apache() as server:
        yield server


@pytest.fixture(scope="session")
def _rclone() -> Iterator[Server]:
    from tests.servers.webdav import rclone

    with rclone() as server:
        yield server


@pytest.fixture(scope="session")
def _xrootd() -> Iterator[Server]:
    from tests.servers.webdav import xrootd

    with xrootd() as server:
        yield server


def _own_part(server: Server, above: str = "") -> Server:
    """A fresh directory on a server, as if it were a server of its own."""
    name = f"{above}t{secrets.token_hex(4)}"
    (server.root / name).mkdir()
    programs.give(server.root / name)
    return replace(server, url=f"{server.url}/{name}", root=server.root / name)


@pytest.fixture
def apache_server(_apache: Server) -> Server:
    """Apache with mod_dav: a fresh directory."""
    return _own_part(_apache)


@pytest.fixture
def apache_with_password(_apache: Server) -> Server:
    """The same, behind basic authentication: `webdav.USER` and `webdav.PASSWORD`."""
    return _own_part(_apache, "protected/")


@pytest.fixture
def rclone_server(_rclone: Server) -> Server:
    """``rclone serve webdav``: a fresh directory."""
    return _own_part(_rclone)


@pytest.fixture
def xrootd_server(_xrootd: Server) -> Server:
    """XRootD over HTTP: a fresh directory."""
    return _own_part(_xrootd)


@pytest.fixture(params=["apache", "rclone", "xrootd"])
def webdav_server(request: pytest.FixtureRequest) -> Server:
    """Each of the WebDAV servers in turn."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture(scope="session")
def apache_grids() -> Iterator[tuple[Grid, Grid]]:
    """Apache over TLS: asks all clients for a certificate; asks below ``/members`` alone."""
    from tests.servers.grid import apache

    with apache() as grids:
        yield grids


@pytest.fixture(scope="session")
def xrootd_grid() -> Iterator[Grid]:
    """XRootD over TLS, which lets one user in."""
    from tests.servers.grid import xrootd

    with xrootd() as grid:
        yield grid


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """moto: an S3 endpoint that takes any key; each test makes a bucket of its own."""
    from tests.servers.s3 import s3

    with s3() as server:
        yield server


@pytest.fixture(scope="session")
def stac_api_server() -> Iterator[StacApi]:
    """stac-fastapi-pgstac: each test loads a collection of its own."""
    from tests.servers.stac_api import stac_api

    with stac_api() as server:
        yield server


@pytest.fixture
def sftp_server(sshd: Sshd) -> Sshd:
    """The tests' sshd with its SFTP subsystem: host ``login`` of ``sshd.ssh_config``."""
    sshd.stop()
    sshd.start("Subsystem sftp internal-sftp")
    return sshd
