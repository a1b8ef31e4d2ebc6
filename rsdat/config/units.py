"""Memory and walltime as people write them: ``8GiB``, ``10h``, ``1-12:00:00``."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Any

_MEMORY_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    # Slurm's letters are powers of 1024, and admins copy them from their queue.
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_memory(value: Any) -> int:
    """Bytes of a text such as ``8GiB`` or ``4G``; an integer is bytes already."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a memory size such as 8GiB, got {value!r}")
    if isinstance(value, int):
        return _positive(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    if not match or match[2].upper() not in _MEMORY_UNITS:
        raise ValueError(f"expected a memory size such as 8GiB, got {value!r}")
    return _positive(int(Fraction(match[1]) * _MEMORY_UNITS[match[2].upper()]))


def _positive(value: int) -> int:
    # Slurm takes 0 for "all of the node", which no Dask worker can be told.
    if value <= 0:
        raise ValueError(f"expected a memory size above nothing, got {value}")
    return value


def format_memory(value: int) -> str:
    """The shortest exact text for a number of bytes, as ``8GiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        size = _MEMORY_UNITS[unit.upper()]
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}B"


def parse_walltime(value: Any) -> timedelta:
    """A duration from ``10h``, ``1h30m``, ``90m``, ``D-HH:MM:SS``, ``HH:MM:SS`` or ``HH:MM``."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"(\d+[dhms])+", text):
            seconds = sum(int(n) * _UNIT_SECONDS[u] for n, u in re.findall(r"(\d+)([dhms])", text))
            return timedelta(seconds=seconds)
        match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d{2})(?::(\d{2}))?", text)
        if match:
            days, hours, minutes, rest = (int(group or 0) for group in match.groups())
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest)
    # A bare number means minutes to Slurm and seconds to most others: refuse to guess. YAML reads
    # an unquoted 10:30:00 as a base-60 integer, which lands here as well.
    raise ValueError(f'expected a walltime such as 10h, 90m or "1-12:00:00", got {value!r}')


def format_walltime(value: timedelta) -> str:
    """``D-HH:MM:SS`` or ``HH:MM:SS``, which every queue here understands."""
    total = int(value.total_seconds())
    days, rest = divmod(total, 86400)
    clock = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def short_walltime(value: timedelta) -> str:
    """As people write it: ``8h``, ``1d12h``, ``90s``."""
    rest, text = int(value.total_seconds()), ""
    for unit, seconds in _UNIT_SECONDS.items():
        count, rest = divmod(rest, seconds)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
