"""Names of hosts, users and sockets: taken apart, and checked before ssh sees them."""

from __future__ import annotations

import getpass
import re
import socket

from rsdat.errors import ConfigError

# ssh reads a leading dash as an option, and hands names to a shell in ProxyCommand (%h, %r): the
# characters a shell would act on are refused here, before any of them can matter.
_HOST = re.compile(r"[\w\[:][\w.:%\[\]-]*")
_USER = re.compile(r"[\w][\w.@+\\-]*\$?")
# What `ssh -L` takes without expanding it (it expands %, $ and ~, and splits at a colon).
_SOCKET = re.compile(r"/[\w./+=,@-]+")
#: The smallest limit of the systems in use is 104 (macOS), 108 on Linux, with a closing zero.
SOCKET_PATH_LIMIT = 107


def parse_host(text: str) -> tuple[str | None, str]:
    """Split ``[USER@]HOST`` into the user, if named, and the host.

    Raises
    ------
    ConfigError
        When either is not a name that ssh could take, as one that starts with a dash.
    """
    user, at, host = text.rpartition("@")
    if at and not user:
        raise ConfigError(f"{text!r} names no user before the @", hint="Write USER@HOST or HOST.")
    return (check_user(user) if at else None), check_host(host)


def check_host(name: str) -> str:
    """Return the name if ssh can take it as a host; raise :class:`ConfigError` otherwise."""
    if not _HOST.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a host name",
            hint="Give a host, or an alias of your ssh configuration, as login.example.org.",
        )
    return name


def check_user(name: str) -> str:
    """Return the name if ssh can take it as a user; raise :class:`ConfigError` otherwise."""
    if not _USER.fullmatch(name):
        raise ConfigError(f"{name!r} is not a user name", hint="Write USER@HOST.")
    return name


def check_socket_path(path: str) -> str:
    """Return the path if a forward can lead to it; raise :class:`ConfigError` otherwise."""
    if not _SOCKET.fullmatch(path) or len(path.encode()) > SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"{path!r} cannot be the path of a forwarded socket",
            hint=f"It must be absolute, of plain characters, and of at most {SOCKET_PATH_LIMIT} "
            "bytes.",
        )
    return path


def is_this_machine(host: str, user: str | None = None) -> bool:
    """Whether ``host`` is a name of the machine this runs on, and ``user`` the one running it.

    Names only: ``localhost`` may be the near end of somebody's forward or a container's port, so
    an address that leads here proves nothing.
    """
    if user is not None and user != getpass.getuser():
        return False
    own = socket.gethostname().lower()
    names = {own, own.partition(".")[0]}
    wanted = host.lower().rstrip(".")
    # The full name costs a look into DNS, which may be slow: only where it could match.
    if wanted not in names and wanted.partition(".")[0] in names:
        names.add(socket.getfqdn().lower())
    return wanted in names
