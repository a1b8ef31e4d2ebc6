"""The `rsdat catalog` commands: make, extend, search, copy, check, summarise and index catalogs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli import catalog_copy, catalog_search
from rsdat.cli.data_words import named

if TYPE_CHECKING:
    from rsdat.catalog.making import Made, OnError
    from rsdat.catalog.summarising import Summary

app = typer.Typer(
    no_args_is_help=True, help="STAC catalogs: make, search, copy, check, summarise, index."
)

Catalog = Annotated[
    str,
    typer.Argument(metavar="CATALOG", help="Its directory, file or address.", callback=named),
]
Source = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="Where the raster files lie.", callback=named)
]
Added = Annotated[
    str,
    typer.Argument(metavar="DIR|URL|ITEM", help="Files, or a STAC item.", callback=named),
]
Out = Annotated[
    str,
    typer.Option("--out", "-o", help="Where the catalog is to be made.", callback=named),
]
Collection = Annotated[str | None, typer.Option(help="Id of the collection for the items.")]
PatternText = Annotated[
    str | None, typer.Option("--pattern", help="Form of the names: '{id}_{date}_{band}.tif'.")
]
Errors = Annotated[str, typer.Option("--on-error", help="Files that cannot be used: raise, skip.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

app.command("copy")(catalog_copy.copy)
app.command("search")(catalog_search.search)


@app.command()
def make(
    source: Source,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Where the catalog is to be made.", callback=named)
    ],
    collection: Collection = None,
    pattern: PatternText = None,
    on_error: Errors = "raise",
    as_json: Json = False,
) -> None:
    """Make a catalog of the raster files below a directory.

    Grid, bands and time are read from the files; which files make up an item, from their names.
    """
    from rsdat.catalog import make_catalog

    skip = on_error_of(on_error)
    with _counting("made", as_json) as count:
        made = make_catalog(
            source, out, collection=collection, pattern=pattern, on_error=skip, progress=count
        )
    _report(made, "written", as_json)


@app.command()
def add(
    catalog: Catalog,
    source: Annotated[
        str, typer.Argument(metavar="DIR|URL|ITEM", help="Files, or a STAC item.", callback=named)
    ],
    collection: Collection = None,
    pattern: PatternText = None,
    on_error: Errors = "raise",
    as_json: Json = False,
) -> None:
    """Add raster files, or a STAC item, to a catalog."""
    from rsdat.catalog.adding import add_to_catalog

    skip = on_error_of(on_error)
    with _counting("added", as_json) as count:
        made = add_to_catalog(
            catalog, source, collection=collection, pattern=pattern, on_error=skip, progress=count
        )
    _report(made, "added", as_json)


@app.command()
def update(
    catalog: Catalog,
    prune: Annotated[bool, typer.Option("--prune", help="Take out files that are gone.")] = False,
    on_error: Errors = "raise",
    as_json: Json = False,
) -> None:
    """Read the files again that have changed."""
    from rsdat.catalog.updating import update_catalog

    skip = on_error_of(on_error)
    with _counting("looked at", as_json) as count:
        made = update_catalog(catalog, prune=prune, on_error=skip, progress=count)
    _report(made, "updated", as_json)


@app.command()
def validate(
    catalog: Catalog,
    assets: Annotated[
        bool, typer.Option("--assets", help="Look if local files of assets are there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a catalog with all its items, offline.

    The exit code is 8 where something is wrong.
    """
    from rsdat.catalog.validating import validate_catalog
    from rsdat.cli.output import print_json
    from rsdat.errors import DataError

    with _counting("checked", as_json) as count:
        found = validate_catalog(catalog, assets=assets, progress=count)
    if as_json:
        problems = [{"place": place, "problem": words} for place, words in found.problems]
        print_json({"checked": found.checked, "problems": problems, "unchecked": found.unchecked})
        if problems:
            raise typer.Exit(DataError.exit_code)
        return
    for place, words in found.problems:
        print(f"{place}: {words}")
    print(f"{found.checked} files checked, {len(found.problems)} problems")
    for extension, files in sorted(found.unchecked.items()):
        print(f"not checked: {extension} ({files} files)")
    if found.problems:
        raise typer.Exit(DataError.exit_code)


@app.command()
def summarise(
    catalog: Catalog,
    picture: Annotated[
        Path | None, typer.Option("--map", help="Draw where the items are: a PNG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a catalog holds, and draw where it is."""
    from rsdat.catalog import open_catalog, summarising
    from rsdat.catalog.api import is_api
    from rsdat.cli.output import print_json, print_table
    from rsdat.errors import ConfigError, DataError

    opened = open_catalog(catalog)
    if is_api(opened):
        raise ConfigError(
            "an API is not counted item by item", hint="search it: `rsdat catalog search`"
        )
    errors: list[DataError] = []
    with _counting("read", as_json) as count:
        summaries = summarising.summarise(opened, on_error=errors.append, progress=count)
    if picture is not None:
        from rsdat.catalog.mapping import draw_map
        from rsdat.storage import followed, write_atomically

        write_atomically(followed(picture), draw_map(summaries))
    if as_json:
        print_json([_facts(one) for one in summaries])
    else:
        head = ("COLLECTION", "ITEMS", "FIRST", "LAST", "BBOX", "CRS", "SIZE", "ASSETS")
        print_table(head, [_row(one) for one in summaries])
    for error in errors:
        typer.echo(f"left out: {error.message}", err=True)
    if errors:
        raise typer.Exit(DataError.exit_code)


@app.command()
def index(catalog: Catalog, as_json: Json = False) -> None:
    """Write an index that makes searches fast.

    It is a stac-geoparquet file beside the catalog (catalog.parquet), used while it fits the
    catalog: run this again after changes.
    """
    import pystac

    from rsdat.catalog import open_catalog
    from rsdat.catalog.api import is_api
    from rsdat.catalog.indexing import make_index
    from rsdat.cli.output import print_json
    from rsdat.errors import ConfigError
    from rsdat.storage import shown

    opened = open_catalog(catalog)
    if not isinstance(opened, pystac.Catalog) or is_api(opened):
        raise ConfigError(
            f"{shown(catalog)} is no static catalog", hint="an index belongs beside a catalog.json"
        )
    with _counting("indexed", as_json) as progress:
        place, count = make_index(opened, progress=progress)
    if as_json:
        print_json({"index": place, "items": count})
    else:
        print(f"{shown(place)}: {count} items")


@contextmanager
def _counting(done: str, quiet: bool) -> Iterator[Callable[[int], object] | None]:
    """A line that counts items, where somebody looks."""
    from rsdat.cli.data_words import bar

    with bar("reading what is there", silent=quiet) as show:
        yield None if show is None else lambda count: show(None, f"{count} items {done}")


def on_error_of(word: str) -> OnError:
    """What --on-error means. Raises ConfigError of another word."""
    from rsdat.errors import ConfigError

    if word == "raise":
        return "raise"
    if word == "skip":
        return "skip"
    raise ConfigError(f"--on-error {word!r} is not known", hint="raise or skip")


def _report(made: Made, done: str, as_json: bool) -> None:
    from dataclasses import asdict

    from rsdat.cli.output import print_json
    from rsdat.storage import shown

    if as_json:
        print_json(asdict(made))
        return
    for word, lines in (("note", made.notes), ("removed", made.removed), ("skipped", made.skipped)):
        for line in lines:
            typer.echo(f"{word}: {line}", err=True)
    print(f"{shown(made.catalog)}: {made.items} items with {made.assets} files {done}")


def _facts(summary: Summary) -> dict[str, Any]:
    return {
        "collection": summary.collection,
        "items": summary.items,
        "first": summary.first.isoformat() if summary.first else None,
        "last": summary.last.isoformat() if summary.last else None,
        "bbox": summary.bbox,
        "crs": sorted(summary.codes),
        "size": summary.size,
        "assets": summary.assets,
    }


def _row(summary: Summary) -> tuple[str, ...]:
    from rsdat.cli.data_words import size

    times = [f"{time:%Y-%m-%d}" if time else "-" for time in (summary.first, summary.last)]
    codes = sorted(summary.codes)
    crs = ",".join(codes[:3]) + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")
    assets = sorted(summary.assets)
    words = " ".join(assets[:8]) + (f" and {len(assets) - 8} more" if len(assets) > 8 else "")
    return (
        summary.collection or "-",
        str(summary.items),
        *times,
        ",".join(f"{edge:.2f}" for edge in summary.bbox or []) or "-",
        crs or "-",
        size(summary.size) if summary.size else "-",
        words or "-",
    )
