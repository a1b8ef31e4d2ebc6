"""The one address inside the cluster on which this node listens."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from rsdat.errors import SessionError


def internal_address(interface: str | None) -> str:
    """This node's one address inside the cluster; see :func:`choose_address`."""
    import psutil  # type: ignore[import-untyped]

    found = {
        name: [entry.address for entry in entries if entry.family == socket.AF_INET]
        for name, entries in psutil.net_if_addrs().items()
    }
    host = socket.gethostname()
    try:
        named = socket.gethostbyname(host)
    except OSError:
        named = ""
    return choose_address(interface, found, named=named, host=host)


def choose_address(
    interface: str | None, found: Mapping[str, Sequence[str]], *, named: str, host: str
) -> str:
    """Choose among a node's addresses.

    Parameters
    ----------
    interface
        A network interface's name (``ib0``) or an address prefix (``10.0.``) from the site; None
        takes the address that the node's own name resolves to.
    found
        Interface name to IPv4 addresses.
    named
        What the node's own name resolves to.

    Raises
    ------
    rsdat.errors.SessionError
        When the node has no such address.
    """
    if interface:
        for name, addresses in found.items():
            for address in addresses:
                if name == interface or (is_prefix(interface) and address.startswith(interface)):
                    return address
        names = ", ".join(f"{name} {' '.join(a)}" for name, a in found.items() if a)
        raise SessionError(
            f"{host} has no network interface {interface!r}; it has {names}",
            hint="Correct connection.interface in the site's file.",
        )
    if named and not named.startswith("127."):
        return named
    # Debian maps the host's own name to loopback: take the first address that is not.
    outside = [a for addresses in found.values() for a in addresses if not a.startswith("127.")]
    if not outside:
        raise SessionError(
            f"{host} has no network address but loopback, so worker jobs could not reach it",
            hint="Set connection.interface in the site's file.",
        )
    return outside[0]


def is_prefix(interface: str) -> bool:
    """Whether a site names its network by an address prefix, not by an interface's name."""
    return interface[:1].isdigit() and "." in interface
