"""Checks of all that a session on a site needs, in the order in which things can go wrong.

One round trip collects the facts (:mod:`rsdat.session.questions`); the judgements are pure
functions on what came back. Nothing is submitted: jobs are tried with ``sbatch --test-only``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rsdat.config.models import Job, Site
from rsdat.config.units import format_walltime
from rsdat.environment import advice
from rsdat.errors import RsdatError
from rsdat.host.base import Host
from rsdat.jobqueue import queue_named
from rsdat.jobqueue.slurm_words import duration
from rsdat.session import memory
from rsdat.session.questions import (
    IMPORT_PATIENCE,
    PACKAGES,
    TOO_LATE,
    Answer,
    ask,
    jobs,
    parse,
    questions,
)

#: Seconds between the clocks of laptop and cluster from which certificates are in doubt.
MOST_SKEW = 60

Answers = Mapping[str, Answer]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool | None
    """None where it could not be told."""
    message: str
    fix: str = ""
    """What to do when it is not right."""


def diagnose(site: Site, host: Host) -> Iterator[Finding]:
    """Check a site and yield the findings as they are known; leaves no job behind.

    Whatever cannot be reached is a finding, not an error.
    """
    if site.connection.host is None:
        yield Finding("ssh", True, "not needed: this machine")
    else:
        reached = _reach(host)
        yield reached
        if not reached.ok:
            return
    try:
        scripts = _scripts(site)
    except RsdatError as error:
        yield Finding("site", False, error.message, error.hint or "")
        return
    word, argv = ask(questions(site, scripts))
    before = time.time()
    try:
        stdout = host.run(argv, timeout=300, check=False).stdout
    except (RsdatError, TimeoutError) as error:
        yield Finding("commands", False, f"{host.name}: {error}", "Try again in a few minutes.")
        return
    answers = parse(stdout, word)
    after = time.time()
    yield from shell_noise(answers)
    if site.queue == "slurm":
        yield slurm_commands(answers)
        for label, job in jobs(site).items():
            yield job_accepted(site, label, job, answers)
    yield environment(site, answers)
    if site.queue == "slurm":
        yield route(site, host, answers)
    yield clock(answers, before, after)
    yield disk(site, answers)


def _reach(host: Host) -> Finding:
    try:
        host.connect()
    except RsdatError as error:
        return Finding("ssh", False, error.message, error.hint or "")
    return Finding("ssh", True, f"{host.name} answers")


def _scripts(site: Site) -> dict[str, str]:
    from rsdat.cluster import worker_script
    from rsdat.session.launch import head_script

    return {
        "head": head_script(site),
        **{f"pool.{name}": worker_script(site, name) for name in site.pools},
    }


def shell_noise(answers: Answers) -> Iterator[Finding]:
    """Whether the login shell prints something before it runs a command; nothing without ssh."""
    answer = answers.get("shell")
    if answer is None:
        return
    lines = answer.text.strip().splitlines()
    if not lines:
        yield Finding("shell", True, "the login shell is quiet")
        return
    yield Finding(
        "shell",
        None,
        f"the login shell prints {len(lines)} lines before every command, first {lines[0]!r}; "
        "rsdat passes over them, scp and rsync may not",
        "Let .bashrc (or .cshrc, .zshenv) print in interactive shells only.",
    )


def slurm_commands(answers: Answers) -> Finding:
    """Whether Slurm's commands are there, and their version."""
    lines = answers["slurm"].text.splitlines() if "slurm" in answers else []
    facts = dict(line.split(" ", 1) for line in lines if " " in line)
    missing = [name for name, place in facts.items() if place == "missing"]
    if "sbatch" in missing or not facts:
        return Finding(
            "slurm",
            False,
            "there is no sbatch on this host",
            "Set connection.host to a login node, or add the directory of sbatch to PATH in "
            ".profile there.",
        )
    version = facts.get("version", "").strip()
    hard = [name for name in missing if name != "sacct"]
    if hard:
        return Finding(
            "slurm", False, f"{version}, but without {', '.join(hard)}", "Ask the site's support."
        )
    note = " (no sacct: jobs that ended long ago cannot be asked for)" if missing else ""
    return Finding("slurm", True, f"{version}{note}")


def job_accepted(site: Site, label: str, job: Job, answers: Answers) -> Finding:
    """Whether Slurm would take this job, and whether it could ever start."""
    check = "head job" if label == "head" else f"worker {label.removeprefix('pool.')}"
    place = "head" if label == "head" else label.replace("pool.", "pools.")
    answer = answers.get(label)
    if answer is None:
        return Finding(check, None, "sbatch --test-only gave no answer", "Try again in a while.")
    queue = queue_named(site.queue)
    if answer.status:
        said = " ".join(answer.text.split())
        cause = queue.refusal(answer.text)
        return Finding(
            check,
            False,
            f"refused: {said or f'exit status {answer.status}'}",
            cause or f"Correct {place} of site {site.name}.",
        )
    problem = _never_starts(job, answers)
    if problem:
        return Finding(check, False, *problem)
    start = queue.parse_try(answer.text)
    when = f", would start {_when(start)}" if start else ""
    partition = f" in partition {job.partition}" if job.partition else ""
    return Finding(check, True, f"accepted{partition}{when}")


def _never_starts(job: Job, answers: Answers) -> tuple[str, str] | None:
    """What sbatch does not say where it accepts jobs beyond the partition's limits."""
    for line in answers["partitions"].text.splitlines() if "partitions" in answers else ():
        name, _, rest = line.partition("|")
        state, _, most = rest.partition("|")
        if job.partition != name.rstrip("*") and (job.partition or not name.endswith("*")):
            continue
        if state != "up":
            return (
                f"partition {name.rstrip('*')} is {state}: the job would wait",
                "Choose another with --partition, or wait until it is up (`sinfo -s`).",
            )
        limit = duration(most)
        if limit and job.walltime and job.walltime > limit:
            return (
                f"walltime {format_walltime(job.walltime)} is over the {most} of partition "
                f"{name.rstrip('*')}: the job would never start",
                "Give a shorter --walltime, or another --partition.",
            )
    return None


def _when(start: datetime) -> str:
    seconds = (start - datetime.now(UTC)).total_seconds()
    if seconds < 60:
        return "at once"
    if seconds < 3600:
        return f"in {seconds / 60:.0f} min"
    return f"on {start.astimezone():%d %B at %H:%M}"


def environment(site: Site, answers: Answers) -> Finding:
    """Whether the site's Python imports what a session needs."""
    answer = answers.get("environment")
    text = answer.text if answer else ""
    facts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    failed = {
        name: facts[name].removeprefix("missing ")
        for name in PACKAGES
        if facts.get(name, "").startswith("missing ")
    }
    if failed:
        why = next(iter(failed.values()))
        return Finding(
            "environment", False, f"{', '.join(failed)} cannot be imported ({why})", advice(site)
        )
    if all(name in facts for name in PACKAGES):
        versions = f"rsdat {facts['rsdat']}, dask {facts['dask']}, jupyterlab {facts['jupyterlab']}"
        return Finding("environment", True, f"python {facts.get('python', '?')}, {versions}")
    if answer and answer.status == TOO_LATE:
        return Finding(
            "environment",
            None,
            f"the site's Python had not imported all after {IMPORT_PATIENCE} s: its disk, or the "
            "host, is very slow just now",
            "Try again. Where it stays so, set directory to a faster disk for this site.",
        )
    said = text.strip().splitlines()
    message = said[-1] if said else "the site's Python gave no answer"
    if site.environment.container:
        # Images are often for compute nodes only.
        return Finding("environment", None, f"not seen on the login host: {message}", advice(site))
    return Finding("environment", False, message, advice(site))


def route(site: Site, host: Host, answers: Answers) -> Finding:
    """How JupyterLab on a compute node is reached: as set, as remembered, or as probed now."""
    ways = {
        "socket": "unix socket, by ssh to the node",
        "tcp": "one TCP address with a token, through the login host",
    }
    wanted = site.connection.route
    if wanted != "auto":
        return Finding("route", True, f"{ways[wanted]} (set by connection.route)")
    remembered = memory.route_of(site.name)
    if remembered in ways:
        return Finding("route", True, f"{ways[remembered]} (as the last time)")
    answer = answers.get("node")
    nodes = answer.text.split() if answer and answer.status == 0 else []
    if nodes and host.reaches(nodes[0]):
        return Finding("route", True, f"{ways['socket']} ({nodes[0]} lets us in)")
    return Finding(
        "route",
        None,
        "not known yet: no node lets us in without a job there; the first connection finds out",
        "Set connection.route to tcp if compute nodes never take ssh.",
    )


def clock(answers: Answers, before: float, after: float) -> Finding:
    """Whether the clocks agree: the question was asked between ``before`` and ``after``."""
    answer = answers.get("date")
    if answer is None or not answer.text.strip().isdecimal():
        return Finding("clock", None, "the host did not tell its time")
    there = int(answer.text)
    skew = max(before - there, there - after, 0)
    if skew <= MOST_SKEW:
        return Finding("clock", True, "agrees with this machine's")
    way = "ahead of" if there > after else "behind"
    return Finding(
        "clock",
        False,
        f"the host's clock is {skew:.0f} s {way} this machine's; certificates of new sessions "
        "may be taken for invalid",
        "Have the clock set that is wrong (timedatectl; NTP).",
    )


def disk(site: Site, answers: Answers) -> Finding:
    """Whether there is room where sessions are kept."""
    lines = answers["disk"].text.splitlines() if "disk" in answers else []
    facts = dict((line + " ").split(" ", 1) for line in lines)
    directory = facts.get("directory", site.directory).strip()
    fix = f"Make room in {directory} (`du -xsh ~/.[!.]* ~/*`), or set `directory` of the site."
    if "writable" not in facts:
        said = " ".join(line for line in lines if "rsdat" in line or "space" in line)
        return Finding("disk", False, f"{directory} cannot be written to: {said.strip()}", fix)
    if "over" in facts:
        return Finding("disk", False, f"the quota of {directory} is exceeded", fix)
    numbers = [word for word in facts.get("df", "").split() if word.isdecimal()]
    if len(numbers) < 3:
        return Finding("disk", True, f"{directory} is writable")
    free = int(numbers[2]) / 2**20
    if free < 1:
        return Finding("disk", None, f"{free * 1024:.0f} MiB free in {directory}", fix)
    return Finding("disk", True, f"{free:.0f} GiB free in {directory}")
