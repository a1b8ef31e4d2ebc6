"""A site's description drafted from what its queue says, with a comment for each guess."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rsdat.config.queue_facts import (
    DRAFT_COMMAND,
    Nodes,
    Partition,
    QueueFacts,
    parse_facts,
)
from rsdat.config.units import format_memory, short_walltime
from rsdat.errors import QueueError

if TYPE_CHECKING:
    from rsdat.config.models import Connection

__all__ = ["DRAFT_COMMAND", "draft_site", "draft_yaml", "parse_facts", "site_name"]

_GIB = 2**30
_WALLTIME = timedelta(hours=8)
_WORKER_CORES = 4
_HEAD_MEMORY = 4 * _GIB
_MOST_POOLS = 6


@dataclass
class _Draft:
    values: dict[str, Any] = field(default_factory=dict)
    comments: dict[tuple[str, ...], str] = field(default_factory=dict)
    """What to say beside a value, or above a section."""


def site_name(host: str) -> str:
    """A name for the site behind a host: ``me@login.example.org`` gives ``login.example.org``."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", host.rpartition("@")[2]).strip("-._")
    return name or "site"


def draft_site(name: str, host: str | Connection | None, facts: QueueFacts) -> dict[str, Any]:
    """The site's values, ready for :class:`~rsdat.config.models.Site`.

    Parameters
    ----------
    name
        Of the site.
    host
        As the user names it to ssh, with or without ``user@``, or the connection of a site that
        is known already; None for this machine.
    facts
        See :func:`~rsdat.config.queue_facts.parse_facts`.

    Raises
    ------
    QueueError
        No partition takes this user's jobs.
    """
    return _draft(name, host, facts).values


def draft_yaml(name: str, host: str | Connection | None, facts: QueueFacts) -> str:
    """The same as the text of a site file, which says what was guessed."""
    draft = _draft(name, host, facts)
    lines = [
        f"# Drafted from what SLURM {facts.version} says. Each guess says that it is one: read",
        f"# them, then `rsdat site lint {name}.yaml` and `rsdat doctor {name}`.",
        *_yaml(draft.values, draft.comments, ()),
    ]
    return "\n".join(lines) + "\n"


def _draft(name: str, host: str | Connection | None, facts: QueueFacts) -> _Draft:
    usable = _usable(facts)
    main = usable[0]
    draft = _Draft()
    values, comments = draft.values, draft.comments
    values["name"] = name
    connection = _connection(host)
    values["description"] = f"SLURM at {connection.get('host', 'this machine')}"
    if connection:
        values["connection"] = connection
    values["head"] = _head(main, facts, comments)
    values["pools"] = {"default": _pool(main, facts, comments, "default")}
    for partition in usable[1:_MOST_POOLS]:
        pool = _pool_name(partition.name, values["pools"])
        values["pools"][pool] = _pool(partition, facts, comments, pool)
    left = [partition.name for partition in usable[_MOST_POOLS:]]
    if left:
        comments[("pools",)] = f"Further partitions without a pool here: {', '.join(left)}."
    longest = [partition.max_walltime for partition in usable[:_MOST_POOLS]]
    known = [limit for limit in longest if limit]
    if known and len(known) == len(longest):
        values["limits"] = {"walltime": short_walltime(max(known))}
        comments[("limits", "walltime")] = "the longest that these partitions allow"
    return draft


def _connection(host: str | Connection | None) -> dict[str, Any]:
    if host is None:
        return {}
    if isinstance(host, str):
        user, _, machine = host.rpartition("@")
        return {"host": machine} | ({"user": user} if user else {})
    return host.model_dump(mode="json", exclude_defaults=True)


def _usable(facts: QueueFacts) -> list[Partition]:
    """Partitions that take this user's jobs, the one for ordinary work first."""
    mine = set(facts.accounts)
    usable = [
        partition
        for partition in facts.partitions
        if partition.up
        and partition.open
        and partition.nodes
        and (partition.accounts is None or not mine or mine & set(partition.accounts))
    ]
    if not usable:
        names = ", ".join(partition.name for partition in facts.partitions)
        raise QueueError(
            f"no partition takes jobs of this user (there are {names})",
            hint="ask the cluster's help desk which partition and account to use",
        )
    return sorted(
        usable,
        key=lambda p: (not p.default, _gpu_only(p), -sum(n.count * n.cores for n in p.nodes)),
    )


def _gpu_only(partition: Partition) -> bool:
    return all(nodes.gpus for nodes in partition.nodes)


def _head(
    partition: Partition, facts: QueueFacts, comments: dict[tuple[str, ...], str]
) -> dict[str, Any]:
    node = _smallest(partition)
    per_core = partition.max_memory_per_core
    cores = -(-_HEAD_MEMORY // per_core) if per_core else 1
    cores = min(cores, _most_cores(partition, node))
    memory = min(_HEAD_MEMORY, _most_memory(partition, node, cores))
    head: dict[str, Any] = {"cores": cores, "memory": _round(memory)}
    comments[("head", "memory")] = "guessed: room for JupyterLab, the scheduler and a few notebooks"
    _common(head, ("head",), partition, facts, comments)
    if not partition.default:
        comments[("head", "partition")] = "guessed: SLURM names no usable default partition"
    return head


def _pool(
    partition: Partition, facts: QueueFacts, comments: dict[tuple[str, ...], str], name: str
) -> dict[str, Any]:
    node = _smallest(partition)
    cores = min(_WORKER_CORES, _most_cores(partition, node))
    share = partition.memory_per_core or node.memory // node.cores
    memory = min(share * cores, _most_memory(partition, node, cores))
    pool: dict[str, Any] = {"cores": cores, "memory": _round(memory)}
    place = ("pools", name)
    comments[(*place, "cores")] = f"guessed; the smallest node has {node.cores}"
    comments[(*place, "memory")] = (
        "what SLURM gives for these cores"
        if partition.memory_per_core
        else f"guessed: these cores' share of a node of {format_memory(_floor(node.memory))}"
    )
    _common(pool, place, partition, facts, comments)
    if node.gpus and _gpu_only(partition):
        pool["gres"] = f"{node.gpus}:1"
        comments[(*place, "gres")] = "guessed: one GPU a job"
    return pool


def _common(
    job: dict[str, Any],
    place: tuple[str, ...],
    partition: Partition,
    facts: QueueFacts,
    comments: dict[tuple[str, ...], str],
) -> None:
    """What head and workers are told in the same way: walltime, partition and account."""
    limit = partition.max_walltime
    job["walltime"] = short_walltime(min(_WALLTIME, limit) if limit else _WALLTIME)
    if not limit:
        comments[(*place, "walltime")] = "guessed; the partition has no limit"
    elif limit > _WALLTIME:
        comments[(*place, "walltime")] = f"guessed; the partition allows {short_walltime(limit)}"
    else:
        comments[(*place, "walltime")] = "the most that the partition allows"
    job["partition"] = partition.name
    allowed = [a for a in facts.accounts if partition.accounts is None or a in partition.accounts]
    if facts.default_account in allowed or not allowed:
        return
    job["account"] = allowed[0]
    comments[(*place, "account")] = (
        f"guessed; you may use {', '.join(allowed)}" if len(allowed) > 1 else "your only one here"
    )


def _smallest(partition: Partition) -> Nodes:
    return min(partition.nodes, key=lambda nodes: (nodes.cores, nodes.memory))


def _most_cores(partition: Partition, node: Nodes) -> int:
    return max(1, min(node.cores, partition.max_cores_per_node or node.cores))


def _most_memory(partition: Partition, node: Nodes, cores: int) -> int:
    limits = [node.memory]
    if partition.max_memory_per_node:
        limits.append(partition.max_memory_per_node)
    if partition.max_memory_per_core:
        limits.append(partition.max_memory_per_core * cores)
    return min(limits)


def _floor(memory: int) -> int:
    """Whole GiB where there is one, else whole MiB: a size that people read."""
    unit = _GIB if memory >= _GIB else 2**20
    return memory // unit * unit


def _round(memory: int) -> str:
    return format_memory(_floor(memory))


def _pool_name(partition: str, taken: dict[str, Any]) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", partition.lower()).strip("-_")[:28] or "pool"
    candidates = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _yaml(
    values: dict[str, Any], comments: dict[tuple[str, ...], str], place: tuple[str, ...]
) -> list[str]:
    indent = "  " * len(place)
    lines = []
    for key, value in values.items():
        said = comments.get((*place, key))
        if isinstance(value, dict):
            if not place and key != "name":
                lines.append("")
            lines += [f"{indent}# {said}"] if said else []
            lines += [f"{indent}{key}:", *_yaml(value, comments, (*place, key))]
        else:
            lines.append(f"{indent}{key}: {scalar(value)}" + (f" # {said}" if said else ""))
    return lines


def scalar(value: Any) -> str:
    """A value as YAML writes it: a text goes without quotes where it is surely read as one."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./@-]*(?: [\w./@-]+)*", value):
        plain = value.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
        return value if plain else f'"{value}"'
    if isinstance(value, str) and re.fullmatch(r"[0-9]+[A-Za-z]+|[~/$][\w/.$-]+", value):
        return value
    if isinstance(value, str):
        import yaml

        text = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6)
        return str(text).rstrip("\n")
    return json.dumps(value)  # JSON is YAML
