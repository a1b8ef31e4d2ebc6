"""The files that the hosts are furnished with: /etc, homes, keys, and the laptop's way in."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from pathlib import Path

import settings
from hosts import sh
from settings import HOMES, LOGIN, RUN, STATE, SWITCH, USERS, Plan


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    draft.replace(path)


def next_first_job() -> int:
    """First job id of a new start; counts on from the last one."""
    counter = STATE / "starts"
    starts = int(counter.read_text()) if counter.exists() else 0
    STATE.mkdir(mode=0o755, exist_ok=True)
    write(counter, f"{starts + 1}\n")
    return starts % 6000 * 10000 + 1


def node_ssh_wish() -> bool:
    """The flavour that the last ``up`` asked for."""
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((RUN / "cluster.json").read_text())["node_ssh"])
    return True


def prepare(plan: Plan) -> None:
    """Lay out everything that the hosts mount or read."""
    for name in ("etc", "keys", "hosts"):
        shutil.rmtree(STATE / name, ignore_errors=True)
    for directory in (STATE, RUN, HOMES):
        directory.mkdir(mode=0o755, exist_ok=True)
    (STATE / "hosts").mkdir(mode=0o755)
    for host in (SWITCH, LOGIN, *plan.node_names):
        _own_directories(STATE / "hosts" / host)
    _keys(plan)
    _etc(plan)
    for user in USERS:
        _home(user)


def _own_directories(place: Path) -> None:
    place.mkdir()
    for name in ("tmp", "var-tmp"):
        (place / name).mkdir()
        (place / name).chmod(0o1777)
    for name in ("var-log", "var-spool", "var-lib-munge", "var-lib-mysql"):
        (place / name).mkdir(mode=0o755)
    (place / "var-log" / "slurm").mkdir(mode=0o755)
    for name in ("slurmctld", "slurmd"):
        (place / "var-spool" / name).mkdir(mode=0o755)
    shutil.chown(place / "var-lib-mysql", "mysql", "mysql")


def _keys(plan: Plan) -> None:
    """The laptop's key, one key for each host, and who is known by what."""
    (STATE / "keys").mkdir(mode=0o700)
    known = []
    for name in (LOGIN, *plan.node_names):
        path = STATE / "keys" / name
        sh(*f"ssh-keygen -q -t ed25519 -C {name} -f {path} -N".split(), "")
        public = path.with_suffix(".pub").read_text().split()[:2]
        known.append(f"{name},{plan.addresses[name]} {' '.join(public)}")
    files = [RUN / name for name in ("id_ed25519", "id_ed25519.pub", "known_hosts", "ssh_config")]
    for path in files:
        path.unlink(missing_ok=True)
    sh(*f"ssh-keygen -q -t ed25519 -C laptop -f {files[0]} -N".split(), "")
    write(files[2], "\n".join([*known, ""]))
    write(files[3], settings.ssh_config(plan), 0o600)
    # Whoever called sudo wants to log in too.
    owner = int(os.environ.get("SUDO_UID", "0"))
    for path in files:
        os.chown(path, owner, -1)


def _etc(plan: Plan) -> None:
    """A copy of this machine's /etc with the cluster's own names, users and settings."""
    etc = STATE / "etc"
    sh("cp", "-a", "/etc", str(etc))
    for secret in [*etc.glob("ssh/ssh_host_*"), *etc.glob("munge/*"), *etc.glob("slurm/*.conf")]:
        secret.unlink()
    write(etc / "hosts", settings.hosts_file(plan))
    for name in ("resolv.conf", "hostname", "nologin", "environment"):
        (etc / name).unlink(missing_ok=True)
    write(etc / "resolv.conf", "")
    _users(etc)
    (etc / "slurm").mkdir(exist_ok=True)
    write(etc / "slurm" / "slurm.conf", settings.slurm_conf(plan))
    write(etc / "slurm" / "cgroup.conf", settings.cgroup_conf(_slurm_version()))
    write(etc / "slurm" / "slurmdbd.conf", settings.SLURMDBD_CONF, 0o600)
    write(etc / "ssh" / "sshd_config", settings.SSHD_CONFIG)
    shutil.copy(RUN / "id_ed25519.pub", etc / "ssh" / "laptop_keys")
    shutil.chown(etc / "ssh" / "laptop_keys", "root", "root")
    (etc / "ssh" / "laptop_keys").chmod(0o644)
    shutil.copy(RUN / "known_hosts", etc / "ssh" / "ssh_known_hosts")
    shutil.chown(etc / "ssh" / "ssh_known_hosts", "root", "root")
    (etc / "munge").mkdir(exist_ok=True)
    key = etc / "munge" / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    shutil.chown(key, "munge", "munge")


def _slurm_version() -> tuple[int, int]:
    words = sh("slurmd", "-V").stdout.split()[-1].split(".")
    return int(words[0]), int(words[1])


def _users(etc: Path) -> None:
    names = {user.name for user in USERS}
    entries = {
        "passwd": "{0.name}:x:{0.uid}:{0.uid}:{0.name}:/home/{0.name}:/bin/bash",
        "group": "{0.name}:x:{0.uid}:",
        "shadow": "{0.name}:*:19000:0:99999:7:::",
    }
    for name, entry in entries.items():
        file = etc / name
        kept = [line for line in file.read_text().splitlines() if line.split(":")[0] not in names]
        with file.open("w") as out:
            out.write("\n".join([*kept, *(entry.format(user) for user in USERS), ""]))


def _home(user: settings.User) -> None:
    """A home on the shared file system, kept between starts, with a key for the nodes."""
    home = HOMES / user.name
    fresh = not home.exists()
    home.mkdir(mode=0o700, exist_ok=True)
    if fresh:
        for name in (".bashrc", ".profile", ".bash_logout"):
            if (Path("/etc/skel") / name).exists():
                shutil.copy(Path("/etc/skel") / name, home / name)
    ssh = home / ".ssh"
    if not user.home_size and not (ssh / "id_ed25519").exists():
        ssh.mkdir(mode=0o700, exist_ok=True)
        sh(*f"ssh-keygen -q -t ed25519 -C {user.name} -f {ssh}/id_ed25519 -N".split(), "")
        shutil.copy(ssh / "id_ed25519.pub", ssh / "authorized_keys")
        (ssh / "authorized_keys").chmod(0o600)
    for path in [home, *home.glob(".[!.]*"), *ssh.glob("*")]:
        os.chown(path, user.uid, user.uid, follow_symlinks=False)
