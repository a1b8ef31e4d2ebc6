"""Names, paths and configuration files of the virtual cluster: values and text, no actions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

#: A second cluster on the same machine is another name: RSDAT_VC_NAME=other vc up.
NAME = os.environ.get("RSDAT_VC_NAME", "rsdat-virtual-cluster")
RUN = Path("/run") / NAME
STATE = Path("/var/lib") / NAME
HOMES = STATE / "home"
MARKER = "made by rsdat's virtual cluster"

PACKAGES = (
    "slurm-wlm",
    "slurmdbd",
    "mariadb-server",
    "munge",
    "openssh-server",
    "openssh-client",
    "iproute2",
    "nftables",
    "procps",
    "python3-venv",
)

#: The first of these that no route of this machine covers; RSDAT_VC_NETWORK names another.
NETWORKS = tuple(f"{start}.{i}" for i in range(41, 61) for start in ("10.137", "172.29", "192.168"))

SWITCH = "switch"
LOGIN = "login"
PARTITIONS = ("main", "short", "down")


@dataclass(frozen=True)
class User:
    """An ordinary user of the cluster; known to its hosts, not to this machine."""

    name: str
    uid: int
    alias: str
    home_size: str | None = None
    """Size of a file system of its own for the home (a home that is nearly full)."""


USERS = (
    User("researcher", 64101, "rsdat-virtual"),
    User("neighbour", 64102, "rsdat-virtual-neighbour"),
    User("cramped", 64103, "rsdat-virtual-cramped", home_size="64k"),
)

#: Account, and the users who may charge jobs to it (the first account is everybody's default).
ACCOUNTS = {"research": tuple(user.name for user in USERS), "closed": ()}


@dataclass(frozen=True)
class Plan:
    """What a running cluster looks like; written to cluster.json for those who use it."""

    network: str
    nodes: int
    first_job: int

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the compute nodes."""
        return tuple(f"c{i}" for i in range(1, self.nodes + 1))

    @property
    def addresses(self) -> dict[str, str]:
        """Host to its address on the cluster's own network."""
        inside = {name: f"{self.network}.{10 + i}" for i, name in enumerate(self.node_names, 1)}
        return {LOGIN: f"{self.network}.10", **inside}

    @property
    def way_in(self) -> str:
        """Login's address on the link to the laptop side."""
        return f"{self.network}.253"

    @property
    def laptop(self) -> str:
        """This machine's address on that link."""
        return f"{self.network}.254"


def hosts_file(plan: Plan) -> str:
    """/etc/hosts as the cluster's hosts see it."""
    lines = [f"{address} {name}" for name, address in plan.addresses.items()]
    return "\n".join(["127.0.0.1 localhost", *lines, ""])


def slurm_conf(plan: Plan) -> str:
    """slurm.conf: nodes pose as 8 CPUs and 16000 MB each, whatever the machine has."""
    nodes = "\n".join(
        f"NodeName={name} NodeAddr={plan.addresses[name]} CPUs=8 RealMemory=16000 State=UNKNOWN"
        for name in plan.node_names
    )
    return f"""# {MARKER}
ClusterName=virtual
SlurmctldHost={LOGIN}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SlurmdParameters=config_overrides
# Slurm may wait 3 s before it looks at what sbatch has brought, for the sake of busy clusters.
SchedulerParameters=bf_interval=5,batch_sched_delay=0
ReturnToService=2
KillWait=10
MessageTimeout=5
# Job ids go on from one start of the cluster to the next, so that none means two jobs.
FirstJobId={plan.first_job}
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={LOGIN}
AccountingStorageEnforce=associations,limits
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=short Nodes=ALL MaxTime=01:00:00 DefaultTime=00:10:00 State=UP
PartitionName=down Nodes=ALL MaxTime=1-00:00:00 State=DOWN
"""


SLURMDBD_CONF = f"""# {MARKER}
AuthType=auth/munge
DbdHost={LOGIN}
SlurmUser=root
PidFile=/run/slurmdbd.pid
LogFile=/var/log/slurm/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


def cgroup_conf(version: tuple[int, int]) -> str:
    """cgroup.conf of this Slurm: no control groups, whatever the machine has of them."""
    # Before 23.11 there is no "disabled"; the v1 plugin does nothing unless it is asked to.
    plugin = "disabled" if version >= (23, 11) else "cgroup/v1"
    return f"# {MARKER}\nCgroupPlugin={plugin}\n"


MARIADB = (
    "mariadbd",
    "--no-defaults",
    "--user=mysql",
    "--datadir=/var/lib/mysql",
    "--socket=/run/mysqld/mysqld.sock",
    "--pid-file=/run/mysqld/mysqld.pid",
    "--bind-address=127.0.0.1",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-lock-wait-timeout=900",
)

SSHD_CONFIG = f"""# {MARKER}
PidFile /run/sshd.pid
HostKey /run/sshd/host_key
AuthorizedKeysFile /etc/ssh/laptop_keys .ssh/authorized_keys
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
"""

#: What login lets through from the laptop side.
GATE = """table inet gate {{
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname "outside" ip daddr {way_in} tcp dport 22 accept
    iifname "outside" drop
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
  }}
}}
"""

#: A link on which everything is lost.
CUT = """table inet cut {{
  chain input {{ type filter hook input priority -10; iifname "{0}" drop; }}
  chain output {{ type filter hook output priority -10; oifname "{0}" drop; }}
}}
"""


def ssh_config(plan: Plan) -> str:
    """The laptop's ssh configuration: give it to ssh -F."""
    aliases = "\n".join(
        f"Host {user.alias}\n    HostName {plan.way_in}\n    User {user.name}\n"
        f"    HostKeyAlias {LOGIN}\n"
        for user in USERS
    )
    return f"""# {MARKER}
{aliases}
Host *
    IdentityFile {RUN}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {RUN}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""
