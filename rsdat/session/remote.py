"""The static shell scripts that run on a session's host, and the parsing of what they print.

The scripts take everything as arguments or on stdin; nothing is ever pasted into them.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

#: Exit statuses of launch.sh that are not the queue's.
NO_SPACE, NO_ENVIRONMENT = 96, 97


@cache
def script(name: str) -> str:
    """The text of one of our scripts."""
    return files("rsdat.session").joinpath("scripts", f"{name}.sh").read_text()


def call(name: str, *arguments: str) -> list[str]:
    """Argv that runs one of our scripts with these arguments."""
    return ["sh", "-c", script(name), f"rsdat-{name}", *arguments]


def bundle(contents: Mapping[str, str]) -> bytes:
    """A tar stream of small text files, readable by their owner only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in contents.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Submitted:
    """What launch.sh reported: the directory, the host it ran on, the queue's answer."""

    directory: str
    host: str
    answer: str


def parse_submitted(stdout: str) -> Submitted:
    """Read the report of launch.sh. Raises :class:`ValueError` on anything else."""
    head, marker, answer = stdout.partition("\nsubmitted\n")
    fields = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    if not marker or not {"directory", "host"} <= fields.keys():
        raise ValueError(f"unexpected answer to a submission: {stdout[:200]!r}")
    return Submitted(fields["directory"], fields["host"], answer)


@dataclass(frozen=True)
class Event:
    """One thing that watch.sh saw: ``node``, ``ready``, ``end``, ``missing`` or ``queue``."""

    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    status: int = 0


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Turn the lines of watch.sh into events, as they come."""
    status = 0
    block: list[str] | None = None
    for raw in lines:
        line = raw.rstrip("\n")
        if block is not None:
            if line.startswith("| "):
                block.append(line[2:])
            elif line == ".":
                yield Event("queue", "\n".join(block), status=status)
                block = None
            continue
        kind, _, rest = line.partition(" ")
        if kind == "queue":
            status, block = int(rest), []
        elif kind in ("ready", "end"):
            yield Event(kind, data=json.loads(rest))
        elif kind in ("node", "missing"):
            yield Event(kind, rest)


@dataclass(frozen=True)
class Record:
    """The files of one session directory, as list.sh printed them."""

    id: str
    directory: str
    job: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    ready: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    node: str = ""
    worker_logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """All sessions of a user below one root, and the queue's answer with its exit status."""

    root: str
    records: tuple[Record, ...]
    queue_status: int
    queue_text: str
    host: str = ""
    """The machine that was asked."""


def parse_listing(stdout: str) -> Listing:
    """Read the output of list.sh; a record with a file that does not parse keeps the others."""
    root, host, status, text = "", "", 1, ""
    found: dict[str, dict[str, str]] = {}
    for part in stdout.split("\x1e")[1:]:
        title, _, body = part.partition("\n")
        identity, _, name = title.partition("/")
        if name == "root":
            root = body.strip()
        elif name == "host":
            host = body.strip()
        elif name.startswith("queue "):
            status, text = int(name.split()[1]), body
        else:
            found.setdefault(identity, {})[name] = body.strip()
    records = tuple(_record(root, key, contents) for key, contents in found.items())
    return Listing(root, records, status, text, host)


def _record(root: str, identity: str, contents: Mapping[str, str]) -> Record:
    def read(name: str) -> dict[str, Any] | None:
        try:
            value = json.loads(contents[name])
        except (KeyError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    return Record(
        id=identity,
        directory=f"{root}/sessions/{identity}",
        job=contents.get("job", ""),
        request=read("request.json") or {},
        ready=read("ready.json"),
        end=read("end.json"),
        node=contents.get("node", ""),
        worker_logs=tuple(contents.get("workers", "").split()),
    )


def quoted(argv: Sequence[str]) -> str:
    """An argv for a person to read or paste."""
    import shlex

    return shlex.join(argv)
