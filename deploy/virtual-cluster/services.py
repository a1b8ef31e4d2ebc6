"""The cluster's daemons: munged, MariaDB, slurmdbd, slurmctld, slurmd and sshd, each inside a host.

Every function brings its part to the wished state and does nothing where that is so already, which
is what lets a second ``up`` repair a cluster of which something died.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hosts import Failure, daemon, eventually, progress, run
from settings import ACCOUNTS, LOGIN, MARIADB, PARTITIONS, STATE, Plan

SSHD = ("/run/sshd.pid", "/usr/sbin/sshd")
SLURMCTLD = ("/run/slurmctld.pid", "/usr/sbin/slurmctld")
SLURMD = ("/run/slurmd.pid", "/usr/sbin/slurmd")
SLURMDBD = ("/run/slurmdbd.pid", "/usr/sbin/slurmdbd")
MUNGED = ("/run/munge/munged.pid", "/usr/sbin/munged")
MYSQL = ("/run/mysqld/mysqld.pid", "/usr/sbin/mariadbd")

Daemon = tuple[str, str]


def alive(host: str, service: Daemon) -> bool:
    """Whether the daemon runs: its pid file names a process of that very program."""
    pidfile, program = service
    check = ["start-stop-daemon", "--status", "--pidfile", pidfile, "--exec", program]
    return run(host, *check, check=False).returncode == 0


def halt(host: str, service: Daemon) -> None:
    """Stop a daemon of a host, if it runs."""
    pidfile, program = service
    retry = ["--oknodo", "--retry", "TERM/60/KILL/5"]
    run(host, "start-stop-daemon", "--stop", "--pidfile", pidfile, "--exec", program, *retry)


def ensure_munge(host: str) -> None:
    """munged, with the cluster's own key."""
    if alive(host, MUNGED):
        return
    for path in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        run(host, "install", "-d", "-o", "munge", "-g", "munge", "-m", "755", path)
    run(host, "setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--force")


def ensure_sshd(host: str) -> None:
    """sshd, with the host's own key; open connections do not depend on it."""
    if alive(host, SSHD):
        return
    run(host, "install", "-d", "-m", "755", "/run/sshd")
    key = (STATE / "keys" / f"{host}").read_text()
    save = 'umask 077; printf %s "$1" > /run/sshd/host_key'
    run(host, "sh", "-c", save, "sh", key)
    run(host, "/usr/sbin/sshd", "-E", "/var/log/sshd.log")


def ensure_database() -> None:
    """MariaDB and slurmdbd on the login host, with a database directory of their own."""
    if not alive(LOGIN, MYSQL):
        if not (STATE / "hosts" / LOGIN / "var-lib-mysql" / "mysql").is_dir():
            options = "--no-defaults --user=mysql --datadir=/var/lib/mysql --skip-test-db"
            auth = "--auth-root-authentication-method=socket"
            run(LOGIN, "mariadb-install-db", *options.split(), auth)
        run(LOGIN, "install", "-d", "-o", "mysql", "-m", "755", "/run/mysqld")
        daemon(LOGIN, *MARIADB)
    answers = ["mariadb-admin", "--no-defaults", "--socket=/run/mysqld/mysqld.sock", "ping"]
    eventually("MariaDB answers", lambda: run(LOGIN, *answers, check=False).returncode == 0)
    if not alive(LOGIN, SLURMDBD):
        run(LOGIN, "slurmdbd")


def ensure_accounts() -> None:
    """The cluster, its accounts and who may use them, in Slurm's accounting."""
    listing = ["sacctmgr", "-nP", "list", "associations", "format=account,user"]
    eventually("slurmdbd answers", lambda: run(LOGIN, *listing, check=False).returncode == 0)
    known = run(LOGIN, *listing).stdout.split()

    def sacctmgr(*words: str) -> None:
        # 1 with "Nothing new added" is what a repetition says.
        done = run(LOGIN, "sacctmgr", "-i", *words, check=False)
        if done.returncode and "Nothing new" not in done.stdout + done.stderr:
            raise Failure(f"sacctmgr {' '.join(words)}: {(done.stderr or done.stdout).strip()}")

    wanted = {f"{account}|{user}" for account, users in ACCOUNTS.items() for user in users}
    if wanted <= set(known) and {f"{account}|" for account in ACCOUNTS} <= set(known):
        return
    sacctmgr("add", "cluster", "virtual")
    for account, users in ACCOUNTS.items():
        sacctmgr("add", "account", account, "Cluster=virtual", f"Description={account}")
        if users:
            names = ",".join(users)
            sacctmgr("add", "user", names, f"Account={account}", f"DefaultAccount={account}")


def controller(*, up: bool) -> None:
    """Start or stop slurmctld; jobs go on without it."""
    if not up:
        halt(LOGIN, SLURMCTLD)
        return
    if not alive(LOGIN, SLURMCTLD):
        run(LOGIN, "slurmctld")
    answers = ["scontrol", "ping"]
    eventually("slurmctld answers", lambda: "is UP" in run(LOGIN, *answers, check=False).stdout)


def ensure_nodes(plan: Plan) -> None:
    """slurmd on every node, and every node known to the controller."""
    for name in plan.node_names:
        if not alive(name, SLURMD):
            run(name, "slurmd", "-N", name)
    usable = ("idle", "mixed", "allocated", "completing")

    def ready() -> bool:
        states = run(LOGIN, "sinfo", "-hN", "-p", "main", "-o", "%T", check=False).stdout.split()
        return len(states) == plan.nodes and all(state in usable for state in states)

    try:
        eventually("all nodes are ready", ready)
    except Failure as late:
        shown = run(LOGIN, "sinfo", "-N", "-p", "main", "-o", "%N %T %E", check=False).stdout
        raise Failure(f"{late}\n{shown}") from None


def node_ssh(plan: Plan, *, up: bool) -> None:
    """Start or stop sshd on the compute nodes, with the connections that are open there."""
    for name in plan.node_names:
        if up:
            ensure_sshd(name)
        else:
            halt(name, SSHD)
            run(name, "pkill", "-x", "sshd", check=False)


def has_node_ssh(plan: Plan) -> bool:
    """Whether the compute nodes run sshd."""
    return all(alive(name, SSHD) for name in plan.node_names)


def partition(name: str, state: str) -> None:
    """Put a partition up or down."""
    if name not in PARTITIONS:
        raise Failure(f"no partition {name}: it is one of {', '.join(PARTITIONS)}")
    run(LOGIN, "scontrol", "update", f"PartitionName={name}", f"State={state.upper()}")


def ensure_all(plan: Plan, *, with_node_ssh: bool) -> None:
    """Every daemon of the cluster."""
    for host in (LOGIN, *plan.node_names):
        ensure_munge(host)
    ensure_sshd(LOGIN)
    node_ssh(plan, up=with_node_ssh)
    progress("starting the accounting")
    ensure_database()
    ensure_accounts()
    progress("starting Slurm")
    controller(up=True)
    ensure_nodes(plan)


def report(plan: Plan) -> list[tuple[str, bool]]:
    """Each daemon and whether it runs."""
    on_login = {"munged": MUNGED, "MariaDB": MYSQL, "slurmdbd": SLURMDBD, "slurmctld": SLURMCTLD}
    lines = [(f"{LOGIN}: {name}", alive(LOGIN, it)) for name, it in on_login.items()]
    lines.append((f"{LOGIN}: sshd", alive(LOGIN, SSHD)))
    for host in plan.node_names:
        lines += [
            (f"{host}: munged", alive(host, MUNGED)),
            (f"{host}: slurmd", alive(host, SLURMD)),
        ]
    return lines


def logs() -> list[Path]:
    """Logs to read when something did not start."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        found = [p for p in (STATE / "hosts").rglob("*.log") if p.stat().st_size]
    return sorted(found)
