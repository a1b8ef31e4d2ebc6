"""Dask clients of a session: in a kernel, in a terminal, in a shell on the same machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rsdat.arguments import checked
from rsdat.cluster.configuration import recorded_scheduler
from rsdat.cluster.layout import SESSION_VARIABLE, Layout
from rsdat.errors import SessionError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

_SESSIONS = "~/.rsdat/sessions"


@checked
def client(
    session_directory: str | os.PathLike[str] | None = None, *, timeout: float = 10.0
) -> Client:
    """A Dask client of the session's cluster, TLS included.

    In a notebook the same client is given again and again. Outside a session, the only one that
    lives here is taken.

    Parameters
    ----------
    session_directory
        The session's directory; absent, the session that this process runs in, or the only one
        that there is.
    timeout
        Seconds to wait for the scheduler.

    Raises
    ------
    rsdat.errors.SessionError
        When there is no session, more than one, or its scheduler does not answer.
    """
    from distributed import Client

    layout = find_session(session_directory)
    address = _address(layout)
    current = _current_client(address)
    if current is not None:
        return current
    try:
        return Client(address, security=session_security(layout), timeout=timeout)
    except (OSError, TimeoutError) as error:
        raise _no_answer(layout, address, error) from error


async def cluster_accepts_client(layout: Layout, *, timeout: float = 60.0) -> str:
    """Connect a client as a notebook would, and return the scheduler's address.

    Raises
    ------
    rsdat.errors.SessionError
        When the session has no scheduler, or it accepts no client.
    """
    from distributed import Client

    address = _address(layout)
    try:
        async with Client(
            address,
            security=session_security(layout),
            asynchronous=True,
            set_as_default=False,
            timeout=timeout,
        ):
            return address
    except (OSError, TimeoutError) as error:
        raise _no_answer(layout, address, error) from error


def session_security(layout: Layout) -> Security:
    """The session's TLS, by its files: independent of what Dask's configuration was at import."""
    from distributed.security import Security

    files = {"cert": str(layout.cert), "key": str(layout.key)}
    roles = {f"tls_{r}_{k}": v for r in ("client", "scheduler", "worker") for k, v in files.items()}
    return Security(require_encryption=True, tls_ca_file=str(layout.ca), **roles)


def find_session(session_directory: str | os.PathLike[str] | None = None) -> Layout:
    """The session meant: the one given, the one around this process, or the only one here.

    Raises
    ------
    rsdat.errors.SessionError
        When there is none, or more than one.
    """
    named = os.fspath(session_directory) if session_directory else os.environ.get(SESSION_VARIABLE)
    if named:
        return Layout(PurePosixPath(Path(named).expanduser().absolute()))
    living = [layout for layout in _sessions() if _may_live(layout)]
    if len(living) > 1:
        # One that was killed, or runs where we cannot reach it, has left its address as well.
        living = [layout for layout in living if _listens(recorded_scheduler(layout) or "")]
    if not living:
        raise SessionError(
            "there is no running session on this machine",
            hint="Start one with `rsdat launch`, or use a notebook or terminal in JupyterLab.",
        )
    if len(living) > 1:
        raise SessionError(
            f"more than one session may be meant: {', '.join(one.id for one in living)}",
            hint=f"Name one: rsdat.client('{living[0].directory}').",
        )
    return living[0]


def _sessions() -> list[Layout]:
    root = Path(_SESSIONS).expanduser()
    try:
        return [Layout(PurePosixPath(d)) for d in sorted(root.iterdir()) if d.is_dir()]
    except FileNotFoundError:
        return []


def _may_live(layout: Layout) -> bool:
    return not Path(layout.end).exists() and recorded_scheduler(layout) is not None


def _listens(address: str) -> bool:
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False


def _address(layout: Layout) -> str:
    if not Path(layout.directory).is_dir():
        raise SessionError(
            f"there is no session in {layout.directory}", hint="See `rsdat ls` for those there are."
        )
    address = recorded_scheduler(layout)
    if address is None:
        raise SessionError(
            f"session {layout.id} has no Dask scheduler (yet)",
            hint=f"See its log: {layout.log}.",
        )
    return address


def _current_client(address: str) -> Client | None:
    from distributed.client import default_client

    try:
        current: Any = default_client()
    except ValueError:
        return None
    scheduler = current.scheduler
    same = current.status == "running" and scheduler is not None and scheduler.address == address
    found: Client | None = current if same else None
    return found


def _no_answer(layout: Layout, address: str, error: Exception) -> SessionError:
    return SessionError(
        f"the Dask scheduler of session {layout.id} at {address} does not answer: {error}",
        hint=f"See `rsdat status {layout.id}`; from another machine, `rsdat connect {layout.id}`.",
    )
