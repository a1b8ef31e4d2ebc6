"""Hosts as namespaces: start, find, enter, connect, cut and end them.

A host is one ``unshare`` process and what lives in its namespaces. That process carries the
cluster's and the host's name in its argv, so that it is found without any record of it, is not
taken for another one, and takes everything in the host with it when it ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from settings import CUT, LOGIN, NAME, STATE, SWITCH, USERS

HERE = Path(__file__).resolve().parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("net", "mnt", "uts", "ipc")

#: The laptop's end of the way in. An interface's name has at most 15 letters.
OUTSIDE = "rsdat-vc" if NAME == "rsdat-virtual-cluster" else f"vc-{NAME[-12:]}"


class Failure(Exception):
    """Something that the person at the keyboard has to know; printed without a traceback."""


def sh(
    *argv: str, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine."""
    done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True)
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Failure(f"{shlex.join(argv)} ended with status {done.returncode}: {said}")
    return done


def eventually(what: str, ready: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is so; a Failure names it when it does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.05)


def running() -> dict[str, int]:
    """Host name to the process that holds its namespaces, for every host of this cluster."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            argv = (process / "cmdline").read_bytes().decode().split("\0")
            # Whichever clone started it: the state directory is what makes it this cluster.
            if argv[0] == "unshare" and str(STATE) in argv:
                found[argv[argv.index(str(STATE)) + 1]] = int(process.name)
    return found


def start(name: str) -> int:
    """Start a host, and return the process that holds it once it is furnished."""
    argv = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"]
    argv += ["--kill-child=KILL", "--mount-proc", "/usr/bin/python3", "-IB"]
    argv += [str(HERE / "host_init.py"), str(STATE), name]
    argv += [f"{user.name}:{user.uid}:{user.home_size}" for user in USERS if user.home_size]
    log = STATE / "hosts" / name / "init.log"
    with log.open("w") as errors:
        holder = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
            env={"PATH": PATH},
        )
    assert holder.stdout
    if holder.stdout.readline() != b"ready\n":
        holder.kill()
        holder.wait()
        raise Failure(f"host {name} did not start: {log.read_text().strip()[-800:]}")
    return holder.pid


def children(pid: int) -> list[int]:
    """Processes that this one started."""
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def end(holders: Sequence[int]) -> None:
    """End hosts with everything in them, and wait until they are gone."""
    first = [child for pid in holders for child in children(pid)]
    for pid in holders:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def gone() -> bool:
        for pid in holders:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return not any(Path(f"/proc/{pid}").exists() for pid in [*holders, *first])

    eventually("the hosts' processes end", gone)


def entry(name: str, argv: Sequence[str], user: str | None = None) -> list[str]:
    """Argv that runs a command inside a host, with a clean environment."""
    pid = running().get(name)
    if pid is None:
        raise Failure(
            f"no host {name}: it is one of {', '.join(sorted(running())) or '(none is up)'}"
        )
    inside = [f"--{option}=/proc/{pid}/ns/{ns}" for option, ns in _options()]
    home = f"/home/{user}" if user else "/root"
    command = ["env", "-i", "-C", home if user else "/", f"HOME={home}", f"PATH={PATH}"]
    command += [f"USER={user or 'root'}", f"LOGNAME={user or 'root'}"]
    if user:
        command += ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
    return ["nsenter", *inside, f"--pid=/proc/{pid}/ns/pid_for_children", "--", *command, *argv]


def _options() -> list[tuple[str, str]]:
    return [({"mnt": "mount"}.get(ns, ns), ns) for ns in NAMESPACES]


def run(name: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command inside a host."""
    return sh(*entry(name, argv), check=check)


def daemon(name: str, *argv: str) -> None:
    """Start a program inside a host that does not go to the background by itself."""
    log = f"/var/log/{Path(argv[0]).name}.out"
    run(name, "sh", "-c", f"setsid {shlex.join(argv)} </dev/null >>{log} 2>&1 &")


def in_network(pid: int, command: str, stdin: str | None = None) -> str:
    """Run a command of this machine, without spaces in its words, in a host's network."""
    return sh("nsenter", f"--net=/proc/{pid}/ns/net", *command.split(), stdin=stdin).stdout


def plug(name: str, address: str) -> None:
    """Connect a host to the cluster's network."""
    pids = running()
    port = f"p-{name}"
    in_network(pids[SWITCH], f"ip link add {port} type veth peer eth0 netns {pids[name]}")
    in_network(pids[SWITCH], f"ip link set {port} master lan up")
    in_network(pids[name], f"ip addr add {address}/24 dev eth0")
    in_network(pids[name], "ip link set eth0 up")


def _cable(name: str) -> tuple[int, str]:
    """The host whose link is cut, and the interface there."""
    pids = running()
    if name not in pids or name == SWITCH:
        raise Failure(f"no host {name} whose link could be cut")
    return pids[name], "outside" if name == LOGIN else "eth0"


def link(name: str, *, up: bool) -> None:
    """Cut or mend a host's link: login's to the laptop side, a node's to the cluster's network.

    All packets vanish, as they do somewhere on the long way to a cluster. An interface that is
    taken down would tell the kernel, which then answers "no route to host" for seconds after.
    """
    pid, device = _cable(name)
    if is_linked(name) != up:
        in_network(pid, "nft -f -", stdin="delete table inet cut" if up else CUT.format(device))


def is_linked(name: str) -> bool:
    """Whether the link of :func:`link` carries."""
    pid, _ = _cable(name)
    return "table inet cut" not in in_network(pid, "nft list tables")


def progress(text: str) -> None:
    """Say what is being done, on stderr."""
    print(text, file=sys.stderr, flush=True)
