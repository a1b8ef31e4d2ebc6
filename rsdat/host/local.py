"""This machine as a host: subprocesses without a shell, files written whole."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsdat.errors import HostError
from rsdat.host.base import Completed, Forward, SocketTarget, Target
from rsdat.host.control import Control
from rsdat.host.diagnose import Attempt
from rsdat.host.failure import absent, failed, timed_out
from rsdat.host.forward import LISTENING, ChildForward
from rsdat.host.names import check_host, check_socket_path, is_this_machine
from rsdat.host.node import NODE_TIMEOUT, node_argv
from rsdat.host.relay import Relay


class LocalHost:
    """This machine: the laptop itself, a login node, or the inside of a job."""

    name = "localhost"

    def __repr__(self) -> str:
        return "LocalHost()"

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002  (as in subprocess.run)
        timeout: float | None = 60,
        check: bool = True,
    ) -> Completed:
        """Run a command; see :meth:`rsdat.host.base.Host.run`."""
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        try:
            done = subprocess.run(
                list(argv),
                **feed,
                capture_output=True,
                timeout=timeout,
                check=False,
                process_group=0,  # Ctrl-C is for us to handle; it must not cut a command in two
            )
        except subprocess.TimeoutExpired as error:
            raise timed_out(self.name, argv, error.timeout) from error
        except OSError as error:
            # As a shell has it, so that callers need not tell the two kinds of host apart.
            status = 127 if isinstance(error, FileNotFoundError) else 126
            said = f"{argv[0]}: {error.strerror}"
            if check:
                raise failed(self.name, argv, status, said) from error
            return Completed(tuple(argv), status, "", said)
        completed = Completed(
            tuple(argv),
            # A shell reports death by a signal as 128 + n, and so does a host over ssh.
            done.returncode if done.returncode >= 0 else 128 - done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        if check and completed.returncode != 0:
            raise failed(self.name, argv, completed.returncode, completed.stderr)
        return completed

    def stream(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002
    ) -> Iterator[str]:
        """Yield a command's lines, without their ends; see :meth:`rsdat.host.base.Host.stream`.

        Raises :class:`~rsdat.errors.HostError` at the end when the command has failed.
        """
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
            given.write(input or b"")
            given.seek(0)
            try:
                process = subprocess.Popen(
                    list(argv), stdin=given, stdout=subprocess.PIPE, stderr=errors
                )
            except OSError as error:
                said = f"{argv[0]}: {error.strerror}"
                raise failed(self.name, argv, 127, said) from error
            with process:
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        yield line.decode(errors="replace").rstrip("\r\n")
                except BaseException:
                    process.kill()
                    raise
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if process.returncode != 0:
            raise failed(self.name, argv, process.returncode, said)

    def put(self, content: bytes, path: str, *, mode: int = 0o600) -> None:
        """Write a file: complete or not at all. ``~/`` means the user's home."""
        target = _home(path)
        try:
            if target.is_dir():
                raise IsADirectoryError(21, os.strerror(21))
            descriptor, name = tempfile.mkstemp(prefix=".rsdat-", dir=target.parent)
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fchmod(descriptor, mode)
                    os.fsync(descriptor)
                os.replace(name, target)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            raise HostError(f"{path} could not be written: {error.strerror}") from error

    def get(self, path: str) -> bytes:
        """Read a file. Raises :class:`FileNotFoundError`."""
        try:
            return _home(path).read_bytes()
        except FileNotFoundError:
            raise absent(path, self.name) from None
        except OSError as error:
            raise HostError(f"{path} could not be read: {error.strerror}") from error

    def forward(self, local_port: int, target: Target) -> Forward:
        """Open a forward from ``127.0.0.1:local_port`` to ``target``.

        It lives in this process, or as a child of it.
        """
        if not isinstance(target, SocketTarget) or is_this_machine(target.node):
            return Relay(local_port, target)
        spec = f"127.0.0.1:{local_port}:{check_socket_path(target.path)}"
        argv = _node(target.node, *LISTENING, "-L", spec)
        return ChildForward(local_port, argv, Attempt(f"node {target.node}"))

    def reaches(self, node: str) -> bool:
        """Whether ssh to this node works for us; this machine itself needs none."""
        if is_this_machine(node):
            return True
        try:
            done = subprocess.run(
                [*_node(node), "exit 0"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=NODE_TIMEOUT * 3,
                check=False,
            )
        except (subprocess.TimeoutExpired, HostError):
            return False
        return done.returncode == 0

    def connect(self, *, interactive: bool = True) -> None:
        """Nothing to do: we are there."""

    def connected(self) -> bool:
        """Always: we are there."""
        return True

    def answers(self) -> bool:
        """Always: we are there."""
        return True

    def disconnect(self) -> None:
        """Nothing to do."""


def _home(path: str) -> Path:
    return Path.home() / path[2:] if path.startswith("~/") else Path(path)


def _node(node: str, *options: str) -> list[str]:
    inner = Control(check_host(node))
    settings = inner.settings
    keys = inner.attempt().keys
    return node_argv(node, *options, site="here", settings=settings, keys=keys)
