"""What several rooms' tests share: a real sshd of our own, with keys and configuration in tmp."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest

from tests.ports import kept_port

pytest_plugins = ["tests.dcache.plugin", "tests.servers.plugin"]

# One commit has one verdict; new examples are looked for where somebody can look at them. How long
# an example takes says how busy the machine is, and nothing about rsdat.
hypothesis.settings.register_profile(
    "rsdat",
    derandomize=os.environ.get("CI") == "true" or os.environ.get("RSDAT_REQUIRE_CLUSTER") == "1",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("rsdat")

#: Fixtures whose programs may first have to come from a package registry.
FETCHED = {"s3_server", "stac_api_server", "processes"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first user of a fetched program the time of the slowest network."""
    for item in items:
        if FETCHED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(900))


SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class Sshd:
    """An sshd on a free port of the loopback, which lets the user of the tests in by one key.

    Its ssh configuration knows the host as ``login``, and as ``node1`` for a compute node.
    """

    directory: Path
    port: int
    extra: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def prepare(self) -> None:
        for key in ("host_key", "user_key", "other_key"):
            self.new_key(key)
        shutil.copy(self.directory / "user_key.pub", self.directory / "authorized_keys")
        self.know_host_key()
        stanza = f"""
            HostName 127.0.0.1
            Port {self.port}
            User {getpass.getuser()}
            IdentityFile {self.directory}/user_key
            IdentitiesOnly yes
            IdentityAgent none
            UserKnownHostsFile {self.known_hosts}
            GlobalKnownHostsFile /dev/null
        """
        node = f"Host node1\nHostName 127.0.0.1\nPort {self.port}\n"
        self.ssh_config.write_text(f"{node}Host login\n{stanza}")

    def new_key(self, name: str) -> None:
        file = self.directory / name
        file.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)

    def know_host_key(self) -> None:
        kind, key, *_ = (self.directory / "host_key.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def start(self, extra: str = "", **environment: object) -> None:
        """Start, with further lines of sshd_config and variables of the sessions.

        Sessions have a home of their own: what the tester's profile does (a version manager takes
        seconds, and leaves its lock behind when a test cuts the connection) is no part of a test.
        """
        config = self.directory / "sshd_config"
        home = self.directory / "account"
        home.mkdir(exist_ok=True)
        variables = " ".join(f"{k}={v}" for k, v in {"HOME": home, **environment}.items())
        config.write_text(
            f"{extra}\nSetEnv {variables}\n"
            f"Port {self.port}\nListenAddress 127.0.0.1\nUsePAM no\nStrictModes no\n"
            f"HostKey {self.directory}/host_key\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
            "PermitRootLogin yes\nMaxStartups 100\nMaxSessions 50\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with open(self.directory / "sshd.log", "ab") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", config],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                stdout=log,
                start_new_session=True,
            )
        assert self.process.stderr is not None
        said = b""
        for line in self.process.stderr:
            said += line
            if b"Server listening" in line:
                break
        else:
            raise AssertionError(f"sshd did not start:\n{said.decode()}")
        # The rest is of no use, and a full pipe would block sshd.
        subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        self.process.stderr.close()

    def connections(self) -> list[int]:
        """Pids of the processes that serve connections, deepest first."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if pid != self.process.pid]

    def sever(self) -> None:
        """End all connections, as a login host does that goes down; the server stays."""
        serving = [pid for pid in self.connections() if "sshd" in name_of(pid)]
        # All at one moment: nobody notices the end of one while another still stands.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in serving:
                send(pid, number)

    def stop(self) -> None:
        """End all connections and the server."""
        if self.process is not None:
            # It stands still first: no new connection slips in while the old ones are counted.
            self.process.send_signal(signal.SIGSTOP)
            pids = self.connections()
            self.process.kill()
            self.process.wait()
            for pid in pids:
                send(pid, signal.SIGKILL)
            # One that has just begun may still hold the port on which the server starts anew.
            deadline = time.monotonic() + 60
            while any(alive(pid) for pid in pids):
                assert time.monotonic() < deadline, pids
                time.sleep(0.01)
            self.process = None


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def name_of(pid: int) -> str:
    """The program's name; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Processes below one, deepest first, and that one."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        children = []  # It has ended meanwhile.
    return [below for child in children for below in descendants(child)] + [pid]


def ssh_processes(word: str) -> list[str]:
    """Command lines of ssh processes that mention a word (a directory of this test's own)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and line.startswith("ssh"):
            found.append(line)
    return found


@pytest.fixture
def own_places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Control sockets and state of this test's own; short, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="rs", dir="/tmp") as name:
        directory = Path(name)
        (directory / "run").mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "run"))
        monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
        yield directory


@pytest.fixture
def sshd(own_places: Path) -> Iterator[Sshd]:
    if SSHD is None:
        if os.environ.get("CI") == "true":
            pytest.fail("sshd is not installed (openssh-server)", pytrace=False)
        pytest.skip("sshd is not installed (openssh-server)")
    directory = own_places / "ssh"
    directory.mkdir(mode=0o755)
    # A server that is stopped and started again in a test finds its port as it was.
    with kept_port() as kept:
        server = Sshd(directory, kept.getsockname()[1])
        server.prepare()
        server.start()
        yield server
        server.stop()
    _end_control_connections(own_places / "run" / "rsdat")


def _end_control_connections(directory: Path) -> None:
    for path in directory.glob("*"):
        if path.is_socket():
            argv = ["ssh", "-F", "none", "-S", path, "-O", "exit", "-o", "ProxyCommand=none", "x"]
            subprocess.run(argv, capture_output=True, timeout=60, check=False)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else will during the test."""
    with kept_port() as kept:
        yield kept.getsockname()[1]


@pytest.fixture(name="ssh_processes")
def _ssh_processes() -> Callable[[str], list[str]]:
    return ssh_processes
