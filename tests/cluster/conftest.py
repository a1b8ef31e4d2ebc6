"""The virtual cluster as fixtures: its hosts, its faults, its installed environment, the CLI."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VC = ROOT / "deploy" / "virtual-cluster" / "vc"
RSDAT = Path(sys.executable).with_name("rsdat")

Done = subprocess.CompletedProcess[str]


def execute(
    *argv: str | Path,
    check: bool = True,
    timeout: float = 120,
    input: str | None = None,  # noqa: A002  (as in subprocess.run)
    env: dict[str, str] | None = None,
) -> Done:
    """Run a command; with ``check`` a failure shows what it printed."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=input or "",
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
    )
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(done.args)}\nended with status {done.returncode}\n"
            f"{done.stdout}\n{done.stderr}"
        )
    return done


def eventually(what: str, ready: Callable[[], Any], seconds: float = 120) -> Any:
    """Ask again until the answer is true, and return it; fail naming ``what`` when it never is.

    The limit is for what does not come at all: jobs start slowly on a machine at work.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ready()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
    return answer


@dataclass(frozen=True)
class VirtualCluster:
    """A running virtual cluster, seen from this machine (the laptop)."""

    name: str = "rsdat-virtual-cluster"

    @property
    def facts(self) -> dict[str, Any]:
        """What ``vc up`` wrote: addresses, way_in, node_ssh, ssh_config, homes, aliases, …"""
        facts: dict[str, Any] = json.loads((Path("/run") / self.name / "cluster.json").read_text())
        return facts

    @property
    def ssh_config(self) -> Path:
        """The file for ``ssh -F``."""
        return Path(self.facts["ssh_config"])

    @property
    def nodes(self) -> list[str]:
        """Names of the compute nodes."""
        return [name for name in self.facts["addresses"] if name != "login"]

    def vc(self, *arguments: str, check: bool = True, timeout: float = 300) -> Done:
        """Call ``vc`` for this cluster."""
        environment = {**os.environ, "RSDAT_VC_NAME": self.name}
        return execute(VC, *arguments, check=check, timeout=timeout, env=environment)

    def run(
        self,
        host: str,
        *argv: str,
        user: str | None = None,
        check: bool = True,
        timeout: float = 120,
    ) -> Done:
        """Run a command inside a host, as root or as a user of the cluster, without ssh."""
        who = ("--user", user) if user else ()
        return self.vc("run", host, *who, "--", *argv, check=check, timeout=timeout)

    def ssh(
        self,
        *argv: str,
        user: str = "researcher",
        options: tuple[str, ...] = (),
        check: bool = True,
        timeout: float = 120,
    ) -> Done:
        """Log in as a laptop does, and run a command line there."""
        alias = self.facts["aliases"][user]
        batch = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=60")
        return execute(
            "ssh",
            "-F",
            self.ssh_config,
            *batch,
            *options,
            alias,
            *argv,
            check=check,
            timeout=timeout,
        )

    def home(self, user: str = "researcher") -> Path:
        """The user's home as this machine sees it (on the cluster it is /home/USER)."""
        return Path(self.facts["homes"][user])

    def jobs(self, user: str = "researcher") -> dict[str, str]:
        """The user's jobs in the queue, and their states."""
        listing = self.run("login", "squeue", "-h", "-u", user, "-o", "%i|%T").stdout
        return dict(line.split("|", 1) for line in listing.splitlines())

    @contextlib.contextmanager
    def without_node_ssh(self) -> Iterator[None]:
        """Compute nodes that take no ssh."""
        self.vc("up", "--no-node-ssh")
        try:
            yield
        finally:
            self.vc("up", "--node-ssh")

    @contextlib.contextmanager
    def cut(self, host: str) -> Iterator[None]:
        """A broken link: login's to the laptop, or a node's to the other hosts."""
        self.vc("cut", host)
        try:
            yield
        finally:
            self.vc("mend", host)

    @contextlib.contextmanager
    def controller_stopped(self) -> Iterator[None]:
        """A slurmctld that does not answer; jobs go on."""
        self.vc("stop-controller")
        try:
            yield
        finally:
            self.vc("start-controller")

    @contextlib.contextmanager
    def partition_down(self, name: str = "main") -> Iterator[None]:
        """A partition that starts no jobs."""
        self.vc("partition", name, "down")
        try:
            yield
        finally:
            self.vc("partition", name, "up")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on the cluster more than the usual time: they wait for jobs and installations."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def virtual_cluster() -> VirtualCluster:
    """The virtual cluster that runs on this machine; without one the test fails, never skips."""
    done = subprocess.run([VC, "status"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.fail(
            f"this test needs the virtual cluster: sudo make cluster\n{done.stdout}{done.stderr}",
            pytrace=False,
        )
    return VirtualCluster(os.environ.get("RSDAT_VC_NAME", "rsdat-virtual-cluster"))


@pytest.fixture(scope="module", autouse=True)
def own_state() -> Iterator[None]:
    """State and ssh connections of each module's own, where tests call the library itself.

    A connection would last for hours otherwise, into the next test run and the next cluster.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rsdat-", dir="/tmp") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        run, state = Path(name, "run"), Path(name, "state")
        run.mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(run))
        patch.setenv("XDG_STATE_HOME", str(state))
        yield
        for control in (run / "rsdat").glob("*"):
            if control.is_socket():
                execute("ssh", "-F", "none", "-S", control, "-O", "exit", "virtual", check=False)


@pytest.fixture(scope="session")
def researcher_home(virtual_cluster: VirtualCluster) -> Path:
    """The home of ``researcher`` as this machine sees it."""
    return virtual_cluster.home("researcher")


def ssh_config(name: str) -> str:
    """What ``vc up`` writes for a cluster of this name."""
    return str(Path("/run") / name / "ssh_config")


class Laptop:
    """A laptop: configuration, state and runtime directories that no other one shares."""

    def __init__(self) -> None:
        # Short on purpose: ssh's control sockets live below it, and their paths may have 108 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="rsdat-"))
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RSDAT_")}
        for name in ("config", "state", "runtime"):
            (self.directory / name).mkdir(mode=0o700)
        if name := os.environ.get("RSDAT_VC_NAME"):
            self.configure("sites/virtual.yaml", {"connection": {"ssh_config": ssh_config(name)}})
        self.environment |= {
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_RUNTIME_DIR": str(self.directory / "runtime"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }

    def configure(self, file: str, content: dict[str, Any]) -> None:
        """Write a file of the person's configuration; JSON is YAML."""
        path = self.directory / "config" / "rsdat" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def __call__(self, *arguments: str, check: bool = False, timeout: float = 180) -> Done:
        """Run ``rsdat`` and return what it printed and its exit status."""
        return execute(RSDAT, *arguments, check=check, timeout=timeout, env=self.environment)

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``rsdat`` and go on; the caller ends it."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [RSDAT, *arguments],
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment,
            start_new_session=True,
            **options,
        )

    def processes(self) -> list[int]:
        """Everything that it started and that still runs: tunnels, ssh connections, the lot."""
        mark, found = f"XDG_RUNTIME_DIR={self.directory}/runtime".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return found

    def power_off(self) -> None:
        """What a flat battery does: all its processes are gone at once."""
        while running := self.processes():
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)

    def close(self) -> None:
        """End its processes and remove its directories."""
        self.power_off()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def rsdat() -> Iterator[Laptop]:
    """``rsdat(*arguments)`` on a fresh laptop."""
    laptop = Laptop()
    yield laptop
    laptop.close()


@pytest.fixture
def another_laptop() -> Iterator[Callable[[], Laptop]]:
    """A maker of further laptops: the same person at another machine."""
    with contextlib.ExitStack() as stack:

        def make() -> Laptop:
            laptop = Laptop()
            stack.callback(laptop.close)
            return laptop

        yield make


@pytest.fixture(scope="session")
def installed(virtual_cluster: VirtualCluster) -> VirtualCluster:
    """The virtual cluster with its environment installed as a researcher does it, without network.

    An environment of an earlier run stays in the shared home; installing is then a short check.
    """
    laptop = Laptop()
    try:
        laptop("env", "install", "virtual", "--offline", check=True, timeout=280)
    finally:
        laptop.close()
    return virtual_cluster


@pytest.fixture(scope="module")
def no_jobs_left(virtual_cluster: VirtualCluster) -> Iterator[None]:
    """The module's tests leave no job of the users behind; ask for it in ``pytestmark``.

    It tells, and cancels nothing: on a cluster that several people share, a job that is new since
    the module began may be somebody else's.
    """
    users = tuple(virtual_cluster.facts["homes"])

    def jobs() -> set[str]:
        return {job for user in users for job in virtual_cluster.jobs(user)}

    before = jobs()
    yield
    deadline = time.monotonic() + 120
    while (left := jobs() - before) and time.monotonic() < deadline:
        time.sleep(0.2)
    if left:
        shown = virtual_cluster.run("login", "squeue", "-o", "%i %u %T %j", "-j", ",".join(left))
        pytest.fail(f"jobs were left behind (or are somebody else's):\n{shown.stdout}")
