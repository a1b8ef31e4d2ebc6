"""What a SLURM says of itself: one script asks, pure functions read the answer.

It reads the text forms of ``scontrol show partition -o`` and ``sinfo``, whose fields newer versions
add to; their JSON changes from version to version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from rsdat.config.units import parse_walltime
from rsdat.errors import QueueError

_MARK = "@@rsdat "

# A command over ssh often has no login shell's PATH, where sites put SLURM: /etc/profile has it.
# Each question has its time, together under a minute. A controller that hangs is a failure;
# accounting that is absent or slow is none.
_SCRIPT = f"""\
command -v sinfo >/dev/null 2>&1 || {{ [ -r /etc/profile ] && . /etc/profile >/dev/null 2>&1; }}
command -v sinfo >/dev/null 2>&1 || {{ echo '{_MARK}absent'; exit 0; }}
export LC_ALL=C
unset SINFO_FORMAT
echo '{_MARK}version'; sinfo --version
echo '{_MARK}partitions'; timeout 25 scontrol show partition -o 2>&1 || {{
    [ $? -ne 124 ] || echo 'no answer within 25 s'
    echo '{_MARK}end'; exit 0
}}
echo '{_MARK}nodes'; timeout 15 sinfo -h -e -o '%R|%c|%m|%D|%G' 2>&1
echo '{_MARK}accounts'
me=$(id -un)
timeout 8 sacctmgr -n -P show user "$me" format=DefaultAccount 2>/dev/null | sed 's/^/default|/'
timeout 8 sacctmgr -n -P show assoc user="$me" format=Account 2>/dev/null | sed 's/^/may|/'
echo '{_MARK}end'
"""

DRAFT_COMMAND: tuple[str, ...] = ("sh", "-c", _SCRIPT)
"""Run this where SLURM's commands are and give its output to :func:`parse_facts`."""


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind in a partition."""

    count: int
    cores: int
    memory: int
    """Bytes of one node."""
    gpus: str | None = None
    """A generic resource as a job asks for it, ``gpu:a100`` or ``gpu``; None without one."""


@dataclass(frozen=True)
class Partition:
    """One partition, as far as a site's description needs it."""

    name: str
    default: bool = False
    up: bool = True
    open: bool = True
    """Whether an ordinary user's jobs may go there by hand (not hidden, not root's alone)."""
    max_walltime: timedelta | None = None
    """None without a limit."""
    accounts: tuple[str, ...] | None = None
    """The accounts that may use it; None for all."""
    max_cores_per_node: int | None = None
    memory_per_core: int | None = None
    """Bytes that a job gets for a core when it asks for nothing."""
    max_memory_per_core: int | None = None
    max_memory_per_node: int | None = None
    nodes: tuple[Nodes, ...] = ()


@dataclass(frozen=True)
class QueueFacts:
    """What the script found."""

    version: str
    partitions: tuple[Partition, ...]
    default_account: str | None = None
    accounts: tuple[str, ...] = ()


def parse_facts(text: str) -> QueueFacts:
    """Read the output of :data:`DRAFT_COMMAND`.

    Raises :class:`~rsdat.errors.QueueError` where there is no SLURM, its controller does not
    answer, or the output is cut off.
    """
    parts = _parts(text)
    if "absent" in parts:
        raise QueueError(
            "there is no SLURM here: the command sinfo was not found",
            hint="check the host; where SLURM comes by a module, load it in ~/.profile or describe "
            "the site by hand (docs/admin.md)",
        )
    if "end" not in parts:
        raise QueueError("the answer about the queue is cut off", hint="try again")
    nodes = dict(_nodes(parts.get("nodes", [])))
    partitions = tuple(_partitions(parts.get("partitions", []), nodes))
    if not partitions:
        said = " ".join(parts.get("partitions", [])).strip() or "nothing"
        raise QueueError(
            f"SLURM names no partitions; scontrol said: {said}",
            hint="try again when its controller answers (scontrol ping)",
        )
    words = [line.partition("|") for line in parts.get("accounts", [])]
    default = next((name for kind, _, name in words if kind == "default" and name), None)
    accounts = dict.fromkeys(name for kind, _, name in words if kind == "may" and name)
    version = re.search(r"\d+(\.\d+)+", " ".join(parts.get("version", [])))
    return QueueFacts(
        version[0] if version else "(of unknown version)", partitions, default, tuple(accounts)
    )


def _parts(text: str) -> dict[str, list[str]]:
    """Lines by the mark above them; what a login shell prints before the first mark is dropped."""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            current = parts.setdefault(line[len(_MARK) :].strip(), [])
        elif line.strip():
            current.append(line.strip())
    return parts


def _partitions(lines: list[str], nodes: dict[str, list[Nodes]]) -> Iterator[Partition]:
    for line in lines:
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        name = fields.get("PartitionName")
        if not name:
            continue
        accounts = fields.get("AllowAccounts", "ALL")
        yield Partition(
            name=name,
            default=fields.get("Default") == "YES",
            up=fields.get("State", "UP") == "UP",
            open=fields.get("Hidden") != "YES" and fields.get("RootOnly") != "YES",
            max_walltime=_duration(fields.get("MaxTime", "")),
            accounts=None if accounts == "ALL" else tuple(accounts.split(",")),
            max_cores_per_node=_number(fields.get("MaxCPUsPerNode")),
            memory_per_core=_mebibytes(fields.get("DefMemPerCPU")),
            max_memory_per_core=_mebibytes(fields.get("MaxMemPerCPU")),
            max_memory_per_node=_mebibytes(fields.get("MaxMemPerNode")),
            nodes=tuple(nodes.get(name, ())),
        )


def _nodes(lines: list[str]) -> Iterator[tuple[str, list[Nodes]]]:
    found: dict[str, list[Nodes]] = {}
    for line in lines:
        parts = line.split("|", 4)
        if len(parts) != 5:
            continue
        name, cores, memory, count = (part.strip() for part in parts[:4])
        # Without -e, sinfo writes the least of a group with a "+".
        size, share = _mebibytes(memory.rstrip("+")), _number(cores.rstrip("+"))
        if not size or not share:
            continue
        found.setdefault(name, []).append(Nodes(_number(count) or 1, share, size, _gpus(parts[4])))
    yield from found.items()


def _gpus(gres: str) -> str | None:
    """``gpu:a100:4(S:0-1),tmpdisk:…`` to ``gpu:a100``."""
    match = re.search(r"(?:^|,)gpu(?::([A-Za-z][\w.-]*))?(?::\d+)?", gres.strip())
    if not match:
        return None
    return f"gpu:{match[1]}" if match[1] else "gpu"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _mebibytes(text: str | None) -> int | None:
    number = _number(text)
    return number * 2**20 if number else None


def _duration(text: str) -> timedelta | None:
    try:
        return parse_walltime(text)
    except ValueError:
        # UNLIMITED, INFINITE
        return None
