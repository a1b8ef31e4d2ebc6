"""Hosts: run commands, move files and open forwards, on this machine or over OpenSSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsdat.host.names import check_host, check_user, is_this_machine, parse_host

if TYPE_CHECKING:
    from rsdat.config.models import Connection
    from rsdat.host.base import Host

__all__ = ["open_host", "parse_host"]


def open_host(connection: Connection | str | None, *, name: str | None = None) -> Host:
    """Return the host that a site's connection leads to; nothing is contacted yet.

    Parameters
    ----------
    connection
        A site's ``connection``, or ``[USER@]HOST``; None, or one without a host, is this machine.
    name
        What the user calls it, as the site's name.

    Raises
    ------
    ConfigError
        When the host or user is not a name that ssh could take.
    """
    from rsdat.host.local import LocalHost
    from rsdat.host.ssh import SSHHost

    ssh_config = None
    if connection is None or isinstance(connection, str):
        user, host = parse_host(connection) if connection else (None, None)
    else:
        user, host, ssh_config = connection.user, connection.host, connection.ssh_config
    if host is None:
        return LocalHost()
    check_host(host)
    if user is not None:
        check_user(user)
    if is_this_machine(host, user):
        return LocalHost()
    return SSHHost(host, user, ssh_config, name=name)
