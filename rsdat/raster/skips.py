"""What was left out, where leaving out was asked for: as plain values, and as a warning."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rsdat.raster.image import Skipped

#: Files that one warning names.
_NAMED = 5


def left_out(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    """What was left out as plain JSON values: one entry for each item and asset.

    ``reason`` is that of the first place where it could not be read, ``places`` how many there are.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in skipped:
        entry = {"item": one.item, "asset": one.asset, "reason": one.reason, "places": 0}
        found.setdefault((one.item, one.asset), entry)["places"] += 1
    return list(found.values())


def warn_of(skipped: Iterable[Skipped], *, stacklevel: int = 2) -> None:
    """Warn of what is missing from pixels that are handed on without a description.

    A reason names the item, the asset and the place. On a Dask worker the warning is its client's,
    too. ``stacklevel`` is as for :func:`warnings.warn`.
    """
    found = left_out(skipped)
    if not found:
        return
    lines = [f"  {one['reason']}" for one in found[:_NAMED]]
    if len(found) > _NAMED:
        lines.append(f"  and {len(found) - _NAMED} more")
    text = "\n".join([f"{len(found)} source(s) could not be read and were left out:", *lines])
    if "distributed" in sys.modules:
        from distributed import warn
    else:
        from warnings import warn
    warn(text, stacklevel=stacklevel + 1)
