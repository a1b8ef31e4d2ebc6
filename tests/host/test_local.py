"""This machine as a host: what runs, what is written, what a forward leads to."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from rsdat.errors import HostError
from rsdat.host.base import SocketTarget, TcpTarget
from rsdat.host.local import LocalHost

HOST = LocalHost()


def test_arguments_and_input_arrive_as_given() -> None:
    assert HOST.run(["printf", "%s|", "$(id)", "a b", "ü\n"]).stdout == "$(id)|a b|ü\n|"
    content = bytes(range(256)) * 4096
    assert HOST.run(["wc", "-c"], input=content).stdout.split() == [str(len(content))]


def test_a_failure_names_the_command_and_its_last_words() -> None:
    with pytest.raises(HostError, match=r"`sh -c .*` failed on localhost \(status 3\): bad luck"):
        HOST.run(["sh", "-c", "echo first >&2; echo bad luck >&2; exit 3"])
    assert HOST.run(["false"], check=False).returncode == 1


def test_a_program_that_is_not_there_is_as_in_a_shell() -> None:
    assert HOST.run(["no-such-program"], check=False).returncode == 127
    with pytest.raises(HostError, match="status 127") as caught:
        HOST.run(["no-such-program"])
    assert "PATH" in (caught.value.hint or "")


def test_death_by_a_signal_is_as_in_a_shell() -> None:
    assert HOST.run(["sh", "-c", "kill -9 $$"], check=False).returncode == 137


def test_a_command_that_does_not_end_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"sleep 1000. on localhost did not end within 0.1 s"):
        HOST.run(["sleep", "1000"], timeout=0.1)


def test_a_command_without_input_reads_nothing_of_ours() -> None:
    assert HOST.run(["cat"]).stdout == ""


def test_lines_come_while_the_command_runs() -> None:
    lines = HOST.stream(["sh", "-c", "echo one; echo two; exec sleep 1000"])
    assert next(lines) == "one"
    assert next(lines) == "two"
    lines.close()  # type: ignore[attr-defined]


def test_an_abandoned_stream_kills_its_command(tmp_path: Path) -> None:
    lines = HOST.stream(["sh", "-c", "echo $$; exec sleep 1000"])
    pid = int(next(lines))
    lines.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stream_whose_command_fails_says_so_at_its_end() -> None:
    lines = HOST.stream(["sh", "-c", "echo out; echo why >&2; exit 4"])
    assert next(lines) == "out"
    with pytest.raises(HostError, match=r"status 4.*why"):
        next(lines)


def test_a_stream_gives_its_input() -> None:
    assert list(HOST.stream(["cat"], input=b"a\nb")) == ["a", "b"]


def test_put_writes_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "ü x"
    HOST.put(b"\0old", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    HOST.put(b"\0new", str(file), mode=0o750)
    assert HOST.get(str(file)) == b"\0new"
    assert file.stat().st_mode & 0o777 == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["ü x"]


def test_put_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(HostError, match="directory"):
        HOST.put(b"x", str(tmp_path / "taken"))
    with pytest.raises(HostError, match="No such file"):
        HOST.put(b"x", str(tmp_path / "absent" / "file"))
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_the_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    HOST.put(b"x", "~/file")
    assert HOST.get("~/file") == b"x" == (tmp_path / "file").read_bytes()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HOST.get(str(tmp_path / "absent"))


def _echo_once(server: socket.socket) -> threading.Thread:
    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as stream:
            connection.sendall(stream.read())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def _through(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            return stream.read()


def test_a_forward_leads_to_an_address(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _echo_once(server)
        forward = HOST.forward(free_port, TcpTarget(*server.getsockname()))
        content = os.urandom(3_000_000)
        assert _through(free_port, content) == content
        assert forward.alive()
        forward.close()
        forward.close()
    assert not forward.alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port))


def test_a_forward_leads_to_a_socket_of_this_machine(own_places: Path, free_port: int) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(own_places / "s"))
        server.listen()
        _echo_once(server)
        target = SocketTarget(socket.gethostname(), str(own_places / "s"))
        forward = HOST.forward(free_port, target)
        assert _through(free_port, b"hello") == b"hello"
        forward.close()


def test_a_forward_to_nothing_hangs_up_and_stays(own_places: Path, free_port: int) -> None:
    target = SocketTarget(socket.gethostname(), str(own_places / "absent"))
    forward = HOST.forward(free_port, target)
    assert _through(free_port, b"") == b""
    assert forward.alive()
    forward.close()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} of this machine is taken"):
            HOST.forward(port, TcpTarget("127.0.0.1", 1))


def test_this_machine_reaches_itself_but_not_a_stranger(own_places: Path) -> None:
    assert HOST.reaches(socket.gethostname())
    assert not HOST.reaches("no-such-node.invalid")


def test_connecting_is_nothing() -> None:
    HOST.connect()
    assert HOST.connected()
