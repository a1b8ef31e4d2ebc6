"""Connecting: from a running session to a URL on this laptop that JupyterLab answers on."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from rsdat.cluster.rest import socket_base
from rsdat.errors import HostError, SessionError
from rsdat.host.base import Host, SocketTarget, Target, TcpTarget
from rsdat.host.local import LocalHost
from rsdat.session import memory, remote
from rsdat.session.follow import Progress, Ready
from rsdat.session.identity import preferred_port
from rsdat.session.model import Overview, Session
from rsdat.session.tunnel import TunnelSpec, find_tunnel, start_tunnel, stop_tunnel


@dataclass(frozen=True, repr=False)
class Secret:
    """A value that does not print itself."""

    value: str

    def reveal(self) -> str:
        """The value itself."""
        return self.value

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class Lab:
    """A session's JupyterLab as this machine reaches it."""

    session: Session
    host: str
    port: int
    base_url: str
    token: Secret
    socket: str | None = None
    """On the node itself: the unix socket, instead of host and port."""

    @property
    def base(self) -> str:
        """The server's root, without the token."""
        if self.socket:
            return socket_base(self.socket, self.base_url)
        return f"http://{self.host}:{self.port}{self.base_url}"

    def page(self, link: str) -> str:
        """A page of this server, from a link such as ``/proxy/8787/status``; no token in it.

        On the node itself its path alone: the browser is elsewhere, and knows the rest.
        """
        path = urlsplit(link).path.removeprefix(self.base_url).lstrip("/")
        return f"{self.base_url if self.socket else self.base}{path}"

    @property
    def url(self) -> str:
        """The address to open, token included."""
        return f"{self.base}lab?token={self.token.reveal()}"


def read_token(session: Session, host: Host) -> Secret:
    """Fetch JupyterLab's token from the session directory."""
    try:
        return Secret(host.get(f"{session.directory}/token").decode().strip())
    except FileNotFoundError:
        raise SessionError(
            f"session {session.id} has no token: {session.directory} was deleted, or it never "
            "became ready",
            hint=f"rsdat status {session.id}",
        ) from None


def open_lab(
    session: Session,
    ready: Ready,
    host: Host,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    reachable: bool | None = None,
) -> Lab:
    """Make sure that a tunnel stands and that JupyterLab answers through it with its token.

    Parameters
    ----------
    reachable
        Whether ssh to the node is known to work; None asks when it is needed.

    Raises
    ------
    SessionError
        JupyterLab does not answer, or refuses the session's token.
    HostError
        No tunnel can be opened by either route.
    """
    token = read_token(session, host)
    if session.site.queue == "local" and ready.tcp:
        lab = Lab(session, *ready.tcp, ready.base_url, token)
        expect_answer(lab)
        return lab
    existing = find_tunnel(session.id)
    if existing is not None:
        lab = Lab(session, "127.0.0.1", existing.local_port, ready.base_url, token)
        if _asks(lab, timeout=3) == 200:
            return lab
        # It stands but leads nowhere (another network, another route): anew, on the port that
        # open browser tabs know.
        stop_tunnel(session.id)
    port = free_port(existing.local_port if existing else preferred_port(session.id))
    lab = Lab(session, "127.0.0.1", port, ready.base_url, token)
    _open_tunnel(lab, ready, _routes(session, ready, host, reachable), report)
    return lab


def _open_tunnel(
    lab: Lab,
    ready: Ready,
    routes: Iterable[tuple[Target, str]],
    report: Callable[[Progress], None],
) -> None:
    """Open a tunnel by the first route that leads to JupyterLab, and remember which it was."""
    session = lab.session
    failure: Exception | None = None
    for target, route in routes:
        if failure is not None:
            report(Progress(f"{failure}; trying another route"))
        try:
            start_tunnel(_spec(session, ready, lab.port, target))
            expect_answer(lab)
        except (HostError, SessionError) as error:
            stop_tunnel(session.id)
            failure = error
            continue
        memory.remember_route(session.site.name, route)
        return
    raise failure or SessionError(
        f"no route to session {session.id} on {ready.node}: ssh to the node is refused and the "
        f"site allows no other",
        hint=f"Set connection.route to auto for site {session.site.name}.",
    )


def _routes(
    session: Session, ready: Ready, host: Host, reachable: bool | None
) -> Iterator[tuple[Target, str]]:
    """The routes to try, in order; TCP is opened only once the unix socket is out of reach."""
    allowed = session.site.connection.route
    # What worked last time is tried without a question first: it fails fast where it is over.
    remembered = memory.route_of(session.site.name) if reachable is None else None
    if remembered:
        reachable = remembered == "socket"
    node = SocketTarget(ready.node, ready.socket) if ready.socket and allowed != "tcp" else None
    if node and (host.reaches(ready.node) if reachable is None else reachable):
        yield node, "socket"
    if allowed != "socket":
        yield TcpTarget(*(ready.tcp or ask_for_tcp(session, host))), "tcp"
    if node and remembered == "tcp" and host.reaches(ready.node):
        yield node, "socket"


def ask_for_tcp(session: Session, host: Host, *, patience: float = 60) -> tuple[str, int]:
    """Ask the head to listen on one internal TCP address, and wait for that address."""
    host.put(b"", f"{session.directory}/tcp-wanted")
    argv = remote.call("watch", session.directory, "true")
    deadline = time.monotonic() + patience
    # While the address is missing, the watch repeats itself: this loop never waits for long.
    for event in remote.parse_events(host.stream(argv)):
        if time.monotonic() > deadline:
            raise SessionError(
                f"session {session.id} has not opened a TCP address within {patience:.0f} s",
                hint=f"rsdat logs {session.id}   says why, if JupyterLab is not just busy",
            )
        if event.kind == "ready":
            tcp = Ready.from_json(event.data).tcp
            if tcp is not None:
                return tcp
        elif event.kind in ("end", "missing"):
            break
    raise SessionError(
        f"session {session.id} ended before it opened a TCP address",
        hint=f"rsdat logs {session.id}",
    )


def _spec(session: Session, ready: Ready, port: int, target: Target) -> TunnelSpec:
    return TunnelSpec(
        session=session.id,
        site=session.site.name,
        connection=session.site.connection,
        directory=session.directory,
        local_port=port,
        target=target,
        base_url=ready.base_url,
        ends=ready.data.get("ends"),
    )


def free_port(preferred: int) -> int:
    """The preferred local port where it is free, else the next free one."""
    for port in range(preferred, preferred + 100):
        with socket.socket() as probe:
            # A port that was just closed (a restarted tunnel) counts as free, as for ssh itself.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SessionError(
        f"the local ports {preferred} to {preferred + 99} are all taken",
        hint="Close some tunnels: `rsdat ls` shows the sessions.",
    )


def _asks(lab: Lab, timeout: float) -> int | str:
    """The HTTP status of an authenticated question, or why there was none."""
    connection = http.client.HTTPConnection(lab.host, lab.port, timeout=timeout)
    try:
        headers = {"Authorization": f"token {lab.token.reveal()}"}
        connection.request("GET", f"{lab.base_url}api/status", headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def expect_answer(lab: Lab, timeout: float = 15) -> None:
    """Ask JupyterLab something that needs the token.

    Raises
    ------
    SessionError
        Nothing answers, or it is not this session's server.
    """
    answer = _asks(lab, timeout)
    if answer == 200:
        return
    if answer in (401, 403):
        raise SessionError(
            f"{lab.base} refuses the token of session {lab.session.id}: another server has "
            "the port",
            hint=f"rsdat connect {lab.session.id}",
        )
    raise SessionError(
        f"JupyterLab of session {lab.session.id} does not answer at {lab.base}: {answer}",
        hint=f"rsdat logs {lab.session.id}",
    )


def existing_lab(overview: Overview, host: Host) -> Lab | None:
    """The session's JupyterLab where it can be reached without opening anything.

    From inside the session by its own socket, from a laptop by the tunnel that stands.
    """
    ready = Ready.from_json(overview.record.ready) if overview.record.ready else None
    if ready is None:
        return None
    session = overview.session
    if session.site.queue == "local" and ready.tcp:
        return Lab(session, *ready.tcp, ready.base_url, read_token(session, host))
    inside = isinstance(host, LocalHost) and ready.socket and os.path.exists(ready.socket)
    tunnel = None if inside else find_tunnel(session.id)
    if tunnel is None and not inside:
        return None
    token = read_token(session, host)
    if tunnel is None:
        return Lab(session, "", 0, ready.base_url, token, ready.socket)
    return Lab(session, "127.0.0.1", tunnel.local_port, ready.base_url, token)


def lab_of(overview: Overview, host: Host) -> Lab:
    """The session's JupyterLab, with a tunnel opened where there is none.

    Raises
    ------
    SessionError
        The session is not ready.
    """
    if overview.record.ready is None or not overview.state.live:
        raise SessionError(
            f"session {overview.session.id} is not ready but {overview.state}"
            + (f": {overview.why}" if overview.why else ""),
            hint=f"rsdat connect {overview.session.id}   waits for it",
        )
    present = existing_lab(overview, host)
    if present is not None and present.socket:
        return present
    return open_lab(overview.session, Ready.from_json(overview.record.ready), host)
