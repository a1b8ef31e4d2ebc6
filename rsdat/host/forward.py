"""The forwards that ssh holds: by a child of ours, or by the control connection."""

from __future__ import annotations

import collections
import contextlib
import os
import selectors
import socket
import subprocess
import threading
import time

from rsdat.errors import HostError
from rsdat.host.control import Control
from rsdat.host.diagnose import Attempt, HostTimeout, explain, port_taken
from rsdat.host.names import check_host

# ssh runs LocalCommand once its forwards listen, and not before: no need to try the port, which
# would already be traffic to the target.
_LISTENS = "rsdat-forward-listens"
LISTENING = ("-N", "-o", "ExitOnForwardFailure=yes", "-o", "PermitLocalCommand=yes",
             "-o", f"LocalCommand=echo {_LISTENS}")  # fmt: skip
#: Seconds to log in to a node and to listen.
OPEN_TIMEOUT = 30


class ChildForward:
    """A forward that an ssh child of this process holds; it ends with :meth:`close`.

    Parameters
    ----------
    argv
        An ssh with :data:`LISTENING` and ``-L`` among its options.
    """

    def __init__(self, local_port: int, argv: list[str], attempt: Attempt) -> None:
        self.local_port = local_port
        self._attempt = attempt
        # ssh complains whenever the target refuses; the last lines are enough, and an unread pipe
        # would block it.
        self._complaints: collections.deque[str] = collections.deque(maxlen=30)
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C at the terminal is for the command, not for its forwards.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="ssh-complaints", daemon=True)
        self._reader.start()
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The ssh that holds the forward."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether ssh is there; it ends itself when the node stops answering (45 s)."""
        return self._child.poll() is None

    def close(self) -> None:
        """End ssh and its way through the login host."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()
        self._reader.join(1)
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None and not self._reader.is_alive():
                pipe.close()

    def _read(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._complaints.append(line.decode(errors="replace"))

    def _wait_until_it_listens(self) -> None:
        assert self._child.stdout is not None
        pipe, text = self._child.stdout.fileno(), b""
        deadline = time.monotonic() + OPEN_TIMEOUT
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while _LISTENS.encode() not in text:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise HostTimeout(
                        f"no forward to {self._attempt.host} after {OPEN_TIMEOUT} s",
                        hint="Try again; the site's `rsdat doctor` shows which route works.",
                    )
                chunk = os.read(pipe, 4096)
                if not chunk:
                    self._child.wait()
                    self._reader.join(5)
                    raise explain("".join(self._complaints), self._attempt)
                text += chunk


class ControlForward:
    """A forward that the control connection holds; it needs no login and no process of its own."""

    def __init__(self, local_port: int, control: Control, host: str, port: int) -> None:
        self.local_port = local_port
        self._control = control
        name = check_host(host)
        target = f"[{name}]" if ":" in name and not name.startswith("[") else name
        self._spec = f"127.0.0.1:{local_port}:{target}:{port}"
        self._closed = False
        # The same forward asked for again is the same forward: one that a killed process has left
        # behind is taken over.
        done = self._ask("forward")
        if done.returncode != 0:
            if _taken(local_port):
                raise port_taken(local_port)
            raise explain(done.stderr.decode(errors="replace"), control.attempt())

    @property
    def pid(self) -> None:
        """None: it is part of another process."""

    def alive(self) -> bool:
        """Whether the control connection is there."""
        return not self._closed and self._control.running()

    def close(self) -> None:
        """Stop listening; connections that are open go on until they end."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(HostError):
                self._ask("cancel")

    def _ask(self, what: str) -> subprocess.CompletedProcess[bytes]:
        argv = self._control.client("-O", what, "-L", self._spec)
        try:
            return subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise HostTimeout(
                f"the connection to {self._control.host} does not answer",
                hint="Try again; `rsdat connect` starts a new one.",
            ) from error


def _taken(port: int) -> bool:
    # The control connection only says that it failed; its reason is in a log that nobody reads.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
