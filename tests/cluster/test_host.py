"""Hosts and tunnels on the virtual cluster: nodes behind a login host, and a link that is cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsdat.config.models import Connection
from rsdat.errors import HostError
from rsdat.host import open_host
from rsdat.host.base import SocketTarget, Target, TcpTarget
from rsdat.host.ssh import SSHHost
from rsdat.session.tunnel import Standing, TunnelSpec, find_tunnel, start_tunnel, stop_tunnel
from rsdat.session.tunnel_watch import Answer, ask
from tests.cluster.conftest import eventually

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
VC = ROOT / "deploy/virtual-cluster/vc"

# Serves HTTP on a unix socket and on a port, says which, and ends with its input.
LAB = """
import http.server, os, socketserver, sys, tempfile, threading

class Lab(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def address_string(self):
        return ""
    def log_message(self, *_):
        pass

with tempfile.TemporaryDirectory() as directory:
    unix = socketserver.ThreadingUnixStreamServer(directory + "/s", Lab)
    tcp = http.server.ThreadingHTTPServer((sys.argv[1], 0), Lab)
    for server in unix, tcp:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(directory + "/s", tcp.server_port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def host(virtual_cluster: Any, own_places: Path) -> Iterator[SSHHost]:
    connection = Connection(host="rsdat-virtual", ssh_config=str(virtual_cluster.ssh_config))
    found = open_host(connection, name="virtual")
    assert isinstance(found, SSHHost)
    yield found
    found.disconnect()


@pytest.fixture
def targets(virtual_cluster: Any) -> Iterator[dict[str, Target]]:
    """A small server on c1, by both ways to reach it."""
    address = virtual_cluster.facts["addresses"]["c1"]
    argv = [VC, "run", "c1", "--user", "researcher", "--", "/usr/bin/python3", "-c", LAB, address]
    environment = {**os.environ, "RSDAT_VC_NAME": virtual_cluster.name}
    with subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        path, port = process.stdout.readline().split()
        yield {"socket": SocketTarget("c1", path), "tcp": TcpTarget("c1", int(port))}
        process.stdin.close()


def test_the_login_host_is_named_and_slurm_is_found(host: SSHHost) -> None:
    host.connect(interactive=False)
    assert host.resolved == "login"
    assert host.run(["sinfo", "--version"]).stdout.startswith("slurm")
    assert host.run(["id", "-un"]).stdout == "researcher\n"


def test_nodes_are_reached_through_the_login_host(host: SSHHost, own_places: Path) -> None:
    assert host.reaches("c1")
    assert not host.reaches("c99")
    assert "virtual-c1 " in (own_places / "state/rsdat/known_nodes").read_text()


def test_nodes_without_ssh_are_not_reached(host: SSHHost, virtual_cluster: Any) -> None:
    host.connect(interactive=False)
    with virtual_cluster.without_node_ssh():
        assert not host.reaches("c1")
        with pytest.raises(HostError, match="node c1 of virtual"):
            host.forward(1, SocketTarget("c1", "/x"))


@pytest.mark.parametrize("route", ["socket", "tcp"])
def test_a_forward_leads_to_a_node(
    host: SSHHost, targets: dict[str, Target], free_port: int, route: str
) -> None:
    forward = host.forward(free_port, targets[route])
    assert ask(free_port, "/", 60) is Answer.YES
    forward.close()
    assert ask(free_port, "/", 60) is Answer.CLOSED


ON_LOGIN = """
import sys
from rsdat.host import open_host
from rsdat.host.base import SocketTarget, TcpTarget
from rsdat.session.tunnel_watch import ask
host = open_host("login")
print(type(host).__name__, host.reaches("login"), host.reaches("c1"), host.reaches("c99"))
socket, port = SocketTarget("c1", sys.argv[1]), TcpTarget("c1", int(sys.argv[2]))
for port, target in (5001, socket), (5002, port):
    forward = host.forward(port, target)
    print(ask(port, "/", 60).name, forward.alive())
    forward.close()
    print(ask(port, "/", 60).name, forward.alive())
"""


def test_on_the_login_node_itself_no_ssh_to_it_is_needed(
    virtual_cluster: Any, targets: dict[str, Any], researcher_home: Path
) -> None:
    # Copied, because the cluster's users may not be able to read this clone.
    with tempfile.TemporaryDirectory(dir=researcher_home, prefix="host-") as name:
        os.chmod(name, 0o755)
        shutil.copytree(ROOT / "rsdat", Path(name) / "rsdat")
        done = virtual_cluster.run(
            "login",
            *("env", f"PYTHONPATH=/home/researcher/{Path(name).name}", "PYTHONDONTWRITEBYTECODE=1"),
            f"XDG_STATE_HOME=/tmp/{Path(name).name}",
            *("/usr/bin/python3", "-c", ON_LOGIN),
            targets["socket"].path,
            str(targets["tcp"].port),
            user="researcher",
        )
    lines = done.stdout.splitlines()
    assert lines[0] == "LocalHost True True False"
    assert lines[1:] == ["YES True", "CLOSED False"] * 2


def test_tunnels_come_back_after_the_link_was_cut(
    host: SSHHost, targets: dict[str, Target], virtual_cluster: Any
) -> None:
    """By both routes at once, as two sessions' tunnels share one connection to the login host."""
    connection = Connection(host="rsdat-virtual", ssh_config=str(virtual_cluster.ssh_config))
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in (one, two)]
    specs = [
        TunnelSpec(
            session=f"cut-{route}",
            site="virtual",
            connection=connection,
            directory="~/",
            local_port=port,
            target=target,
        )
        for port, (route, target) in zip(ports, targets.items(), strict=True)
    ]

    def all_are(standing: Standing) -> bool:
        return all(_standing(spec) is standing for spec in specs)

    def all_lead_on() -> bool:
        return all(ask(port, "/", 60) is Answer.YES for port in ports)

    with contextlib.ExitStack() as stack:
        for spec in specs:
            stack.callback(stop_tunnel, spec.session)
        before = [start_tunnel(spec) for spec in specs]
        assert all_lead_on()
        with virtual_cluster.cut("login"):
            eventually("the tunnels break", lambda: all_are(Standing.BROKEN))
        # They may say so of a connection that comes to life again for a moment.
        eventually("the tunnels lead on", all_lead_on)
        eventually("the tunnels are back", lambda: all_are(Standing.OPEN))
        after = [find_tunnel(spec.session) for spec in specs]
        assert [one and (one.process, one.local_port) for one in after] == [
            (one.process, one.local_port) for one in before
        ]


def _standing(spec: TunnelSpec) -> Standing | None:
    state = find_tunnel(spec.session)
    return state.standing if state is not None else None
