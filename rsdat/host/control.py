"""The control connection to a login host: one ssh that has logged in, and carries all the others.

Passwords and second factors are asked once, when it starts. It outlives the command that started
it; every later command, forward and hop to a compute node goes through its socket and never logs
in again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from rsdat.errors import HostError
from rsdat.host.diagnose import NO_CONTROL, Attempt, explain, keys_of
from rsdat.host.places import control_directory
from rsdat.host.terminal import run_showing

#: Seconds that a login may take without a person, before the host counts as silent.
CONNECT_TIMEOUT = 15
#: How long the connection stays when nothing uses it: a working day.
PERSIST = "12h"


class Control:
    """One control connection, shared by all processes of this user.

    Parameters
    ----------
    host, user, ssh_config
        As given to ssh: a name or alias, ``-l``, and ``-F``.
    """

    def __init__(self, host: str, user: str | None = None, ssh_config: str | None = None) -> None:
        self.host = host
        self.user = user
        self.ssh_config = os.path.expanduser(ssh_config) if ssh_config else None

    @cached_property
    def settings(self) -> Mapping[str, tuple[str, ...]]:
        """What ssh makes of its configuration for this host (``ssh -G``); no network."""
        options = ["-o", f"ControlPath={_escape(control_directory())}/%C"]
        done = _quiet(["ssh", "-G", *self.target(*options)])
        if done.returncode != 0:
            raise explain(done.stderr.decode(errors="replace"), self.attempt())
        return parse_settings(done.stdout.decode(errors="replace"))

    @cached_property
    def path(self) -> str:
        """The socket. Its name is a hash of where ssh would connect, not of the alias."""
        return self.settings["controlpath"][0]

    def setting(self, name: str) -> str | None:
        """One value out of :attr:`settings`."""
        return self.settings.get(name, (None,))[0]

    def attempt(self, *, interactive: bool = False) -> Attempt:
        """Describe this connection for an error message."""
        keys: tuple[str, ...] = ()
        if "settings" in self.__dict__:
            keys = keys_of(self.settings.get("identityfile", ()))
        name = f"{self.user}@{self.host}" if self.user else self.host
        return Attempt(name, self.ssh_config, keys, interactive)

    def target(self, *options: str) -> list[str]:
        """Arguments that name the host, after options."""
        config = ["-F", self.ssh_config] if self.ssh_config else []
        user = ["-l", self.user] if self.user else []
        return [*config, *options, *user, "--", self.host]

    def client(self, *options: str) -> list[str]:
        """Argv of an ssh that goes through the connection, or nowhere.

        It reads no configuration: forwards, terminals and commands that a user has set for their
        own logins have no place in it, and it starts sooner.
        """
        nowhere = ["-o", f"ProxyCommand={NO_CONTROL}", "-o", "BatchMode=yes"]
        return ["ssh", "-F", "none", "-S", _escape(self.path), *nowhere, *options, "--", self.host]

    def proxy(self) -> str:
        """ProxyCommand that reaches machines inside the cluster through the connection."""
        argv = ["ssh", "-F", "none", "-S", self.path, "-o", f"ProxyCommand={NO_CONTROL}"]
        words = [shlex.quote(word).replace("%", "%%") for word in argv]
        return " ".join([*words, "-W", "[%h]:%p", "--", shlex.quote(self.host)])

    def running(self) -> bool:
        """Whether the connection's process is there (``ssh -O check``); no network."""
        return self._pid() is not None

    def start(self, *, interactive: bool) -> bool:
        """Log in, unless the connection is there already; say whether it was started.

        Raises
        ------
        HostError
            With the cause in plain words; :class:`~rsdat.host.diagnose.LoginRefused` where a
            person could log in.
        """
        with self._locked():
            if self.running():
                return False
            # A socket without a process behind it would make ssh connect without sharing.
            Path(self.path).unlink(missing_ok=True)
            code, stderr = run_showing(self._login(interactive), show=interactive)
        if code != 0 or not os.path.exists(self.path):
            raise explain(stderr, self.attempt(interactive=interactive))
        return True

    def stop(self) -> None:
        """End the connection and whatever goes through it. Harmless when there is none."""
        with self._locked():
            pid = self._pid()
            if pid is not None and _quiet(self.client("-O", "exit")).returncode != 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 15)
            Path(self.path).unlink(missing_ok=True)

    def login_works(self) -> None:
        """Log in afresh beside the connection and leave; raise the cause if that does not work."""
        options = ["-o", "ControlPath=none", *_LOGIN, "-o", "BatchMode=yes", "-n", "-T"]
        code, stderr = run_showing(["ssh", *self.target(*options), "exit"], show=False)
        if code == 255:
            raise explain(stderr, self.attempt())

    def _login(self, interactive: bool) -> list[str]:
        options = ["-f", "-N", "-T", "-S", _escape(self.path), "-o", "ControlMaster=yes"]
        options += ["-o", f"ControlPersist={PERSIST}", *_LOGIN]
        if not interactive:
            options += ["-o", "BatchMode=yes"]
        return ["ssh", *self.target(*options)]

    def _pid(self) -> int | None:
        if not os.path.exists(self.path):
            return None
        done = _quiet(self.client("-O", "check"))
        found = re.search(rb"Master running \(pid=(\d+)\)", done.stderr)
        return int(found.group(1)) if found and done.returncode == 0 else None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # Two at once would be two logins, of which one is lost and never ends.
        with open(f"{self.path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


_LOGIN = [
    "-o", f"ConnectTimeout={CONNECT_TIMEOUT}",
    "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=3",
    # What a user has configured for their own logins to this host would take ports, or run twice.
    "-o", "ClearAllForwardings=yes",
    "-o", "PermitLocalCommand=no",
    "-o", "RemoteCommand=none",
    "-o", "ForwardX11=no",
]  # fmt: skip


def parse_settings(text: str) -> Mapping[str, tuple[str, ...]]:
    """Read the output of ``ssh -G``: keyword to its values, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found[key] = (*found.get(key, ()), value)
    return found


def _escape(path: str | Path) -> str:
    return str(path).replace("%", "%%")


def _quiet(argv: list[str], timeout: float = 20) -> subprocess.CompletedProcess[bytes]:
    """Run a local ssh that should answer at once, even on a busy machine, or has failed."""
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(argv, 255, error.stdout or b"", error.stderr or b"")
    except FileNotFoundError as error:
        raise HostError(
            "there is no ssh on this machine", hint="Install OpenSSH's client."
        ) from error
