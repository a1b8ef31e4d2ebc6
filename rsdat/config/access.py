"""The merged ``credentials`` of this process: of its session, and of the files on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsdat.config.check import check, with_empty_sections
from rsdat.config.load import read_layer
from rsdat.config.origin import Layer, Origin, invalid
from rsdat.config.places import Places, places
from rsdat.config.values import Values, begins, from_mapping, merge

if TYPE_CHECKING:
    from rsdat.config.models import Access

_SECTION = ("credentials",)
_Stamp = tuple[tuple[str, int, int], ...]
_kept: tuple[_Stamp, dict[str, Access]] | None = None


def accesses(
    *, environ: Mapping[str, str] | None = None, where: Places | None = None
) -> dict[str, Access]:
    """Address pattern to what it says, the session's site first and this machine's files over it.

    In a session (``RSDAT_SESSION``) the site counts as it was at launch; outside, the files of the
    site that ``RSDAT_SITE`` names (``local``). ``defaults.yaml`` counts in both. Files are read
    again when they have changed.

    Raises
    ------
    InvalidSite
        The section is wrong in one of the files; each problem with its place.
    """
    global _kept
    environ = os.environ if environ is None else environ
    where = where or places(environ)
    session = environ.get("RSDAT_SESSION")
    record = Path(os.path.expandvars(session), "site.json").expanduser() if session else None
    name = (_site_of(record) if record else environ.get("RSDAT_SITE")) or "local"
    files = where.files(name)
    stamp = _stamp([*([record] if record else []), *(path for _, path in files)])
    if _kept is None or _kept[0] != stamp:
        _kept = stamp, _merged(record, files)
    return _kept[1]


def _merged(record: Path | None, files: list[tuple[Layer, Path]]) -> dict[str, Access]:
    layers, problems = [], []
    if record is not None:
        origin = Origin(Layer.SHIPPED, str(record))
        layers.append(from_mapping({"credentials": _recorded(record, "credentials") or {}}, origin))
    for layer, path in files:
        values, wrong = read_layer(path, layer)
        layers.append(values)
        problems += wrong
    merged = merge(with_empty_sections(_only(values)) for values in layers)
    leaves: dict[tuple[str, ...], Any] = {("name",): "credentials", **merged.leaves}
    site, found = check(Values(leaves, merged.origins))
    problems = [p for p in problems if p.key.startswith("credentials")] + found
    if site is None or problems:
        raise invalid("credentials", problems)
    return site.credentials


def _only(values: Values) -> Values:
    return Values(
        {path: value for path, value in values.leaves.items() if begins(path, _SECTION)},
        {path: origin for path, origin in values.origins.items() if begins(path, _SECTION)},
    )


def _recorded(record: Path, key: str) -> Any:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get(key) if isinstance(content, dict) else None


@lru_cache(maxsize=8)
def _site_of(record: Path) -> str:
    return str(_recorded(record, "name") or "")


def _stamp(paths: list[Path]) -> _Stamp:
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)
