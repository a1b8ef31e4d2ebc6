"""Hosts: run commands, move files and open forwards, on this machine or over OpenSSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rsdat.host.names import check_host, check_user, is_this_machine, parse_host

if TYPE_CHECKING:
    from rsdat.host.base import Host

__all__ = ["ConnectionLike", "open_host", "parse_host"]


class ConnectionLike(Protocol):
    """How a host is reached: a site's ``connection``, or what looks like one."""

    @property
    def host(self) -> str | None:
        """A host or alias; None is this machine."""

    @property
    def user(self) -> str | None:
        """The user there."""

    @property
    def ssh_config(self) -> str | None:
        """File for ``ssh -F``."""


def open_host(connection: ConnectionLike | str | None, *, name: str | None = None) -> Host:
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
