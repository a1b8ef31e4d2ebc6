"""Ports for servers of our own: kept from their choice to the end, so that nobody else takes one.

A port that is merely free at the moment of its choice can be any other process's a moment later, as
the local port of a connection if not of a server.
"""

from __future__ import annotations

import socket


def kept_port(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket that is bound to a port (0: a free one) and never listens.

    As long as it is open, the system gives the port to nobody who asks for a free one, connections
    to it are refused, and whoever asks for this very port with ``SO_REUSEADDR`` may listen on it.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        kept.bind((host, port))
    except OSError:
        kept.close()
        raise
    return kept
