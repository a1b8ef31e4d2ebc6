"""The `rsdat data` commands for tape: stage brings files to disk, release lets them go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rsdat.cli.data_words import Json, Recursive, named

if TYPE_CHECKING:
    from rsdat.storage.transfer_listing import Entry
    from rsdat.storage.transfer_staging import Brought

What = Annotated[
    list[str],
    typer.Argument(metavar="PLACE", help="STAC catalogs, files, directories.", callback=named),
]
Assets = Annotated[
    str | None, typer.Option(help="Of a catalog: these assets alone, as red,nir,scl.")
]

#: Files that hold STAC, and what a catalog's directory has in it.
CATALOGS = (".json", ".geojson", ".ndjson", ".parquet")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (stage, release):
        app.command()(command)


def stage(
    what: What,
    recursive: Recursive = False,
    assets: Assets = None,
    lifetime: Annotated[
        str, typer.Option(help="How long they stay on disk at least, as P1D or 12h.")
    ] = "P1D",
    wait: Annotated[bool, typer.Option(help="Wait until they are on disk.")] = True,
    as_json: Json = False,
) -> None:
    """Bring files from tape to disk, in one request for many.

    What is on disk already is not asked for. Ctrl-C ends the waiting; the files keep coming, and
    the same command tells how far they are.
    """
    from rsdat.cli.data_words import bar, period_of
    from rsdat.storage.transfer_staging import bring

    period = period_of(lifetime, "--lifetime")
    entries = _files(what, recursive, assets)
    with bar("asking for the files", silent=as_json) as show:

        def tell(done: int, total: int) -> None:
            if show is not None:
                show(done / total if total else None, f"{done} of {total} files from tape")

        brought = bring(entries, period, wait=wait, progress=tell)
    _print(brought, as_json)
    if brought.failed:
        from rsdat.errors import DataError

        raise typer.Exit(DataError.exit_code)


def release(
    what: What, recursive: Recursive = False, assets: Assets = None, as_json: Json = False
) -> None:
    """Let the disk copies of staged files go before their time."""
    from rsdat.cli.output import print_json
    from rsdat.storage.transfer_staging import let_go

    count = let_go(_files(what, recursive, assets))
    if as_json:
        print_json({"released": count})
        return
    print(f"{count} file(s) released")


def _files(what: list[str], recursive: bool, assets: str | None) -> list[Entry]:
    from rsdat.storage.transfer_listing import expand, only_files

    found: dict[str, Entry] = {}
    for place in what:
        entries = expand(place)
        catalogs = [one for one in entries if _is_catalog(one)]
        of_catalogs = [entry for one in catalogs for entry in _of_catalog(one.url, assets)]
        rest = only_files([one for one in entries if one not in catalogs], recursive)
        found |= {one.url: one for one in (*of_catalogs, *rest)}
    return list(found.values())


def _is_catalog(entry: Entry) -> bool:
    from rsdat.storage.transfer_listing import children

    if not entry.is_directory:
        return entry.name.endswith(CATALOGS)
    return any(one.name in ("catalog.json", "collection.json") for one in children(entry))


def _of_catalog(url: str, assets: str | None) -> list[Entry]:
    from rsdat.catalog import search
    from rsdat.errors import DataError
    from rsdat.storage import shown
    from rsdat.storage.transfer_listing import Entry

    wanted = {name.strip() for name in assets.split(",")} if assets else None
    hrefs = [
        asset.get_absolute_href()
        for item in search(url)
        for key, asset in item.assets.items()
        if wanted is None or key in wanted
    ]
    found = {href: Entry(href, "file") for href in hrefs if href}
    if not found:
        raise DataError(
            f"{shown(url)} has no assets" + (f" {assets}" if assets else ""),
            hint="`rsdat catalog summarise` tells the names of its assets",
        )
    return list(found.values())


def _print(brought: Brought, as_json: bool) -> None:
    from rsdat.cli.output import print_json
    from rsdat.storage import shown

    if as_json:
        print_json(
            {
                "online": [shown(url) for url in brought.online],
                "staged": [shown(url) for url in brought.staged],
                "coming": [shown(url) for url in brought.coming],
                "failed": {shown(url): reason for url, reason in brought.failed},
            }
        )
        return
    for url, reason in brought.failed:
        print(f"rsdat: {shown(url)} does not come: {reason}", file=sys.stderr)
    if brought.failed:
        print("  → ask the storage's administrators, or leave them out", file=sys.stderr)
    counts = [
        (len(brought.online), "on disk already"),
        (len(brought.staged), "brought to disk"),
        (len(brought.coming), "on their way from tape"),
        (len(brought.failed), "failed"),
    ]
    print("; ".join(f"{count} {words}" for count, words in counts if count) or "no files")
