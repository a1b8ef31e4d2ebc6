"""The tunnel of a session over a real sshd: it stands, breaks, comes back, and ends."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rsdat.config.models import Connection
from rsdat.errors import HostError, SessionError
from rsdat.host.base import SocketTarget, TcpTarget
from rsdat.host.diagnose import LoginRefused
from rsdat.host.ssh import SSHHost
from rsdat.session.process import Process, process
from rsdat.session.tunnel import (
    Standing,
    TunnelSpec,
    TunnelState,
    find_tunnel,
    list_tunnels,
    start_tunnel,
    stop_tunnel,
)
from rsdat.session.tunnel_model import tunnel_directory
from rsdat.session.tunnel_watch import Answer, Watch, ask, pauses


class _Lab(http.server.BaseHTTPRequestHandler):
    """Answers as JupyterLab's /api does."""

    def do_GET(self) -> None:
        body = b'{"version": "2.17.0"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def lab(own_places: Path) -> Iterator[Path]:
    path = own_places / "lab"
    with _UnixServer(str(path), _Lab) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield path
        server.shutdown()


@pytest.fixture
def spec(sshd: Any, lab: Path, free_port: int, own_places: Path) -> Iterator[TunnelSpec]:
    directory = own_places / "session"
    directory.mkdir()
    spec = TunnelSpec(
        session="quiet-otter",
        site="site",
        connection=Connection(host="login", ssh_config=str(sshd.ssh_config)),
        directory=str(directory),
        local_port=free_port,
        target=SocketTarget("node1", str(lab)),
    )
    yield spec
    stop_tunnel(spec.session)


def eventually(what: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s; log:\n{_log()}")


def _log() -> str:
    return (tunnel_directory() / "quiet-otter.log").read_text()


def _stands(spec: TunnelSpec) -> bool:
    return ask(spec.local_port, "/", 60) is Answer.YES


def _again(spec: TunnelSpec, before: TunnelState) -> TunnelState | None:
    """The tunnel once it stands on another connection than before and leads to JupyterLab."""
    state = _standing(spec, Standing.OPEN)
    return state if state is not None and state.holder != before.holder and _stands(spec) else None


def _standing(spec: TunnelSpec, wanted: Standing) -> TunnelState | None:
    state = find_tunnel(spec.session)
    return state if state is not None and state.standing is wanted else None


def _host(spec: TunnelSpec) -> SSHHost:
    return SSHHost("login", ssh_config=spec.connection.ssh_config, name="site")


def test_it_stands_when_starting_returns(spec: TunnelSpec) -> None:
    state = start_tunnel(spec)
    assert state.standing is Standing.OPEN
    assert _stands(spec)
    found = find_tunnel(spec.session)
    assert found == state
    assert list_tunnels() == [state]
    assert os.getsid(state.process.pid) != os.getsid(0)


def test_its_files_are_ours_alone_and_nothing_is_in_its_argv(spec: TunnelSpec) -> None:
    state = start_tunnel(spec)
    for file in tunnel_directory().iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    argv = Path(f"/proc/{state.process.pid}/cmdline").read_text().split("\0")
    assert argv[1:3] == ["-m", "rsdat.session.tunnel"]
    assert not any(argv[3:])


def test_starting_it_twice_is_one(spec: TunnelSpec) -> None:
    assert start_tunnel(spec) == start_tunnel(spec)


def test_another_target_replaces_it(spec: TunnelSpec, sshd: Any) -> None:
    first = start_tunnel(spec)
    second = start_tunnel(replace(spec, target=TcpTarget("127.0.0.1", sshd.port)))
    assert not first.process.alive()
    assert second.target == TcpTarget("127.0.0.1", sshd.port)
    assert second.holder is None


def test_stopping_leaves_no_process_and_is_harmless_twice(
    spec: TunnelSpec, own_places: Path, ssh_processes: Callable[[str], list[str]]
) -> None:
    state = start_tunnel(spec)
    assert stop_tunnel(spec.session)
    assert not state.process.alive()
    assert state.holder is not None
    assert not state.holder.alive()
    assert not stop_tunnel(spec.session)
    assert find_tunnel(spec.session) is None
    _host(spec).disconnect()
    eventually(lambda: not [p for p in ssh_processes(str(own_places)) if "sshd" not in p])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", spec.local_port))


def test_a_killed_tunnel_leaves_nothing_that_hinders_the_next(spec: TunnelSpec) -> None:
    state = start_tunnel(spec)
    os.kill(state.process.pid, signal.SIGKILL)
    eventually(lambda: find_tunnel(spec.session) is None)
    assert state.holder is not None
    again = start_tunnel(spec)
    assert again.process != state.process
    assert not state.holder.alive()
    assert _stands(spec)


def test_it_comes_back_when_the_connection_is_killed(spec: TunnelSpec) -> None:
    state = start_tunnel(spec)
    pid = _host(spec).control._pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    now = eventually(lambda: _again(spec, state))
    assert (now.process, now.local_port) == (state.process, state.local_port)


def test_it_comes_back_when_the_server_ends_its_connections(spec: TunnelSpec, sshd: Any) -> None:
    state = start_tunnel(spec)
    sshd.sever()
    eventually(lambda: _again(spec, state))


@pytest.mark.parametrize("kind", ["socket", "tcp"])
def test_it_comes_back_once_the_host_is_up_again(
    spec: TunnelSpec, sshd: Any, kind: str, tcp_lab: int
) -> None:
    if kind == "tcp":
        spec = replace(spec, target=TcpTarget("127.0.0.1", tcp_lab))
    state = start_tunnel(spec)
    sshd.stop()
    broken = eventually(lambda: _standing(spec, Standing.BROKEN))
    eventually(lambda: "refused the connection" in _log())
    assert broken.process == state.process
    sshd.start()
    eventually(lambda: _standing(spec, Standing.OPEN) and _stands(spec))


def test_it_waits_for_a_person_where_login_needs_one(spec: TunnelSpec, sshd: Any) -> None:
    start_tunnel(spec)
    keys = sshd.directory / "authorized_keys"
    good = keys.read_text()
    shutil.copy(sshd.directory / "other_key.pub", keys)
    sshd.sever()
    state = eventually(lambda: _standing(spec, Standing.NEEDS_LOGIN))
    assert "refused the login" in state.error
    # The key stands for the second factor that only a person has.
    keys.write_text(good)
    _host(spec).connect(interactive=False)
    eventually(lambda: _standing(spec, Standing.OPEN) and _stands(spec))


def test_it_says_that_jupyterlab_is_silent_and_keeps_the_way(spec: TunnelSpec, lab: Path) -> None:
    state = start_tunnel(spec)
    moved = lab.rename(lab.with_name("away"))
    silent = eventually(lambda: _standing(spec, Standing.BROKEN))
    assert silent.error == "JupyterLab does not answer"
    moved.rename(lab)
    back = eventually(lambda: _standing(spec, Standing.OPEN))
    assert back.holder == state.holder


def test_it_ends_with_its_session(
    spec: TunnelSpec, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = start_tunnel(replace(spec, ends=time.time() - 3600))
    assert _stands(spec)
    # Past its walltime, but it still answers: the queue may have been kind.
    lab.unlink()
    eventually(lambda: not state.process.alive())
    assert find_tunnel(spec.session) is None


@pytest.mark.parametrize("how", ["ended", "deleted"])
def test_it_ends_once_the_host_says_that_the_session_is_over(
    spec: TunnelSpec, lab: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for name, value in {"CHECK_EVERY": 0.05, "ASK_EVERY": 0.0}.items():
        monkeypatch.setattr(f"rsdat.session.tunnel_watch.{name}", value)
    said: list[Standing] = []

    def publish(standing: Standing, error: str | None, pid: int | None) -> None:
        # Saying the same again is nothing.
        if said[-1:] != [standing]:
            said.append(standing)
        if standing is Standing.OPEN and lab.exists():
            lab.unlink()
            if how == "ended":
                (Path(spec.directory) / "end.json").write_text("{}")
            else:
                Path(spec.directory).rmdir()

    host = _host(spec)
    Watch(spec, host, publish, print).run()
    assert said == [Standing.CONNECTING, Standing.OPEN, Standing.BROKEN]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", spec.local_port))


def test_a_failure_at_the_start_says_why_and_leaves_no_process(spec: TunnelSpec, sshd: Any) -> None:
    taken = f"port {spec.local_port} of this machine is taken"
    with (
        socket.create_server(("127.0.0.1", spec.local_port)),
        pytest.raises(HostError, match=taken),
    ):
        start_tunnel(spec)
    assert find_tunnel(spec.session) is None
    sshd.stop()
    with pytest.raises(HostError, match="refused the connection"):
        start_tunnel(spec)


def test_a_login_that_needs_a_person_is_told_apart_at_the_start(
    spec: TunnelSpec, sshd: Any
) -> None:
    shutil.copy(sshd.directory / "other_key.pub", sshd.directory / "authorized_keys")
    with pytest.raises(LoginRefused, match="refused the login"):
        start_tunnel(spec)


def test_an_id_that_is_a_path_is_refused(own_places: Path) -> None:
    with pytest.raises(SessionError, match="not the id"):
        find_tunnel("../../etc/passwd")


def test_a_state_file_of_another_time_names_nobody(spec: TunnelSpec) -> None:
    state = start_tunnel(spec)
    stop_tunnel(spec.session)
    # This process has that pid now, but it is not the tunnel.
    stale = replace(state, process=Process(os.getpid(), "another time"), holder=None)
    file = tunnel_directory() / "quiet-otter.json"
    file.write_text(stale.to_json())
    assert find_tunnel(spec.session) is None
    assert not stop_tunnel(spec.session)
    assert not file.exists()


def test_a_damaged_state_file_is_no_tunnel(own_places: Path) -> None:
    (tunnel_directory() / "quiet-otter.json").write_text("{")
    assert find_tunnel("quiet-otter") is None
    assert list_tunnels() == []


def test_values_survive_their_files() -> None:
    connection = SimpleNamespace(host="login", user="me", ssh_config=None)
    spec = TunnelSpec("s", "site", connection, "/d", 8888, TcpTarget("c1", 80), "/x/", 1.5)
    assert TunnelSpec.from_json(spec.to_json()) == spec
    state = TunnelState("s", "site", Process(1, "2"), 3, SocketTarget("c1", "/s"), Standing.OPEN)
    assert TunnelState.from_json(state.to_json()) == state
    assert json.loads(state.to_json())["standing"] == "open"


def test_pauses_grow_to_half_a_minute() -> None:
    steps = pauses()
    assert [next(steps) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_process_is_known_by_its_start() -> None:
    own = process(os.getpid())
    assert own is not None
    assert own.alive()
    with subprocess.Popen(["sleep", "1000"]) as child:
        other = process(child.pid)
        assert other is not None
        other.signal(signal.SIGKILL)
        child.wait()
    assert not other.alive()
    other.end()
    assert process(child.pid) is None


def test_ask_tells_a_closed_port_from_a_silent_one(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        assert ask(free_port, "/", 0.1) is Answer.SILENT
    assert ask(free_port, "/", 60) is Answer.CLOSED


@pytest.fixture
def tcp_lab() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Lab) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
