"""What was left out, where leaving out was asked for: told, and refused where nothing is left."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rsdat.errors import DataError
from rsdat.raster.image import Skipped

#: Files that one warning names.
_NAMED = 5


class NothingRead(DataError):
    """All that an image was to be made of was left out."""


def left_out(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    """What was left out as plain JSON values: one entry for each item and asset.

    ``reason`` is that of the first place where it could not be read, ``places`` how many there are.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in skipped:
        entry = {"item": one.item, "asset": one.asset, "reason": one.reason, "places": 0}
        found.setdefault((one.item, one.asset), entry)["places"] += 1
    return list(found.values())


def refuse_nothing(tiles: Iterable[tuple[Sequence[str], Sequence[Skipped]]]) -> None:
    """Refuse an image of which nothing could be read.

    Parameters
    ----------
    tiles
        For each tile the ids of the items that lie there, and what was left out of them.

    Raises
    ------
    NothingRead
        All items were left out, wherever they lie.
    """
    first: Skipped | None = None
    for wanted, skipped in tiles:
        # Counted as well: items of two collections may share an id.
        if len(skipped) < len(wanted) or not set(wanted) <= {one.item for one in skipped}:
            return
        first = first or next(iter(skipped), None)
    if first is not None:
        raise NothingRead(
            f"nothing could be read: {first.reason}",
            hint="fetch the files again, or choose other items",
            asset=first.asset,
        )


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
