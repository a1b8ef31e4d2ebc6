"""What a host is: a machine on which rsdat runs commands, moves files and opens forwards.

The two kinds are :class:`rsdat.host.local.LocalHost` (this machine) and
:class:`rsdat.host.ssh.SSHHost` (a machine over the system's OpenSSH). Everything above this room
works with either, so a session started from a laptop and one started on the login node itself are
the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that has run: its exit status and what it printed (shell noise removed)."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class SocketTarget:
    """A unix socket on a compute node, reached by ssh to that node."""

    node: str
    path: str


@dataclass(frozen=True)
class TcpTarget:
    """A TCP address inside the cluster, reached from the login host."""

    host: str
    port: int


Target = SocketTarget | TcpTarget


class Forward(Protocol):
    """A local TCP port on 127.0.0.1 that leads to a target; it lives until it is closed."""

    local_port: int

    @property
    def pid(self) -> int | None:
        """The process that holds it, where that is one of its own."""

    def alive(self) -> bool:
        """Whether the forward still stands (a cheap check, no traffic to the target)."""

    def close(self) -> None:
        """Take the forward down. Closing twice is harmless."""


class Host(Protocol):
    """A machine where commands run as the user."""

    name: str
    """As the user names it (``spider``, ``me@example.org``); ``localhost`` for this machine."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002  (as in subprocess.run)
        timeout: float | None = 60,
        check: bool = True,
    ) -> Completed:
        """Run a command without a shell of ours in between.

        Arguments arrive as they are given, whatever the login shell. Raises
        :class:`~rsdat.errors.HostError` when the host cannot be reached (always) or the command
        fails (with ``check``), and :class:`TimeoutError` after ``timeout`` seconds.
        """

    def stream(self, argv: Sequence[str], *, input: bytes | None = None) -> Iterator[str]:  # noqa: A002
        """Run a command and yield its lines as they come; ends with it, killed when abandoned."""

    def put(self, content: bytes, path: str, *, mode: int = 0o600) -> None:
        """Write a file: complete or not at all. ``~/`` means the user's home there."""

    def get(self, path: str) -> bytes:
        """Read a file. Raises :class:`FileNotFoundError`."""

    def forward(self, local_port: int, target: Target) -> Forward:
        """Open a forward from ``127.0.0.1:local_port`` to ``target``.

        Raises :class:`~rsdat.errors.HostError` when the node cannot be reached by ssh or the port
        is taken. Never asks a question: authentication has happened in :meth:`connect`.
        """

    def reaches(self, node: str) -> bool:
        """Whether ssh to this compute node works for us (never asks a question)."""

    def connect(self, *, interactive: bool = True) -> None:
        """Make sure the host answers; with ``interactive``, passwords and second factors are asked.

        Raises :class:`~rsdat.errors.HostError` with the cause in plain words (unknown name, refused
        key, no answer).
        """

    def answers(self) -> bool:
        """Whether the host answers through the connection that is there; never logs in."""
