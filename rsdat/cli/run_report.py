"""What `rsdat run` says: the estimate before it begins, and what it has written."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rsdat.cli.output import print_json

if TYPE_CHECKING:
    from rsdat.raster.estimate import Estimate
    from rsdat.raster.image import Skipped
    from rsdat.raster.recipes import Results


def say_estimate(estimate: Estimate, *, as_json: bool) -> None:
    """The estimate alone."""
    if as_json:
        print_json(estimate.words())
    else:
        print(estimate, flush=True)


def say_results(
    made: Results, estimate: Estimate, place: str, seconds: float, *, as_json: bool
) -> None:
    """What was written, and what was left out."""
    skipped = _left_out([*made.skipped, *(one for done in made.results for one in done.skipped)])
    if as_json:
        print_json(
            {
                "outputs": [
                    {
                        "path": done.path,
                        "preview": done.preview,
                        "item": done.item,
                        "inputs": list(done.inputs),
                        "skipped": _left_out(done.skipped),
                    }
                    for done in made.results
                ],
                "skipped": skipped,
                "estimate": estimate.words(),
                "seconds": round(seconds, 2),
                "computed": place,
            }
        )
        return
    for done in made.results:
        print(f"{done.path}  {done.bytes / 1e6:.1f} MB, from {len(done.inputs)} item(s)")
        seen = f"preview {_name(done.preview)}, " if done.preview else ""
        print(f"  {seen}STAC item {_name(done.item)}")
    print(f"done in {seconds:.1f} s {place}")
    if skipped:
        print(
            f"rsdat: {len(skipped)} source(s) could not be read and were left out:", file=sys.stderr
        )
    for one in skipped:
        where = f" (in {one['places']} places)" if one["places"] > 1 else ""
        print(f"  {one['reason']}{where}", file=sys.stderr)  # it names the item and the asset


def _left_out(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    from rsdat.raster.skips import left_out

    return left_out(skipped)


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
