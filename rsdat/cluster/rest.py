"""A session's cluster by the Jupyter server's REST interface, with the standard library alone.

Used from the laptop through the tunnel, and from a notebook over the server's unix socket.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import quote, urlsplit

from rsdat.errors import ConfigError, SessionError

_TIMEOUT = 30.0


def list_clusters(base: str, token: str) -> list[dict[str, Any]]:
    """The lab extension's clusters; a session has one.

    Parameters
    ----------
    base
        The server: ``http://127.0.0.1:PORT/prefix/``, or ``unix:/path/of/socket`` with the prefix
        after a ``#``.
    token
        JupyterLab's token.

    Raises
    ------
    rsdat.errors.SessionError
        When the server does not answer, or refuses.
    """
    clusters: list[dict[str, Any]] = request(base, token, "GET", "dask/clusters")
    return clusters


def status(base: str, token: str, *, timeout: float = _TIMEOUT) -> dict[str, Any]:
    """Scheduler, dashboard link, workers, pools, jobs and tasks of the session's cluster."""
    answer: dict[str, Any] = request(base, token, "GET", "rsdat/status", timeout=timeout)
    return answer


def scale(base: str, token: str, workers: int, pool: str | None = None) -> dict[str, Any]:
    """Scale the session's cluster; returns what :func:`status` does.

    Raises
    ------
    rsdat.errors.ConfigError
        When there is no such pool, or the site allows fewer workers.
    rsdat.errors.SessionError
        When the server does not answer, or refuses.
    """
    body = {"workers": workers, "pool": pool}
    answer: dict[str, Any] = request(base, token, "POST", "rsdat/scale", body)
    return answer


def adapt(base: str, token: str, minimum: int, maximum: int) -> dict[str, Any]:
    """Let the cluster's first pool follow the work; returns what :func:`status` does."""
    body = {"minimum": minimum, "maximum": maximum}
    answer: dict[str, Any] = request(base, token, "POST", "rsdat/adapt", body)
    return answer


def socket_base(path: str, base_url: str = "/") -> str:
    """The ``base`` of a server on a unix socket."""
    return f"unix:{quote(path)}#{base_url}"


def request(
    base: str, token: str, method: str, path: str, body: Any = None, *, timeout: float = _TIMEOUT
) -> Any:
    """One request to the Jupyter server; returns the JSON it answers with."""
    connection, prefix = _connection(base, timeout)
    # The token goes into a header: an address would be logged.
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    try:
        connection.request(
            method,
            f"{prefix.rstrip('/')}/{path}",
            body=None if body is None else json.dumps(body),
            headers=headers,
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise SessionError(
            f"JupyterLab at {base} does not answer: {error}",
            hint="Look with `rsdat status`; reconnect with `rsdat connect`.",
        ) from error
    finally:
        connection.close()
    if response.status >= 400:
        raise _refusal(base, response.status, text)
    return json.loads(text) if text else None


def _refusal(base: str, code: int, text: str) -> ConfigError | SessionError:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    message, hint = answer.get("message") or f"HTTP {code}", answer.get("hint")
    if answer.get("kind") == "config":
        return ConfigError(message, hint=hint)
    if code in (401, 403):
        return SessionError(
            f"JupyterLab at {base} refused the session's token",
            hint="Another server may have taken its port: `rsdat connect` finds the right one.",
        )
    return SessionError(f"JupyterLab at {base} answered: {message}", hint=hint)


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(base: str, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    from urllib.parse import unquote

    if base.startswith("unix:"):
        path, _, prefix = base.removeprefix("unix:").partition("#")
        return _SocketConnection(unquote(path), timeout), prefix or "/"
    url = urlsplit(base)
    if url.scheme != "http" or not url.hostname:
        raise SessionError(f"{base!r} is not the address of a session's JupyterLab")
    return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout), url.path
