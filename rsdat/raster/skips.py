"""What was left out, where leaving out was asked for: told, and refused where nothing is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from rsdat.errors import DataError
from rsdat.raster.image import Skipped, Span

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


def unread(
    inputs: Callable[[Span], Sequence[str]], tiles: Collection[tuple[Span, Sequence[Skipped]]]
) -> frozenset[str]:
    """Ids of the items that were left out wherever they lie.

    Parameters
    ----------
    inputs
        Ids of the items that lie in a tile.
    tiles
        The tiles, and what was left out of them.

    Raises
    ------
    NothingRead
        They are all that there are.
    """
    gone = {one.item for _, skipped in tiles for one in skipped}
    if not gone:
        return frozenset()
    read = False
    for span, skipped in tiles:
        there, missing = inputs(span), {one.item for one in skipped}
        # Counted as well: items of two collections may share an id.
        read = read or len(skipped) < len(there) or not missing.issuperset(there)
        gone -= set(there) - missing
    if not read:
        first = next(one for _, skipped in tiles for one in skipped)
        raise NothingRead(
            f"nothing could be read: {first.reason}",
            hint="fetch the files again, or choose other items",
            asset=first.asset,
        )
    return frozenset(gone)


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
