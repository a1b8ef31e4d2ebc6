"""A host over ssh, against a real sshd: commands, files, forwards, and what breaks."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsdat.errors import ConfigError, HostError
from rsdat.host.base import SocketTarget, TcpTarget
from rsdat.host.diagnose import LoginRefused
from rsdat.host.ssh import SSHHost
from tests.conftest import alive, send

NOISE = """#!/bin/sh
echo "Welcome to the cluster"
printf 'no newline at the end'
echo "module: command not found" >&2
/bin/bash -c "$SSH_ORIGINAL_COMMAND"
status=$?
echo "Goodbye"
echo "logout" >&2
exit $status
"""


@pytest.fixture
def host(sshd: Any) -> SSHHost:
    return SSHHost("login", ssh_config=str(sshd.ssh_config), name="site")


def _control_pid(host: SSHHost) -> int:
    pid = host.control._pid()
    assert pid is not None
    return pid


# -- logging in


def test_connecting_starts_one_connection_that_is_shared(host: SSHHost, sshd: Any) -> None:
    assert not host.connected()
    host.connect(interactive=False)
    pid = _control_pid(host)
    other = SSHHost("login", ssh_config=str(sshd.ssh_config))
    other.connect(interactive=False)
    assert _control_pid(other) == pid
    assert host.resolved == host.run(["hostname", "-f"]).stdout.strip()


def test_two_at_once_log_in_once(host: SSHHost, sshd: Any) -> None:
    hosts = [SSHHost("login", ssh_config=str(sshd.ssh_config)) for _ in range(4)]
    threads = [threading.Thread(target=h.connect, kwargs={"interactive": False}) for h in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({_control_pid(h) for h in hosts}) == 1


def test_the_first_command_connects_by_itself(host: SSHHost) -> None:
    assert host.run(["echo", "hello"]).stdout == "hello\n"


def test_disconnecting_leaves_no_process(host: SSHHost, own_places: Path) -> None:
    host.connect(interactive=False)
    pid = _control_pid(host)
    host.disconnect()
    host.disconnect()
    assert not host.connected()
    deadline = time.monotonic() + 60
    while alive(pid):  # ssh has said goodbye, and is about to end
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_passphrase_is_asked_once_on_the_terminal(sshd: Any) -> None:
    key = sshd.directory / "user_key"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", key], check=True)
    host = SSHHost("login", ssh_config=str(sshd.ssh_config))
    with pytest.raises(LoginRefused):
        host.connect(interactive=False)
    program = (
        "import sys; from rsdat.host.ssh import SSHHost; "
        "SSHHost('login', ssh_config=sys.argv[1]).connect(); print('connected')"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", program, str(sshd.ssh_config)])
    said = _read_until(terminal, "Enter passphrase")
    os.write(terminal, b"open sesame\n")
    said += _read_until(terminal, "connected")
    os.waitpid(pid, 0)
    os.close(terminal)
    assert said.count("Enter passphrase") == 1
    host.connect(interactive=False)
    assert host.run(["echo", "hello"]).stdout == "hello\n"


def _read_until(terminal: int, word: str) -> str:
    text = ""
    while word not in text:
        text += os.read(terminal, 1024).decode(errors="replace")
    return text


def test_the_wrong_key_is_refused_in_plain_words(host: SSHHost, sshd: Any) -> None:
    shutil.copy(sshd.directory / "other_key.pub", sshd.directory / "authorized_keys")
    with pytest.raises(LoginRefused, match=r"login refused the login \(it takes: publickey") as e:
        host.connect(interactive=False)
    assert f"keys offered: {sshd.directory}/user_key" in e.value.message
    assert "registered" in (e.value.hint or "")


def test_a_changed_host_key_is_refused(host: SSHHost, sshd: Any) -> None:
    sshd.stop()
    sshd.new_key("host_key")
    sshd.start()
    with pytest.raises(HostError, match=f"is not the one in {sshd.known_hosts}:1"):
        host.connect(interactive=False)


def test_an_unknown_host_key_is_not_accepted_by_nobody(host: SSHHost, sshd: Any) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(LoginRefused, match="not known yet"):
        host.connect(interactive=False)


def test_a_server_that_is_down(host: SSHHost, sshd: Any) -> None:
    sshd.stop()
    with pytest.raises(HostError, match="refused the connection"):
        host.run(["true"])


def test_an_unknown_name(own_places: Path) -> None:
    with pytest.raises(HostError, match=r"no-such-host\.invalid"):
        SSHHost("no-such-host.invalid").connect(interactive=False)


def test_an_ssh_configuration_that_is_not_there(own_places: Path) -> None:
    with pytest.raises(HostError, match=r"/no/such cannot be read: No such file"):
        SSHHost("login", ssh_config="/no/such").connect(interactive=False)


def test_a_name_that_is_an_option_never_reaches_ssh() -> None:
    with pytest.raises(ConfigError):
        SSHHost("-oProxyCommand=touch /tmp/pwned")


def test_without_ssh_on_this_machine(own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="no ssh on this machine"):
        SSHHost("login").connect(interactive=False)


def test_what_a_user_has_configured_for_their_own_logins_stays_out(
    host: SSHHost, sshd: Any, free_port: int
) -> None:
    with sshd.ssh_config.open("a") as file:
        file.write(f"RemoteCommand tmux attach\nRequestTTY force\nLocalForward {free_port} x:1\n")
        file.write(f"LocalCommand touch {sshd.directory}/ran\nPermitLocalCommand yes\n")
    assert host.run(["echo", "hello"]).stdout == "hello\n"
    assert not (sshd.directory / "ran").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port))


# -- commands


def test_arguments_arrive_as_given(host: SSHHost) -> None:
    words = ["$(id)", "`id`", "a'b", 'c"d', "new\nline", "hey!", "\\", "käse 卫星", "", "%h", "*"]
    done = host.run(["printf", "[%s]", *words])
    assert done.stdout == "".join(f"[{w}]" for w in words)
    assert done.argv == ("printf", "[%s]", *words)


def test_the_status_and_the_complaint_are_the_commands_own(host: SSHHost) -> None:
    done = host.run(["sh", "-c", "echo out; echo err >&2; exit 255"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (255, "out\n", "err\n")
    with pytest.raises(HostError, match=r"failed on site \(status 255\): err"):
        host.run(["sh", "-c", "echo err >&2; exit 255"])


def test_five_megabytes_of_binary_input(host: SSHHost) -> None:
    content = os.urandom(5_000_000)
    digest = subprocess.run(["sha256sum"], input=content, capture_output=True, check=True).stdout
    assert host.run(["sha256sum"], input=content).stdout == digest.decode()


def test_a_command_that_does_not_end_is_a_timeout(host: SSHHost) -> None:
    host.connect(interactive=False)
    with pytest.raises(TimeoutError, match=r"`sleep 60` on site did not end within 0.2 s"):
        host.run(["sleep", "60"], timeout=0.2)
    assert host.run(["echo", "still there"]).stdout == "still there\n"


def test_noise_of_start_up_files_is_removed(host: SSHHost, sshd: Any) -> None:
    wrapper = sshd.directory / "noisy"
    wrapper.write_text(NOISE)
    wrapper.chmod(0o755)
    sshd.stop()
    sshd.start(f"ForceCommand {wrapper}")
    done = host.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert list(host.stream(["seq", "2"])) == ["1", "2"]
    host.put(b"\0x", str(sshd.directory / "file"))
    assert host.get(str(sshd.directory / "file")) == b"\0x"


def test_noise_of_bash_env_is_removed(host: SSHHost, sshd: Any) -> None:
    noise = sshd.directory / "noise"
    noise.write_text("echo from BASH_ENV; echo oops >&2\n")
    sshd.stop()
    sshd.start('ForceCommand /bin/bash -c "$SSH_ORIGINAL_COMMAND"', BASH_ENV=noise)
    done = host.run(["echo", "clean"])
    assert (done.stdout, done.stderr) == ("clean\n", "")


@pytest.mark.parametrize("shell", ["csh", "fish", "zsh", "dash"])
def test_other_login_shells(host: SSHHost, sshd: Any, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    sshd.stop()
    sshd.start(f'ForceCommand {shell} -c "$SSH_ORIGINAL_COMMAND"', SHELL=f"/usr/bin/{shell}")
    assert host.run(["printf", "%s", "it's\n$HOME!"]).stdout == "it's\n$HOME!"
    assert host.resolved


def test_a_login_shell_that_leaves_at_once(host: SSHHost, sshd: Any) -> None:
    sshd.stop()
    sshd.start("ForceCommand echo This account is closed >&2; exit 1")
    with pytest.raises(HostError, match=r"without running `true`: This account is closed") as e:
        host.run(["true"])
    assert "bashrc" in (e.value.hint or "")


def test_commands_of_the_path_of_a_login_are_found(host: SSHHost, sshd: Any) -> None:
    home = sshd.directory / "home"
    (home / "bin").mkdir(parents=True)
    (home / ".profile").write_text('echo "Welcome"\nPATH="$HOME/bin:$PATH"\n')
    (home / "bin" / "queue").write_text("#!/bin/sh\necho from the profile\n")
    (home / "bin" / "queue").chmod(0o755)
    sshd.stop()
    sshd.start(f'ForceCommand HOME={home} SHELL=/bin/sh /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    assert host.run(["queue"]).stdout == "from the profile\n"


# -- streams


def test_lines_come_while_the_command_runs(host: SSHHost) -> None:
    lines = host.stream(["sh", "-c", "echo one; echo ü; exec sleep 60"])
    assert next(lines) == "one"
    assert next(lines) == "ü"
    lines.close()  # type: ignore[attr-defined]


def test_an_abandoned_stream_kills_its_command_there(host: SSHHost, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The reader of the fifo sees its end only once the command is gone.
    lines = host.stream(["sh", "-c", f"exec 9>{fifo}; echo ready; exec sleep 60"])
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert next(lines) == "ready"
    lines.close()  # type: ignore[attr-defined]
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_stream_that_fails_says_so_at_its_end(host: SSHHost) -> None:
    lines = host.stream(["sh", "-c", "echo out; echo why >&2; exit 4"])
    assert next(lines) == "out"
    with pytest.raises(HostError, match=r"failed on site \(status 4\): why"):
        next(lines)


def test_a_stream_gives_its_input(host: SSHHost) -> None:
    content = b"line\n" * 100_000
    assert sum(1 for _ in host.stream(["cat"], input=content)) == 100_000


def test_a_connection_that_breaks_under_a_stream_is_an_error(host: SSHHost, sshd: Any) -> None:
    lines = host.stream(["sh", "-c", "echo one; exec sleep 60"])
    assert next(lines) == "one"
    sshd.sever()
    with pytest.raises(HostError, match="broke while `sh` was running"):
        next(lines)


# -- files


def test_put_and_get(host: SSHHost, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    file = tmp_path / "it's ü"
    host.put(b"old", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    host.put(content, str(file), mode=0o640)
    assert host.get(str(file)) == content == file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o640
    host.put(b"", str(file))
    assert host.get(str(file)) == b""
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_the_tilde_is_the_home_there(host: SSHHost, sshd: Any) -> None:
    home = sshd.directory / "home"
    home.mkdir()
    sshd.stop()
    sshd.start(f'ForceCommand HOME={home} /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    host.put(b"x", "~/file")
    assert host.get("~/file") == b"x" == (home / "file").read_bytes()


def test_put_that_fails_leaves_nothing_behind(host: SSHHost, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(HostError, match=r"taken could not be written on site: is a directory"):
        host.put(b"x", str(tmp_path / "taken"))
    with pytest.raises(HostError, match="No such file"):
        host.put(b"x", str(tmp_path / "absent" / "file"))
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
    assert list((tmp_path / "taken").iterdir()) == []


def test_a_file_that_is_not_there(host: SSHHost, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file on site"):
        host.get(str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        host.get(str(tmp_path / "absent" / "deeper"))


# -- what breaks


def test_a_killed_connection_is_started_again(host: SSHHost) -> None:
    host.connect(interactive=False)
    pid = _control_pid(host)
    os.kill(pid, signal.SIGKILL)
    assert host.run(["echo", "back"]).stdout == "back\n"
    assert _control_pid(host) != pid


def test_a_command_whose_fate_is_unknown_is_not_run_again(
    host: SSHHost, sshd: Any, tmp_path: Path
) -> None:
    host.connect(interactive=False)
    fifo, ran = tmp_path / "fifo", tmp_path / "ran"
    os.mkfifo(fifo)

    def sever() -> None:
        fifo.read_text()
        sshd.sever()

    thread = threading.Thread(target=sever)
    thread.start()
    with pytest.raises(HostError, match="whether it has done its work is not known"):
        host.run(["sh", "-c", f"echo x >>{ran}; echo >{fifo}; exec sleep 60"])
    thread.join()
    assert ran.read_text() == "x\n"


def test_a_silent_connection_is_replaced(
    host: SSHHost, sshd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsdat.host.ssh.PROBE_TIMEOUT", 0.5)
    host.connect(interactive=False)
    pid = _control_pid(host)
    with _frozen(sshd):
        host.connect(interactive=False)
        assert _control_pid(host) != pid
        assert host.run(["echo", "back"]).stdout == "back\n"


def test_a_silent_connection_is_kept_where_nobody_could_log_in_again(
    host: SSHHost, sshd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsdat.host.ssh.PROBE_TIMEOUT", 0.5)
    host.connect(interactive=False)
    pid = _control_pid(host)
    shutil.copy(sshd.directory / "other_key.pub", sshd.directory / "authorized_keys")
    with _frozen(sshd), pytest.raises(LoginRefused):
        host.connect(interactive=False)
    assert _control_pid(host) == pid
    assert host.run(["echo", "awake"]).stdout == "awake\n"


class _frozen:
    """Stop the processes that serve the present connections, as a network that drops packets."""

    def __init__(self, sshd: Any) -> None:
        self.pids = sshd.connections()

    def __enter__(self) -> None:
        for pid in self.pids:
            send(pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self.pids:
            send(pid, signal.SIGCONT)


def test_what_was_learnt_belongs_to_one_connection(host: SSHHost) -> None:
    host.connect(interactive=False)
    info = Path(f"{host.control.path}.json")
    assert info.stat().st_mode & 0o777 == 0o600
    assert json.loads(info.read_text())["host"] == host.resolved
    host.disconnect()
    assert host.resolved is None


def test_more_commands_at_once_than_the_host_allows(host: SSHHost, sshd: Any) -> None:
    sshd.stop()
    sshd.start("MaxSessions 1")
    lines = host.stream(["sh", "-c", "echo one; exec sleep 60"])
    assert next(lines) == "one"
    with pytest.raises(HostError, match="another command at the same time"):
        host.run(["true"])
    lines.close()  # type: ignore[attr-defined]


# -- forwards


def test_a_node_is_reached_through_the_login_host(
    host: SSHHost, sshd: Any, own_places: Path
) -> None:
    assert host.reaches("node1")
    assert not host.reaches("no-such-node")
    assert "site-node1 ssh-ed25519" in (own_places / "state/rsdat/known_nodes").read_text()


def test_a_node_with_another_key_is_not_entered(host: SSHHost, own_places: Path, sshd: Any) -> None:
    assert host.reaches("node1")
    key = (sshd.directory / "other_key.pub").read_text()
    (own_places / "state/rsdat/known_nodes").write_text(f"site-node1 {key}")
    assert not host.reaches("node1")
    with pytest.raises(HostError, match=r"node node1 of site is not the one in .*known_nodes:1"):
        host.forward(1, SocketTarget("node1", "/x"))


def test_a_forward_leads_to_a_socket_on_a_node(
    host: SSHHost, listener: socket.socket, own_places: Path, free_port: int
) -> None:
    forward = host.forward(free_port, SocketTarget("node1", str(own_places / "listener")))
    assert forward.alive()
    assert _banner(free_port, 21) == b"hello from the socket"
    forward.close()
    forward.close()
    assert not forward.alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port))


def test_a_forward_leads_to_an_address_seen_from_the_login_host(
    host: SSHHost, sshd: Any, free_port: int
) -> None:
    forward = host.forward(free_port, TcpTarget("127.0.0.1", sshd.port))
    assert forward.alive()
    assert _banner(free_port, 7) == b"SSH-2.0"
    # The same one again, as after a process that was killed before it could close.
    again = host.forward(free_port, TcpTarget("127.0.0.1", sshd.port))
    again.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port))
    forward.close()
    assert not forward.alive()


@pytest.mark.parametrize("target", [SocketTarget("node1", "/x"), TcpTarget("127.0.0.1", 1)])
def test_a_taken_port_is_named(host: SSHHost, target: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} of this machine is taken"):
            host.forward(port, target)


def test_a_forward_to_a_node_that_is_not_there(host: SSHHost, free_port: int) -> None:
    with pytest.raises(HostError, match="node no-such-node of site"):
        host.forward(free_port, SocketTarget("no-such-node", "/x"))


def test_a_forward_dies_with_its_connection_and_says_so(
    host: SSHHost, sshd: Any, free_port: int
) -> None:
    child = host.forward(free_port, SocketTarget("node1", "/x"))
    os.kill(_control_pid(host), signal.SIGKILL)
    child._child.wait(60)  # type: ignore[attr-defined]
    assert not child.alive()
    child.close()


@pytest.fixture
def listener(own_places: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(own_places / "listener"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello from the socket")

        threading.Thread(target=serve, daemon=True).start()
        yield server


def _banner(port: int, length: int) -> bytes:
    """The first bytes that are said, in however many pieces they come."""
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as stream:
        return stream.read(length)
