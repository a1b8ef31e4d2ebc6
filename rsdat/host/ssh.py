"""A machine over the system's OpenSSH: aliases, jumps, agents, second factors come with it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rsdat.errors import HostError
from rsdat.host import shell
from rsdat.host.base import Completed, Forward, SocketTarget, Target
from rsdat.host.control import Control
from rsdat.host.diagnose import NO_CONTROL, Attempt, FateUnknown, explain, last_line
from rsdat.host.failure import absent, failed, timed_out
from rsdat.host.forward import LISTENING, ChildForward, ControlForward
from rsdat.host.names import check_host, check_socket_path, check_user
from rsdat.host.node import NODE_TIMEOUT, node_argv

#: Seconds in which a connection that still stands answers; longer, and it is taken for broken.
PROBE_TIMEOUT = 10
#: Seconds that the start-up files of a login there may take.
GREET_TIMEOUT = 15


class SSHHost:
    """A machine reached by ssh through one control connection.

    Parameters
    ----------
    host
        A name or an alias of the ssh configuration.
    user
        The user there, where ssh's own configuration has none.
    ssh_config
        File given to ``ssh -F`` instead of ``~/.ssh/config``.
    name
        What the user calls it; the list of known nodes is kept by this name.
    """

    def __init__(
        self,
        host: str,
        user: str | None = None,
        ssh_config: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        check_host(host)
        self.control = Control(host, check_user(user) if user else None, ssh_config)
        self.name = name or (f"{user}@{host}" if user else host)

    def __repr__(self) -> str:
        return f"SSHHost({self.name!r})"

    # -- the connection

    def connect(self, *, interactive: bool = True) -> None:
        """Make sure the host answers; with ``interactive``, passwords and second factors are asked.

        A connection that does not answer is replaced. Without a person, only after a login beside
        it has worked: where each login needs a second factor, a connection that may only be slow
        is worth keeping.
        """
        if self.connected():
            if self.answers():
                if self._known() is None:
                    self._greet()
                return
            if not interactive:
                self.control.login_works()
            self.control.stop()
        self._start(interactive)

    def connected(self) -> bool:
        """Whether the control connection is there; costs no network."""
        return self.control.running()

    def answers(self) -> bool:
        """Whether the host answers through the connection we have; never logs in."""
        try:
            self._attempt(["true"], None, PROBE_TIMEOUT)
        except HostError:
            return False
        return True

    def disconnect(self) -> None:
        """End the control connection and all that goes through it. Harmless when there is none."""
        self._info.unlink(missing_ok=True)
        self.control.stop()

    @property
    def resolved(self) -> str | None:
        """The full name of the machine we landed on; a login alias often stands for several."""
        return (self._known() or {}).get("host") or None

    def _start(self, interactive: bool) -> None:
        if self.control.start(interactive=interactive):
            self._greet()

    def _greet(self) -> None:
        """Learn the machine's name and the PATH of a login there, once per connection."""
        word = secrets.token_hex(8)
        known = {}
        # Start-up files that wait or fail are the user's own affair: then we do without.
        with contextlib.suppress(HostError):
            argv = ["sh", "-c", shell.GREET, "sh", word]
            told = self._attempt(argv, None, GREET_TIMEOUT).stdout.decode(errors="replace")
            host, _, rest = told.partition("\n")
            path = rest.split(f"{word}\n")[1].strip() if rest.count(f"{word}\n") == 2 else ""
            known = {"host": host.strip(), "path": path}
        # Beside the socket and younger than it: another command of ours need not ask again.
        with open(os.open(self._info, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file)

    @property
    def _info(self) -> Path:
        return Path(f"{self.control.path}.json")

    def _known(self) -> dict[str, str] | None:
        """What was learnt over this connection; None when nobody has asked yet."""
        try:
            if self._info.stat().st_mtime < os.stat(self.control.path).st_mtime:
                return None
            known: dict[str, str] = json.loads(self._info.read_text())
        except (OSError, ValueError):
            return None
        return known

    # -- commands

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002  (as in subprocess.run)
        timeout: float | None = 60,
        check: bool = True,
    ) -> Completed:
        """Run a command; see :meth:`rsdat.host.base.Host.run`.

        A broken connection is started again where it is certain that nothing has been run yet. A
        command whose fate is unknown raises, and is never run a second time.
        """
        captured = self._execute(argv, input, timeout)
        assert captured.returncode is not None
        completed = Completed(
            tuple(argv),
            captured.returncode,
            captured.stdout.decode(errors="replace"),
            captured.stderr.decode(errors="replace"),
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

        Raises :class:`~rsdat.errors.HostError` at the end when the command has failed. When the
        iterator is abandoned the command is killed there too, unless it was given ``input``.
        """
        if not self.control.running():
            self._start(False)
        word = secrets.token_hex(8)
        command = shell.remote_command(
            argv, word, path=(self._known() or {}).get("path"), guarded=input is None
        )
        with (
            tempfile.TemporaryFile() as errors,
            tempfile.TemporaryFile() as given,
            subprocess.Popen(
                self._client(command),
                stdin=subprocess.PIPE if input is None else _filled(given, input),
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                status: int | None = None
                for line in shell.lines_between(iter(process.stdout), word):
                    if isinstance(line, int):
                        status = line
                    else:
                        yield line
            finally:
                _end(process)
            errors.seek(0)
            started, complaints = shell.unwrap_errors(errors.read(), word)
        said = complaints.decode(errors="replace")
        if status is None:
            raise self._lost(argv, process.returncode, started, said)
        if status != 0:
            raise failed(self.name, argv, status, said)

    def put(self, content: bytes, path: str, *, mode: int = 0o600) -> None:
        """Write a file: complete or not at all. ``~/`` means the user's home there."""
        argv = ["sh", "-c", shell.PUT, "sh", path, f"{mode:o}", str(len(content))]
        done = self._execute(argv, content, None)
        if done.returncode != 0:
            why = last_line(done.stderr.decode(errors="replace"))
            raise HostError(f"{path} could not be written on {self.name}: {why}")

    def get(self, path: str) -> bytes:
        """Read a file. Raises :class:`FileNotFoundError`."""
        done = self._execute(["sh", "-c", shell.GET, "sh", path], None, None)
        if done.returncode == shell.GET_ABSENT:
            raise absent(path, self.name)
        if done.returncode != 0:
            why = last_line(done.stderr.decode(errors="replace"))
            raise HostError(f"{path} could not be read on {self.name}: {why}")
        return done.stdout

    def _execute(
        self,
        argv: Sequence[str],
        content: bytes | None,
        timeout: float | None,
    ) -> shell.Captured:
        try:
            return self._attempt(argv, content, timeout)
        except _NotConnected:
            self._start(False)
        return self._attempt(argv, content, timeout)

    def _attempt(
        self,
        argv: Sequence[str],
        content: bytes | None,
        timeout: float | None,
    ) -> shell.Captured:
        word = secrets.token_hex(8)
        command = shell.remote_command(argv, word, path=(self._known() or {}).get("path"))
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        if content is not None:
            feed = {"input": content}
        try:
            done = subprocess.run(
                self._client(command),
                **feed,
                capture_output=True,
                timeout=timeout,
                check=False,
                process_group=0,  # Ctrl-C is for us to handle; it must not cut a command in two
            )
        except subprocess.TimeoutExpired as error:
            raise timed_out(self.name, argv, error.timeout) from error
        captured = shell.unwrap(done.stdout, done.stderr, word)
        if captured.returncode is None:
            said = captured.stderr.decode(errors="replace")
            raise self._lost(argv, done.returncode, captured.started, said)
        return captured

    def _client(self, command: str) -> list[str]:
        return [*self.control.client("-T"), command]

    def _lost(self, argv: Sequence[str], returncode: int, started: bool, stderr: str) -> HostError:
        """Say what is known of a command whose end was not seen."""
        if NO_CONTROL in stderr and not started:
            if "refused by peer" in stderr:
                return explain(stderr, self.control.attempt())
            return _NotConnected(f"there is no connection to {self.name}")
        why = last_line(stderr)
        if started or returncode == 255:
            return FateUnknown(
                f"the connection to {self.name} broke while `{argv[0]}` was running"
                f"{f' ({why})' if why else ''}; whether it has done its work is not known",
                hint="Look before you repeat it: `rsdat status` shows what is there.",
            )
        return HostError(
            f"the login shell on {self.name} ended (status {returncode}) without running "
            f"`{argv[0]}`{f': {why}' if why else ''}",
            hint="Look at the shell's start-up files there (.bashrc, .cshrc); they may exit or "
            "start another program.",
        )

    # -- inside the cluster

    def reaches(self, node: str) -> bool:
        """Whether ssh to this compute node works for us (never asks a question)."""
        if not self.control.running():
            self._start(False)
        try:
            done = subprocess.run(
                [*self._node(node), "exit 0"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=NODE_TIMEOUT * 3,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def forward(self, local_port: int, target: Target) -> Forward:
        """Open a forward from ``127.0.0.1:local_port`` to ``target``."""
        if not self.control.running():
            self._start(False)
        if not isinstance(target, SocketTarget):
            return ControlForward(local_port, self.control, target.host, target.port)
        spec = f"127.0.0.1:{local_port}:{check_socket_path(target.path)}"
        argv = self._node(target.node, *LISTENING, "-L", spec)
        return ChildForward(local_port, argv, Attempt(f"node {target.node} of {self.name}"))

    def _node(self, node: str, *options: str) -> list[str]:
        settings = self.control.settings
        return node_argv(
            node,
            *options,
            site=self.name,
            settings=settings,
            keys=self.control.attempt().keys,
            ssh_config=self.control.ssh_config,
            proxy=self.control.proxy(),
        )


class _NotConnected(HostError):
    """There is no control connection: nothing has been run."""


def _filled(file: IO[bytes], content: bytes) -> IO[bytes]:
    file.write(content)
    file.seek(0)
    return file


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the local ssh; the guard on the other side then ends the command."""
    try:
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()
        process.wait(0.5)
    except (subprocess.TimeoutExpired, BrokenPipeError):
        process.kill()
        process.wait()
