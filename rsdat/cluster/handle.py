"""The session's cluster in a notebook: a handle that acts through the Jupyter server.

There is one cluster, and it lives in the Jupyter server. The panel, the command line and this
handle all ask the same server, so they never disagree.
"""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Any

from rsdat.arguments import checked
from rsdat.cluster import rest
from rsdat.cluster.clients import find_session
from rsdat.cluster.layout import Layout
from rsdat.errors import SessionError


@checked
def get_cluster(session_directory: str | os.PathLike[str] | None = None) -> ClusterHandle:
    """The session's one cluster, to scale and to look at.

    Parameters
    ----------
    session_directory
        The session's directory; absent, the session that this process runs in, or the only one
        that there is.

    Raises
    ------
    rsdat.errors.SessionError
        When there is no session, or its JupyterLab cannot be reached from here.
    """
    layout = find_session(session_directory)
    handle = ClusterHandle(layout, server_base(layout))
    handle.status()
    return handle


def server_base(layout: Layout) -> str:
    """Where the session's JupyterLab listens, as seen from its own node."""
    try:
        ready = json.loads(Path(layout.ready).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise SessionError(
            f"session {layout.id} is not ready", hint=f"See its log: {layout.log}."
        ) from None
    base_url = ready.get("base_url") or "/"
    # On the node itself the socket; elsewhere (a shell on the login host) TCP, where it is open.
    if ready.get("socket") and Path(ready["socket"]).exists():
        return rest.socket_base(ready["socket"], base_url)
    if ready.get("tcp"):
        return f"http://{ready['tcp']['host']}:{ready['tcp']['port']}{base_url}"
    raise SessionError(
        f"session {layout.id} runs on {ready.get('node')} and cannot be reached from here",
        hint="Use a notebook or a terminal in its JupyterLab, or `rsdat scale` on the laptop.",
    )


class ClusterHandle:
    """The session's cluster. Made by :func:`get_cluster`."""

    def __init__(self, layout: Layout, base: str) -> None:
        self._layout = layout
        self._base = base

    def status(self) -> dict[str, Any]:
        """Scheduler, workers, pools, jobs and tasks, as the server knows them now."""
        return rest.status(self._base, self._token())

    def scale(self, n: int, pool: str | None = None) -> None:
        """Keep ``n`` workers of a pool (the first unless named); returns at once.

        Raises
        ------
        rsdat.errors.ConfigError
            When there is no such pool, or the site allows fewer workers.
        """
        rest.scale(self._base, self._token(), n, pool)

    def adapt(self, minimum: int, maximum: int) -> None:
        """Let the number of workers of the first pool follow the work."""
        rest.adapt(self._base, self._token(), minimum, maximum)

    @property
    def workers(self) -> list[dict[str, Any]]:
        """The connected workers: name, address, pool, threads, memory."""
        found: list[dict[str, Any]] = self.status()["workers"]
        return found

    @property
    def dashboard_link(self) -> str:
        """Dask's dashboard, relative to JupyterLab's own address."""
        return str(self.status()["dashboard_link"])

    def _token(self) -> str:
        return Path(self._layout.token).read_text().strip()

    def __repr__(self) -> str:
        now = self.status()
        pools = ", ".join(
            f"{name}: {pool['running']} of {pool['wanted']} workers"
            for name, pool in now["pools"].items()
        )
        return f"<Cluster of session {self._layout.id}: {pools}; {now['scheduler']}>"

    def _repr_html_(self) -> str:
        now = self.status()
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{pool['running']}</td><td>{pool['pending']}</td>"
            f"<td>{pool['wanted']}</td><td>{escape(pool.get('problem') or '')}</td></tr>"
            for name, pool in now["pools"].items()
        )
        link = escape(now["dashboard_link"], quote=True)
        return (
            f"<p><b>Dask cluster of session {escape(self._layout.id)}</b>, "
            f'<a href="{link}" target="_blank">dashboard</a></p>'
            "<table><tr><th>pool</th><th>running</th><th>pending</th><th>wanted</th><th></th></tr>"
            f"{rows}</table>"
        )
