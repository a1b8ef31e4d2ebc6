"""The tunnel of a session: one background process on the laptop that keeps a forward standing.

It outlives the command that started it, comes back by itself on the same port after a break, and
ends when the session is over. This module starts, finds and stops it; what it does all day is in
:mod:`rsdat.session.tunnel_watch`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rsdat.errors import HostError, RsdatError
from rsdat.host.diagnose import HostTimeout, LoginRefused
from rsdat.session.files import write_atomically
from rsdat.session.process import process
from rsdat.session.tunnel_model import (
    Standing,
    TunnelFiles,
    TunnelSpec,
    TunnelState,
    read_state,
    tunnel_directory,
)

__all__ = [
    "Standing",
    "TunnelSpec",
    "TunnelState",
    "find_tunnel",
    "list_tunnels",
    "start_tunnel",
    "stop_tunnel",
]

#: Seconds for the first opening: a login, a hop to the node, and the forward.
FIRST_TIMEOUT = 90


# -- for the commands


def start_tunnel(spec: TunnelSpec) -> TunnelState:
    """Start the session's tunnel and wait until it stands; the same one running is good as it is.

    Raises
    ------
    HostError
        When it could not be opened (no process is left behind); a
        :class:`~rsdat.host.diagnose.LoginRefused` when a person has to log in first.
    """
    present = find_tunnel(spec.session)
    if (
        present is not None
        and present.standing is Standing.OPEN
        and (present.local_port, present.target) == (spec.local_port, spec.target)
    ):
        return present
    stop_tunnel(spec.session)
    files = TunnelFiles(spec.session)
    with open(os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rsdat.session.tunnel"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    with child:
        report = _first_report(child, spec)
    if "login" in report:
        kind = LoginRefused if report["login"] else HostError
        raise kind(report["error"], hint=report["hint"])
    return TunnelState.from_json(json.dumps(report))


def find_tunnel(session: str) -> TunnelState | None:
    """The session's tunnel, if its process runs."""
    state = read_state(TunnelFiles(session).state)
    return state if state is not None and state.process.alive() else None


def list_tunnels() -> list[TunnelState]:
    """All tunnels whose processes run."""
    states = (read_state(file) for file in sorted(tunnel_directory().glob("*.json")))
    return [state for state in states if state is not None and state.process.alive()]


def stop_tunnel(session: str) -> bool:
    """End the session's tunnel and clear away what a killed one has left; say whether one ran.

    Harmless when there is none. The control connection to the host stays: it is shared.
    """
    files = TunnelFiles(session)
    state = read_state(files.state)
    if state is None:
        return False
    running = state.process.alive()
    state.process.end()
    # A tunnel that was killed could not end the ssh that held its port.
    if state.holder is not None:
        state.holder.end()
    files.state.unlink(missing_ok=True)
    return running


def _first_report(child: subprocess.Popen[bytes], spec: TunnelSpec) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(spec.to_json().encode())
    ready, _, _ = select.select([child.stdout], [], [], FIRST_TIMEOUT)
    line = child.stdout.readline() if ready else b""
    if line:
        report: dict[str, Any] = json.loads(line)
        return report
    stop_tunnel(spec.session)
    log = TunnelFiles(spec.session).log
    if not ready:
        raise HostTimeout(
            f"the tunnel of {spec.session} did not open within {FIRST_TIMEOUT} s",
            hint=f"Its log is {log}",
        )
    raise HostError(f"the tunnel of {spec.session} ended at once", hint=f"Its log is {log}")


# -- the process itself


class _Reporter:
    """Tells the state file, the log, and once the command that waits."""

    def __init__(self, spec: TunnelSpec) -> None:
        self._spec = spec
        self._files = TunnelFiles(spec.session)
        self._waiting = True
        self._last: tuple[Standing, str | None, int | None] | None = None

    def publish(self, standing: Standing, error: str | None = None, pid: int | None = None) -> None:
        """Say how the tunnel stands; saying the same twice is nothing."""
        if self._last == (standing, error, pid):
            return
        self._last = (standing, error, pid)
        own = process(os.getpid())
        assert own is not None
        spec = self._spec
        state = TunnelState(
            session=spec.session,
            site=spec.site,
            process=own,
            local_port=spec.local_port,
            target=spec.target,
            standing=standing,
            error=error,
            holder=process(pid) if pid else None,
            since=time.time(),
        )
        write_atomically(self._files.state, state.to_json())
        self.note(f"{standing}{f': {error}' if error else ''}")
        if standing is Standing.OPEN:
            self.answer(asdict(state))

    def answer(self, report: Mapping[str, Any]) -> None:
        """Tell the command that started us, and let it go."""
        if self._waiting:
            self._waiting = False
            try:
                os.write(1, json.dumps(report).encode() + b"\n")
            except BrokenPipeError:
                self.note("nobody waits any more")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def note(self, text: str) -> None:
        """Write a line to the log."""
        print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)

    def leave(self) -> None:
        """Remove the state file."""
        self._files.state.unlink(missing_ok=True)


def main() -> None:
    """Run the tunnel that is described on stdin."""
    spec = TunnelSpec.from_json(sys.stdin.read())
    # Not a child of the command: nobody would collect it when it ends.
    if os.fork():
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    reporter = _Reporter(spec)
    with open(TunnelFiles(spec.session).lock, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"another tunnel of {spec.session} is just starting"
            failure: Mapping[str, Any] | None = _failure(text, "Try again.")
        else:
            try:
                failure = _watch(spec, reporter)
            finally:
                reporter.leave()
    # Only now that the lock is free: whoever is told may start another tunnel at once.
    if failure is not None:
        reporter.answer(failure)


def _failure(text: str, hint: str | None, *, login: bool = False) -> Mapping[str, Any]:
    return {"error": text, "hint": hint, "login": login}


def _watch(spec: TunnelSpec, reporter: _Reporter) -> Mapping[str, Any] | None:
    """Keep the tunnel until its session is over; what to report when that was not possible."""
    from rsdat.host import open_host
    from rsdat.session.tunnel_watch import Watch

    try:
        host = open_host(spec.connection, name=spec.site)
        Watch(spec, host, reporter.publish, reporter.note).run()
    except RsdatError as error:
        reporter.note(f"gave up: {error.message}")
        return _failure(error.message, error.hint, login=isinstance(error, LoginRefused))
    return None


if __name__ == "__main__":
    main()
