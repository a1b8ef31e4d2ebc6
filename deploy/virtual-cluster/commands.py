"""The commands of ``vc``: their arguments, the order of things, and what is printed."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import files
import hosts
import services
from hosts import Failure, progress
from settings import GATE, HOMES, LOGIN, NETWORKS, PACKAGES, RUN, STATE, SWITCH, USERS, Plan


def require_packages() -> None:
    """Install the Debian packages that are missing, without starting their services."""
    done = hosts.sh(
        "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *PACKAGES, check=False
    )
    present = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed")}
    missing = [package for package in PACKAGES if package not in present]
    if not missing:
        return
    progress(f"installing {' '.join(missing)}")
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    apt = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    try:
        hosts.sh(*apt, "update")
        hosts.sh(*apt, "install", "-y", "--no-install-recommends", *missing)
    finally:
        if ours:
            policy.unlink()


def choose_network() -> str:
    """A /24 that no route of this machine touches."""
    if named := os.environ.get("RSDAT_VC_NETWORK"):
        return named
    taken = []
    for line in hosts.sh("ip", "-o", "-4", "route", "show").stdout.splitlines():
        with contextlib.suppress(ValueError):  # "default", "unreachable …"
            taken.append(ipaddress.ip_network(line.split()[0]))
    for network in NETWORKS:
        ours = ipaddress.ip_network(f"{network}.0/24")
        if not any(ours.overlaps(other) for other in taken):
            return network
    raise Failure(
        f"routes of this machine cover {NETWORKS[0]}.0/24 and {len(NETWORKS) - 1} others: "
        "name a free network, RSDAT_VC_NETWORK=10.99.7"
    )


def current_plan() -> Plan | None:
    """The plan of the cluster that runs; None when none does."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads((RUN / "cluster.json").read_text())
        return Plan(kept["network"], kept["nodes"], kept["first_job"])
    return None


def describe(plan: Plan, *, node_ssh: bool) -> None:
    """Write cluster.json, for tests and the curious."""
    facts = {
        "network": plan.network,
        "nodes": plan.nodes,
        "first_job": plan.first_job,
        "addresses": plan.addresses,
        "way_in": plan.way_in,
        "laptop": plan.laptop,
        "node_ssh": node_ssh,
        "ssh_config": str(RUN / "ssh_config"),
        "homes": {user.name: str(HOMES / user.name) for user in USERS},
        "aliases": {user.name: user.alias for user in USERS},
    }
    files.write(RUN / "cluster.json", json.dumps(facts, indent=2) + "\n", 0o644)


def up(nodes: int | None, node_ssh: bool | None) -> None:
    """Start what is not running, and bring the rest to the wished flavour."""
    require_packages()
    plan, holders = current_plan(), hosts.running()
    if plan and nodes and nodes != plan.nodes and holders:
        raise Failure(f"it runs with {plan.nodes} nodes: to have {nodes}, stop it first (vc down)")
    if plan and set(holders) == {SWITCH, LOGIN, *plan.node_names}:
        wanted = files.node_ssh_wish() if node_ssh is None else node_ssh
    else:
        # Hosts are made together or not at all: a part of a network is not worth mending.
        clear(holders)
        plan = Plan(choose_network(), nodes or 2, files.next_first_job())
        wanted = node_ssh is not False
        build(plan)
    describe(plan, node_ssh=wanted)
    services.ensure_all(plan, with_node_ssh=wanted)


def build(plan: Plan) -> None:
    """The hosts and their network."""
    progress(f"making {1 + plan.nodes} hosts")
    files.prepare(plan)
    pids = {name: hosts.start(name) for name in (SWITCH, LOGIN, *plan.node_names)}
    hosts.in_network(pids[SWITCH], "ip link add lan type bridge")
    hosts.in_network(pids[SWITCH], "ip link set lan up")
    for name, address in plan.addresses.items():
        hosts.plug(name, address)
    inside = pids[LOGIN]
    # The gate before the link: nothing but ssh is ever open to the laptop side.
    hosts.in_network(inside, "nft -f -", stdin=GATE.format(way_in=plan.way_in))
    for line in (
        f"ip link add {hosts.OUTSIDE} type veth peer outside netns {inside}",
        f"ip addr add {plan.laptop} peer {plan.way_in} dev {hosts.OUTSIDE}",
        f"ip link set {hosts.OUTSIDE} up",
    ):
        hosts.sh(*line.split())
    hosts.in_network(inside, f"ip addr add {plan.way_in} peer {plan.laptop} dev outside")
    hosts.in_network(inside, "ip link set outside up")
    # What the laptop sends to the nodes arrives at login, and login does not pass it on. Without
    # this route it would leave by the machine's default route.
    hosts.sh("ip", "route", "add", f"{plan.network}.0/24", "via", plan.way_in)


def clear(holders: dict[str, int]) -> None:
    """End all hosts and remove the link to them."""
    hosts.end(list(holders.values()))
    hosts.sh("ip", "link", "delete", hosts.OUTSIDE, check=False)
    shutil.rmtree(RUN, ignore_errors=True)
    shutil.rmtree(STATE / "hosts", ignore_errors=True)


def down(purge: bool) -> None:
    """Stop the cluster, leaving no process, namespace, mount or interface."""
    clear(hosts.running())
    for name in ("etc", "keys"):
        shutil.rmtree(STATE / name, ignore_errors=True)
    if purge:
        shutil.rmtree(STATE, ignore_errors=True)


def status() -> int:
    """Print what runs."""
    holders, plan = hosts.running(), current_plan()
    if not holders or not plan:
        print("the virtual cluster is not running" + (" (a part of it is)" if holders else ""))
        return 1 if holders else 3
    wanted = {SWITCH, LOGIN, *plan.node_names}
    if missing := wanted - set(holders):
        print(f"hosts missing: {', '.join(sorted(missing))} (vc up mends it)")
        return 1
    state = services.report(plan)
    for what, is_up in state:
        if not is_up:
            print(f"not running: {what} (vc up mends it)")
    for name in (LOGIN, *plan.node_names):
        linked = "" if hosts.is_linked(name) else f"   link cut (vc mend {name})"
        print(f"{name:6} {plan.addresses[name]}{linked}")
    ssh = "with" if services.has_node_ssh(plan) else "without"
    print(f"compute nodes {ssh} sshd; the way in: ssh -F {RUN}/ssh_config {USERS[0].alias}")
    return 0 if all(is_up for _, is_up in state) else 1


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other vc changes a cluster."""
    # A directory that is always there serves as the lock, so that no file has to be left behind.
    lock = os.open("/run", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def parse(help_text: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="vc", description=help_text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start = command.add_parser("up")
    start.add_argument("--nodes", type=int, metavar="N", choices=range(1, 101))
    start.add_argument("--node-ssh", action=argparse.BooleanOptionalAction)
    command.add_parser("down").add_argument("--purge", action="store_true")
    for name in ("status", "stop-controller", "start-controller"):
        command.add_parser(name)
    for name in ("cut", "mend"):
        command.add_parser(name).add_argument("host")
    run = command.add_parser("run")
    run.add_argument("host")
    run.add_argument("--user")
    run.add_argument("argv", nargs="+", metavar="COMMAND")
    part = command.add_parser("partition")
    part.add_argument("name")
    part.add_argument("state", choices=("up", "down"))
    return parser.parse_args()


def change(args: argparse.Namespace) -> None:
    """Carry out a command that changes the cluster."""
    began = time.monotonic()
    if args.command == "up":
        try:
            up(args.nodes, args.node_ssh)
        except Failure:
            for log in services.logs()[:20]:
                progress(f"log: {log}")
            raise
        print(f"the virtual cluster is up ({time.monotonic() - began:.0f} s)")
        print(f"log in: ssh -F {RUN}/ssh_config {USERS[0].alias}")
    elif args.command == "down":
        down(args.purge)
        print("the virtual cluster is down")
    elif args.command in ("cut", "mend"):
        hosts.link(args.host, up=args.command == "mend")
    elif args.command == "partition":
        services.partition(args.name, args.state)
    elif args.command == "stop-controller":
        services.controller(up=False)
    else:
        services.controller(up=True)
        # A controller that has just started knows its nodes only when they have reported.
        if plan := current_plan():
            services.ensure_nodes(plan)


def main(help_text: str | None) -> int:
    """Run ``vc``; returns its exit status."""
    args = parse(help_text)
    if os.geteuid() != 0:
        print("vc: the virtual cluster needs root (sudo)", file=sys.stderr)
        return 2
    if not shutil.which("apt-get"):
        print(
            "vc: the virtual cluster is made of Debian's packages: no apt-get here", file=sys.stderr
        )
        return 2
    os.umask(0o022)
    try:
        if args.command == "status":
            return status()
        if args.command == "run":
            argv = hosts.entry(args.host, args.argv, args.user)
            os.execvp(argv[0], argv)
        with alone():
            change(args)
    except Failure as failure:
        print(f"vc: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vc: interrupted; vc up goes on from here, vc down clears it away", file=sys.stderr)
        return 130
    return 0
