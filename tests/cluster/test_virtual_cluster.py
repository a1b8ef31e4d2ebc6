"""The virtual cluster is what its page says: real Slurm, real borders, and no trace afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]

VC = Path(__file__).parents[2] / "deploy/virtual-cluster/vc"
LISTEN = "import socket; s = socket.create_server(('0.0.0.0', {port})); print('on', flush=True)"
TALK = "import socket; socket.create_connection(('{host}', {port}), {seconds})"


def reaches(host: str, port: int, seconds: float) -> bool:
    talk = ["python3", "-c", TALK.format(host=host, port=port, seconds=seconds)]
    return subprocess.run(talk, capture_output=True).returncode == 0


@pytest.fixture
def listener(virtual_cluster) -> Iterator[int]:
    """A port on which login and c1 listen on all their addresses."""
    # Below the ephemeral range: no connection of Slurm's has it.
    port, programs = 24571, []
    code = LISTEN.format(port=port) + "; [s.accept() for _ in iter(int, 1)]"
    for host in ("login", "c1"):
        argv = [VC, "run", host, "--", "python3", "-c", code]
        program = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert program.stdout.readline() == b"on\n"
        programs.append(program)
    yield port
    for host, program in zip(("login", "c1"), programs, strict=True):
        virtual_cluster.run(host, "pkill", "-f", f"create_server.*{port}", check=False)
        program.wait()
        program.stdout.close()


def test_a_job_runs_on_every_node_as_the_user(virtual_cluster):
    out = virtual_cluster.ssh("srun", "-N2", "sh", "-c", "'hostname; id -un'").stdout
    assert sorted(out.split()) == ["c1", "c2", "researcher", "researcher"]


def test_hosts_have_addresses_of_their_own_in_one_network(virtual_cluster):
    addresses = virtual_cluster.facts["addresses"]
    for host, address in addresses.items():
        assert f" {address}/24 " in virtual_cluster.run(host, "ip", "-4", "-o", "addr").stdout
    assert len(set(addresses.values())) == len(addresses)
    assert {a.rpartition(".")[0] for a in addresses.values()} == {virtual_cluster.facts["network"]}


def test_the_laptop_reaches_the_ssh_port_of_login_and_nothing_else(virtual_cluster, listener):
    facts = virtual_cluster.facts
    way_in, addresses = facts["way_in"], facts["addresses"]
    assert reaches(way_in, 22, seconds=60)
    for host, port in (
        (way_in, listener),
        (way_in, 6817),  # slurmctld
        (addresses["login"], listener),
        (addresses["login"], 22),
        (addresses["c1"], 22),
        (addresses["c1"], listener),
    ):
        assert not reaches(host, port, seconds=0.5)
    # Not because they are dead:
    for port in (22, listener):
        talk = TALK.format(host="c1", port=port, seconds=60)
        virtual_cluster.run("login", "python3", "-c", talk, user="researcher")


def test_the_nodes_do_not_reach_the_laptop(virtual_cluster):
    talk = TALK.format(host=virtual_cluster.facts["laptop"], port=22, seconds=1)
    for host in ("login", "c1"):
        assert "default" not in virtual_cluster.run(host, "ip", "route").stdout
        assert virtual_cluster.run(host, "python3", "-c", talk, check=False).returncode != 0


def test_a_node_takes_ssh_through_login_or_not_by_flavour(virtual_cluster):
    def hop():
        batch = ("-o", "BatchMode=yes")
        jump = ["ssh", "-F", virtual_cluster.ssh_config, "-J", "rsdat-virtual", *batch]
        return (
            virtual_cluster.ssh("ssh", *batch, "c1", "hostname", check=False),
            subprocess.run([*jump, "researcher@c1", "hostname"], capture_output=True, text=True),
        )

    assert [done.stdout for done in hop()] == ["c1\n", "c1\n"]
    with virtual_cluster.without_node_ssh():
        assert virtual_cluster.facts["node_ssh"] is False
        assert [done.returncode for done in hop()] == [255, 255]
        # A second start without a wish keeps the flavour.
        virtual_cluster.vc("up")
        assert virtual_cluster.facts["node_ssh"] is False
    assert [done.stdout for done in hop()] == ["c1\n", "c1\n"]


def test_the_home_is_shared_and_private(virtual_cluster, researcher_home):
    mark = researcher_home / "shared-home-test"
    try:
        virtual_cluster.ssh("srun", "sh", "-c", "'hostname > shared-home-test'")
        assert mark.read_text() in ("c1\n", "c2\n")
        assert virtual_cluster.ssh("cat", "shared-home-test").stdout == mark.read_text()
        seen = virtual_cluster.ssh(
            "cat", "/home/researcher/shared-home-test", user="neighbour", check=False
        )
        assert "Permission denied" in seen.stderr
    finally:
        mark.unlink(missing_ok=True)


def test_a_host_keeps_its_temporary_files_and_processes_to_itself(virtual_cluster):
    virtual_cluster.run("c1", "touch", "/tmp/only-on-c1")
    assert virtual_cluster.run("c2", "test", "-e", "/tmp/only-on-c1", check=False).returncode == 1
    assert not Path("/tmp/only-on-c1").exists()
    assert "slurmctld" not in virtual_cluster.run("c1", "ps", "-eo", "comm").stdout


def test_an_account_without_permission_is_refused_and_the_default_is_accounted(virtual_cluster):
    refused = virtual_cluster.ssh("sbatch", "-A", "closed", "--wrap", "true", check=False)
    assert refused.returncode == 1
    assert "Invalid account" in refused.stderr
    job_id = virtual_cluster.ssh("srun", "printenv", "SLURM_JOB_ID").stdout.strip()
    accounted = ["sacct", "-X", "-n", "-P", "-j", job_id, "-o", "account,state"]

    def said() -> str:
        return virtual_cluster.ssh(*accounted).stdout.strip()

    # slurmdbd hears of the end a moment later.
    eventually("the record of the end", lambda: said() == "research|COMPLETED")


def test_a_partition_that_is_down_says_so(virtual_cluster):
    job = virtual_cluster.ssh("sbatch", "--parsable", "-p", "down", "--wrap", "true").stdout.strip()
    try:

        def reason() -> str:
            return virtual_cluster.ssh("squeue", "-h", "-j", job, "-o", "%r").stdout.strip()

        # "Priority" until the scheduler has looked.
        eventually("the partition as the reason", lambda: reason() == "PartitionDown")
    finally:
        virtual_cluster.ssh("scancel", job)


def test_the_main_partition_can_be_closed_and_opened(virtual_cluster):
    def state():
        return virtual_cluster.ssh("sinfo", "-h", "-p", "main", "-o", "%a").stdout.strip()

    with virtual_cluster.partition_down("main"):
        assert state() == "down"
    assert state() == "up"


def test_a_cut_link_is_silent_and_a_mended_one_works(virtual_cluster):
    with virtual_cluster.cut("login"):
        assert not reaches(virtual_cluster.facts["way_in"], 22, seconds=0.5)
        assert virtual_cluster.run("login", "scontrol", "ping").stdout.count("UP") == 1
        assert "link cut" in virtual_cluster.vc("status").stdout
    assert virtual_cluster.ssh("hostname").stdout == "login\n"


def test_a_job_outlives_the_controller(virtual_cluster):
    sleeper = ("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "'sleep 300'")
    job = virtual_cluster.ssh(*sleeper).stdout.strip()
    try:
        virtual_cluster.ssh(f"until squeue -h -j {job} -o %T | grep -q RUNNING; do sleep 0.1; done")
        with virtual_cluster.controller_stopped():
            asked = virtual_cluster.ssh("squeue", check=False)
            assert "Unable to contact slurm controller" in asked.stderr
            assert asked.returncode != 0
        assert virtual_cluster.jobs()[job] == "RUNNING"
    finally:
        virtual_cluster.ssh("scancel", job)


def test_a_full_home_is_full(virtual_cluster):
    fill = "head -c 200000 /dev/zero > big; s=$?; rm -f big; exit $s"
    done = virtual_cluster.ssh(fill, user="cramped", check=False)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr


def test_starting_twice_is_harmless(virtual_cluster):
    before = virtual_cluster.run("login", "cat", "/run/slurmctld.pid", "/run/sshd.pid").stdout
    virtual_cluster.vc("up")
    after = virtual_cluster.run("login", "cat", "/run/slurmctld.pid", "/run/sshd.pid").stdout
    assert before == after


def test_the_machine_itself_is_left_alone(virtual_cluster):
    for user in virtual_cluster.facts["homes"]:
        assert f"{user}:" not in Path("/etc/passwd").read_text()
        assert not (Path("/home") / user).exists()
    assert " c1" not in Path("/etc/hosts").read_text()
    conf = Path("/etc/slurm/slurm.conf")
    assert not conf.exists() or "virtual cluster" not in conf.read_text()
    assert virtual_cluster.name not in Path("/proc/mounts").read_text()


def test_without_root_it_says_what_is_needed(virtual_cluster):
    done = subprocess.run(["unshare", "--user", VC, "up"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs root" in done.stderr


@pytest.fixture
def spare(virtual_cluster) -> Iterator:
    """A second cluster, to be broken; named after the first, as another run may have its own."""
    cluster = type(virtual_cluster)(f"{virtual_cluster.name}-test")
    cluster.vc("down", "--purge")
    yield cluster
    cluster.vc("down", "--purge")


def namespaces_of(cluster) -> dict[int, str]:
    """Process that holds a host, to its network namespace."""
    state, found = f"/var/lib/{cluster.name}", {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes().decode().split("\0")
            if argv[0] == "unshare" and state in argv:
                found[int(process.name)] = os.readlink(process / "ns/net")
        except OSError:
            continue
    return found


def processes_in(namespaces: set[str]) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/net") in namespaces:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_stopping_leaves_nothing_but_the_homes(spare):
    spare.vc("up", "--nodes", "1", "--no-node-ssh")
    spare.ssh("touch kept; sbatch -o /dev/null --wrap 'sleep 300'")
    namespaces = set(namespaces_of(spare).values())
    network = spare.facts["network"]
    assert len(namespaces) == 3  # the switch, login and c1
    assert len(processes_in(namespaces)) > 8
    spare.vc("down")
    assert processes_in(namespaces) == []
    assert namespaces_of(spare) == {}
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout
    assert "vc-" + spare.name[-12:] not in links
    assert network not in routes
    assert not Path("/run", spare.name).exists()
    assert sorted(p.name for p in Path("/var/lib", spare.name).iterdir()) == ["home", "starts"]
    assert Path("/var/lib", spare.name, "home/researcher/kept").exists()
    assert spare.vc("status", check=False).returncode == 3
    spare.vc("down", "--purge")
    assert not Path("/var/lib", spare.name).exists()
    spare.vc("down")


def test_a_dead_daemon_and_a_dead_host_are_mended_by_up(spare):
    spare.vc("up", "--nodes", "1")
    first = spare.facts["first_job"]
    spare.run("c1", "pkill", "-9", "-x", "slurmd")
    spare.run("login", "pkill", "-9", "-x", "sshd")
    eventually("both are gone", lambda: spare.vc("status", check=False).returncode == 1)
    spare.vc("up")
    assert spare.ssh("srun", "hostname").stdout == "c1\n"
    assert spare.facts["first_job"] == first

    os.kill(next(iter(namespaces_of(spare))), 9)  # a whole host
    eventually("the host is gone", lambda: spare.vc("status", check=False).returncode == 1)
    spare.vc("up", "--nodes", "1")
    assert spare.ssh("srun", "hostname").stdout == "c1\n"
    # Its queue begins anew, and no job id means two jobs.
    assert spare.facts["first_job"] > first
