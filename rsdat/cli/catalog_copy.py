"""`rsdat catalog copy`: items with their assets to another place, on a session's workers."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli.data_words import named
from rsdat.cli.run_options import Bbox, Collection, Json, Limit, When, bbox_of, names

if TYPE_CHECKING:
    from rsdat.catalog.copying import CopyReport, Failure

#: Failures of one kind that are listed; `--json` lists all.
_LISTED = 5


Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="A catalog, a file of items, or a STAC API.", callback=named
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="DST", help="The directory, as dcache://door.org/scenes.", callback=named
    ),
]
Assets = Annotated[
    str | None,
    typer.Option("--assets", help="Keys, with commas; default all data, as no thumbnails."),
]
Where = Annotated[str | None, typer.Option("--where", help="CQL2, as 'eo:cloud_cover < 20'.")]
Ids = Annotated[str | None, typer.Option("--ids", help="Of items, with commas.")]
DropMissing = Annotated[
    bool, typer.Option("--drop-missing", help="Leave out assets that are not at the target.")
]
OnError = Annotated[
    str, typer.Option("--on-error", help="continue with the others, or raise the first.")
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, help="Files at one time, without a session.")
]
SessionName = Annotated[
    str | None, typer.Option("--session", help="Copy on this session's workers.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say files and bytes, and copy nothing.")]


def copy(
    source: Source,
    target: Target,
    assets: Assets = None,
    where: Where = None,
    bbox: Bbox = None,
    datetime: When = None,
    collections: Collection = None,
    ids: Ids = None,
    limit: Limit = None,
    drop_missing: DropMissing = False,
    on_error: OnError = "continue",
    concurrency: Concurrency = 8,
    session: SessionName = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy items with their assets; equal files are skipped.

    Run it again after an interruption: it goes on. The exit code is 9 if a part was not copied.
    """
    from rsdat.catalog.copying import copy_catalog
    from rsdat.errors import Incomplete

    options: dict[str, Any] = {
        "assets": names(assets),
        "where": where,
        "bbox": bbox_of(bbox),
        "datetime": datetime,
        "collections": names(collections),
        "ids": names(ids),
        "limit": limit,
        "drop_missing": drop_missing,
        "on_error": on_error,
        "concurrency": concurrency,
    }
    if dry_run:
        report, place = copy_catalog(source, target, **options, dry_run=True), ""
    else:
        report, place = _copied(source, target, options, session, quiet=as_json)
    if as_json:
        _print_json(report, place)
    else:
        _print(report, place)
    if report.failed:
        raise typer.Exit(Incomplete.exit_code)


def _copied(
    source: str, target: str, options: dict[str, Any], session: str | None, *, quiet: bool
) -> tuple[CopyReport, str]:
    """The report of a copy, and where it was made, in words."""
    from rsdat.catalog.copying import copy_catalog
    from rsdat.cli.computing import session_client
    from rsdat.cli.data_words import copying

    with session_client(session) as (client, place):
        try:
            with copying(silent=quiet) as progress:
                report = copy_catalog(source, target, **options, client=client, progress=progress)
        except KeyboardInterrupt:
            print(
                "rsdat: interrupted; the catalog is as before, and the same command goes on",
                file=sys.stderr,
            )
            raise
    return report, place


def _print_json(report: CopyReport, place: str) -> None:
    from dataclasses import asdict

    from rsdat.cli.output import print_json

    print_json({**asdict(report), **({"place": place} if place else {})})


def _print(report: CopyReport, place: str) -> None:
    from rsdat.cli.data_words import size

    copied, skipped, failed = len(report.copied), len(report.skipped), len(report.failed)
    if report.dry_run:
        print(f"to copy   {copied} assets of {report.items} items, {size(report.nbytes)}")
        print(f"there     {skipped} assets")
    else:
        print(f"{report.catalog}: {report.items} items")
        print(f"copied    {copied} assets, {size(report.nbytes)} in {report.seconds:.1f} s {place}")
        print(f"skipped   {skipped} assets that are there")
    if failed:
        print(f"failed    {failed}")
        _print_failures(report.failed)


def _print_failures(failed: tuple[Failure, ...]) -> None:
    """Failures by their hint: a wrong token has one cause and a thousand places."""
    kinds: dict[str | None, list[Failure]] = defaultdict(list)
    for one in failed:
        kinds[one.hint].append(one)
    for hint, some in kinds.items():
        for one in some[:_LISTED]:
            name = " ".join(word for word in (one.item, one.asset) if word)
            print(f"  {f'{name}: ' if name else ''}{one.reason}", file=sys.stderr)
        if len(some) > _LISTED:
            print(f"  and {len(some) - _LISTED} more (--json lists all)", file=sys.stderr)
        if hint:
            print(f"    → {hint}", file=sys.stderr)
