"""What a tunnel is for, how it stands, and the files in which it says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rsdat.errors import SessionError
from rsdat.host import ConnectionLike
from rsdat.host.base import SocketTarget, Target, TcpTarget
from rsdat.host.places import state_directory
from rsdat.session.process import Process


class Standing(StrEnum):
    """How a tunnel stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    BROKEN = "broken"
    """It is trying again by itself."""
    NEEDS_LOGIN = "needs-login"
    """It waits for a person to log in; ``rsdat connect`` is enough."""


@dataclass(frozen=True)
class TunnelSpec:
    """What a tunnel is for."""

    session: str
    site: str
    connection: ConnectionLike
    directory: str
    """The session's directory on the host."""
    local_port: int
    target: Target
    base_url: str = "/"
    """Where JupyterLab answers on that port."""
    ends: float | None = None
    """When the session's walltime is over (seconds since 1970); None when it is not known."""

    def to_json(self) -> str:
        """All of it but methods; nothing in it is secret."""
        connection = {k: getattr(self.connection, k) for k in ("host", "user", "ssh_config")}
        value = {**self.__dict__, "connection": connection, "target": asdict(self.target)}
        return json.dumps(value)

    @classmethod
    def from_json(cls, text: str) -> TunnelSpec:
        """Read what :meth:`to_json` wrote."""
        value = json.loads(text)
        value["connection"] = SimpleNamespace(**value["connection"])
        value["target"] = _target(value["target"])
        return cls(**value)


@dataclass(frozen=True)
class TunnelState:
    """What a tunnel says of itself in its state file."""

    session: str
    site: str
    process: Process
    local_port: int
    target: Target
    standing: Standing
    error: str | None = None
    """Why it does not stand."""
    holder: Process | None = None
    """The ssh that holds the forward, when it is a process of its own."""
    since: float = 0.0
    """When ``standing`` last changed (seconds since 1970)."""

    def to_json(self) -> str:
        """The content of the state file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> TunnelState:
        """Read what :meth:`to_json` wrote."""
        value = json.loads(text)
        value["process"] = Process(**value["process"])
        value["holder"] = Process(**value["holder"]) if value["holder"] else None
        value["target"] = _target(value["target"])
        value["standing"] = Standing(value["standing"])
        return cls(**value)


def _target(value: Mapping[str, Any]) -> Target:
    return SocketTarget(**value) if "path" in value else TcpTarget(**value)


def tunnel_directory() -> Path:
    """Where tunnels keep their state and logs."""
    directory = state_directory() / "tunnels"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


@dataclass(frozen=True)
class TunnelFiles:
    """The files of one tunnel (0600): its state, its log, and the lock that keeps it single."""

    session: str

    def _named(self, suffix: str) -> Path:
        if not re.fullmatch(r"\w[\w.-]*", self.session):
            raise SessionError(f"{self.session!r} is not the id of a session")
        return tunnel_directory() / f"{self.session}{suffix}"

    @property
    def state(self) -> Path:
        """What the tunnel says of itself (JSON)."""
        return self._named(".json")

    @property
    def log(self) -> Path:
        """What happened to it, a line each."""
        return self._named(".log")

    @property
    def lock(self) -> Path:
        """Held by the tunnel's process as long as it lives."""
        return self._named(".lock")


def read_state(file: Path) -> TunnelState | None:
    """The state in a file; None when there is none, or nothing that we wrote."""
    try:
        return TunnelState.from_json(file.read_text())
    except (OSError, ValueError, TypeError, KeyError):
        return None
