"""The first process of a host of the virtual cluster: makes it a machine, then reaps orphans.

Started by ``unshare`` inside new network, mount, name, IPC and process namespaces. What it mounts
is seen by this host alone and vanishes with it. Arguments: state directory, host name, homes
that get a small file system of their own (USER:UID:SIZE).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

#: Directories that every host has for itself, below the state directory's hosts/NAME.
OWN = ("/tmp", "/var/tmp", "/var/log", "/var/spool", "/var/lib/munge", "/var/lib/mysql")


def mount(*arguments: str) -> None:
    """Mount something for this host alone."""
    subprocess.run(["mount", *arguments], check=True)


def furnish(state: Path, name: str, small_homes: list[str]) -> None:
    """Give this host its name, its own /run, /tmp and logs, and the cluster's /etc and /home."""
    socket.sethostname(name)
    for path in OWN:
        if Path(path).is_dir():
            mount("--bind", str(state / "hosts" / name / path[1:].replace("/", "-")), path)
    mount("--bind", str(state / "etc"), "/etc")
    mount("--bind", str(state / "home"), "/home")
    # slurmd looks for control groups though it uses none here; an empty place satisfies it, and
    # spares us the differences between machines.
    mount("-t", "tmpfs", "-o", "mode=755", "none", "/sys/fs/cgroup")
    mount("-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm")
    for home in small_homes:
        user, uid, size = home.split(":")
        options = f"size={size},uid={uid},gid={uid},mode=700"
        mount("-t", "tmpfs", "-o", options, "none", f"/home/{user}")
    # Last, because it hides the state of the cluster itself.
    mount("-t", "tmpfs", "-o", "mode=755", "none", "/run")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> None:
    """Make the host, say so, and wait for orphans until killed."""
    state, name = Path(sys.argv[1]), sys.argv[2]
    furnish(state, name, sys.argv[3:])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    os.dup2(os.open("/dev/null", os.O_RDWR), 1)
    while True:
        signal.sigwait({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


main()
