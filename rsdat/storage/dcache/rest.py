"""dCache's REST interface as pure functions: queries to send, entries read from its JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rsdat.storage.dcache import checksums
from rsdat.storage.dcache.paths import join

TYPES = {"REGULAR": "file", "DIR": "directory", "LINK": "link", "SPECIAL": "other"}
# Flags of the namespace that an entry's optional facts need.
FLAGS = ("locality", "locations", "qos", "xattr", "labels", "checksum", "optional")

Entry = dict[str, Any]


def query(flags: tuple[str, ...] = (), **page: int) -> str:
    """The query of a namespace request: ``children`` and the facts that are wanted."""
    pairs = [f"{flag}=true" for flag in flags] + [f"{key}={n}" for key, n in page.items()]
    return "?" + "&".join(pairs) if pairs else ""


def entry(path: str, record: dict[str, Any]) -> Entry:
    """One entry as fsspec describes it, from an answer of the namespace.

    Returns
    -------
    dict
        ``name, size, type`` of fsspec (directories have size 0); ``mtime`` in seconds since 1970,
        ``created`` likewise or None; ``mimetype``, ``pnfsid``, ``mode``; and, where they were
        asked for, ``locality``, ``locations``, ``qos``, ``xattrs``, ``labels``, ``checksums``.
    """
    kind = TYPES.get(record.get("fileType", ""), "other")
    found: Entry = {
        "name": path,
        "size": 0 if kind == "directory" else record.get("size"),
        "type": kind,
        "mtime": _seconds(record.get("mtime")),
        "created": _seconds(record.get("creationTime")),
        "mimetype": record.get("fileMimeType"),
        "pnfsid": record.get("pnfsId"),
        "mode": record.get("mode"),
    }
    names = {
        "fileLocality": "locality",
        "locations": "locations",
        "currentQos": "qos",
        "targetQos": "target_qos",
        "extendedAttributes": "xattrs",
        "labels": "labels",
    }
    found |= {ours: record[theirs] for theirs, ours in names.items() if theirs in record}
    if "checksums" in record:
        found["checksums"] = checksums.of_json(record["checksums"])
    return found


def children(path: str, record: dict[str, Any]) -> list[Entry]:
    """The entries below a directory, from an answer with ``children=true``."""
    listed = record.get("children") or []
    return [entry(join(path, str(one["fileName"])), one) for one in listed if "fileName" in one]


def parse(body: bytes) -> Any:
    """The JSON of an answer.

    Raises
    ------
    ValueError
        It is none: a proxy's login page, say.
    """
    return json.loads(body)


def detail(body: bytes) -> str:
    """What an error's body says, in either of dCache's two forms; else its first line of text."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    errors = said.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("message", ""))
    return str(said.get("detail") or said.get("title") or "")


def discovered(answer: Any) -> tuple[str | None, str | None]:
    """The bases of the REST interface and of the tape interface in a WLCG discovery document.

    dCache's tape interface is a part of its REST interface, others have the tape interface alone.
    """
    endpoints = answer.get("endpoints") if isinstance(answer, dict) else None
    for endpoint in endpoints or []:
        uri = str(endpoint.get("uri", "")).rstrip("/")
        if str(endpoint.get("version", "v1")) != "v1" or not uri.startswith("http"):
            continue
        base = uri.removesuffix("/tape")
        return (base if base != uri and base.endswith("/api/v1") else None), uri
    return None, None


def moment(seconds: float | None) -> datetime | None:
    """A time of an entry, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
