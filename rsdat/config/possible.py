"""Which combinations of a site's values are impossible, each with the keys that contradict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsdat.config.units import format_memory, short_walltime
from rsdat.config.values import Path

if TYPE_CHECKING:
    from rsdat.config.models import Access, Job, Limits, Pool, Site


@dataclass(frozen=True)
class Contradiction:
    """Values that cannot be together."""

    keys: tuple[Path, ...]
    """The keys that take part; the first is named where none is newer than the others."""
    message: str


class Impossible(ValueError):
    """A site whose values contradict one another; all contradictions at once."""

    def __init__(self, contradictions: tuple[Contradiction, ...]) -> None:
        super().__init__("; ".join(f"{'.'.join(c.keys[0])}: {c.message}" for c in contradictions))
        self.contradictions = contradictions


# A directive that says what a key says would contradict it silently, and pass by a locked key.
_KEY_OF_OPTION = {
    "--partition": "partition",
    "-p": "partition",
    "--account": "account",
    "-A": "account",
    "--qos": "qos",
    "-q": "qos",
    "--time": "walltime",
    "-t": "walltime",
    "--mem": "memory",
    "--cpus-per-task": "cores",
    "-c": "cores",
    "--gres": "gres",
    "--constraint": "constraint",
    "-C": "constraint",
}
_OURS = {
    *("--job-name", "-J", "--output", "-o", "--error", "-e", "--signal", "--ntasks", "-n"),
    *("--array", "-a", "--parsable", "--wrap"),
}


def contradictions(site: Site) -> Iterator[Contradiction]:
    """All impossible combinations of a site's values."""
    if not site.pools:
        yield Contradiction((("pools",),), "a site needs at least one worker pool")
    yield from _of_job(("head",), site.head, site.limits)
    for name, pool in site.pools.items():
        yield from _of_job(("pools", name), pool, site.limits)
        yield from _of_pool(("pools", name), pool, site.limits)
    warning, walltime = site.head.warn_before, site.head.walltime
    if walltime and warning >= walltime:
        yield Contradiction(
            (("head", "warn_before"), ("head", "walltime")),
            f"{short_walltime(warning)} before the end is not within a walltime of "
            f"{short_walltime(walltime)}",
        )
    for pattern, access in site.credentials.items():
        yield from access_contradictions(("credentials", pattern), access)
    if site.queue == "local" and site.connection.host:
        yield Contradiction(
            (("queue",), ("connection", "host")),
            "the queue 'local' runs on this machine; a host needs the queue 'slurm'",
        )


def _of_job(place: Path, job: Job, limits: Limits) -> Iterator[Contradiction]:
    if job.walltime is not None and not job.walltime:
        yield Contradiction(((*place, "walltime"),), "expected a walltime above nothing")
    if job.walltime and limits.walltime and job.walltime > limits.walltime:
        yield Contradiction(
            ((*place, "walltime"), ("limits", "walltime")),
            f"{short_walltime(job.walltime)} is over the limit of "
            f"{short_walltime(limits.walltime)}",
        )
    for index, directive in enumerate(job.directives):
        where = (*place, "directives", str(index))
        match = re.match(r"--[a-z-]+|-[A-Za-z]", directive)
        option = match[0] if match else directive
        if option in _KEY_OF_OPTION:
            key = _KEY_OF_OPTION[option]
            yield Contradiction((where,), f"write the key '{key}' instead of {option}")
        elif option in _OURS:
            yield Contradiction((where,), f"{option} is set by rsdat itself")
        elif option in ("--mem-per-cpu", "--mem-per-gpu") and job.memory is not None:
            yield Contradiction(
                (where, (*place, "memory")),
                f"{option} and the key 'memory' ({format_memory(job.memory)}) exclude one another",
            )


def _of_pool(place: Path, pool: Pool, limits: Limits) -> Iterator[Contradiction]:
    processes, cores = (*place, "processes"), (*place, "cores")
    if pool.processes > pool.cores:
        yield Contradiction(
            (processes, cores),
            f"{pool.processes} Dask workers do not fit on {_count(pool.cores, 'core')}",
        )
    # No workers at all is a limit that an admin may want; it says nothing about the pools.
    if limits.workers and pool.processes > limits.workers:
        yield Contradiction(
            (processes, ("limits", "workers")),
            f"one job already starts {pool.processes} workers, over the limit of {limits.workers}",
        )
    if pool.worker_memory and pool.memory and pool.worker_memory * pool.processes > pool.memory:
        yield Contradiction(
            ((*place, "worker_memory"), processes, (*place, "memory")),
            f"{_count(pool.processes, 'worker')} of {format_memory(pool.worker_memory)} need more "
            f"than the pool's memory of {format_memory(pool.memory)}",
        )


#: Ways to say who asks; one address takes one of them.
_WHO = (
    *("token_file", "token_env", "token_command", "oidc_agent", "password_file", "password_env"),
    *("netrc", "key_file", "profile", "access_key_env", "anonymous"),
)


def access_contradictions(place: Path, access: Access) -> Iterator[Contradiction]:
    """What excludes one another in one entry of ``credentials``."""
    given = [name for name in _WHO if getattr(access, name)]
    if len(given) > 1:
        yield Contradiction(
            ((*place, given[1]), (*place, given[0])),
            f"one address takes one of {' and '.join(given)} (null takes away what a lower layer "
            "says)",
        )
    password = access.password_file or access.password_env
    if password and not access.username:
        yield Contradiction(
            ((*place, "password_file" if access.password_file else "password_env"),),
            "a password needs the key 'username'",
        )
    if access.username and not (password or access.key_file):
        yield Contradiction(
            ((*place, "username"),),
            "a user name needs the key 'password_file' or 'password_env' (or 'key_file' for sftp)",
        )
    if access.login and not (access.netrc or password or _bears(access)):
        yield Contradiction(
            ((*place, "login"),),
            "a login needs 'netrc', or 'username' with a password, or a token",
        )
    if bool(access.access_key_env) != bool(access.secret_key_env):
        yield Contradiction(
            ((*place, "access_key_env" if access.access_key_env else "secret_key_env"),),
            "access_key_env and secret_key_env belong together",
        )


def _bears(access: Access) -> bool:
    tokens = access.token_file, access.token_env, access.token_command, access.oidc_agent
    return any(tokens)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
