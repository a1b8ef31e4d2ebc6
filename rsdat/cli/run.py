"""The `rsdat run` commands: indices and composites, from STAC items to files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rsdat.cli.run_options import (
    Catalogs,
    Mask,
    Options,
    names,
    reading_of,
    storage_of,
    with_options,
)

if TYPE_CHECKING:
    import pystac

    from rsdat.raster.recipes import Reading, Run

app = typer.Typer(no_args_is_help=True, help="Satellite images to indices and composites.")


@app.command("ndvi")
@with_options
def ndvi_command(items: Catalogs, mask: Mask = False, *, options: Options) -> None:
    """NDVI of each item, as cloud optimised GeoTIFFs.

    A preview (.png) and a STAC item (.json) lie beside each. With several items, -o is a
    directory, or a name with {id} or {date} in it; or it ends in .zarr, for one store of all.
    """
    _index("ndvi", items, mask, options)


@app.command("index")
@with_options
def index_command(
    index: Annotated[
        str, typer.Argument(metavar="NAME|FORMULA", help="As evi, or (nir - red) / (nir + red).")
    ],
    items: Catalogs,
    mask: Mask = False,
    *,
    options: Options,
) -> None:
    """An index of each item, as cloud optimised GeoTIFFs.

    Indices are ndvi, ndwi, mndwi, ndmi, ndsi, nbr, ndre, evi, savi; a formula is of bands and
    numbers. Files are named as those of `rsdat run ndvi`.
    """
    _index(index, items, mask, options)


@app.command("composite")
@with_options
def composite_command(
    catalog: Catalogs,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="median, mean, min, max, count, first, most_recent, p10 (any), medoid, max_ndvi.",
        ),
    ] = "median",
    by: Annotated[
        str | None,
        typer.Option("--by", help="One for each month, season, year, day, solar_day or 10d (any)."),
    ] = None,
    bands: Annotated[
        str | None, typer.Option("--bands", help="With commas; default red,nir.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", help="As ndvi, or a formula: of each date, then composited."),
    ] = None,
    mask: Mask = True,
    *,
    options: Options,
) -> None:
    """One cloud-free image of many dates, or one for each period.

    A cloud optimised GeoTIFF, with a preview (.png) and a STAC item (.json) beside it; or a Zarr
    store, where -o ends in .zarr. With --by, GeoTIFFs are one for each period: -o is a directory,
    or a name with {date} in it.
    """
    from rsdat.raster.recipes import check_composite

    check_composite(method, index, by)

    def planned(found: Sequence[pystac.Item], reading: Reading) -> Run:
        from rsdat.raster.recipes import composite_run

        kept = names(bands) or ()
        return composite_run(
            found, options.out, method=method, bands=kept, index=index, by=by, reading=reading
        )

    _run(planned, catalog, mask, options)


def _index(index: str, catalogs: list[str], mask: bool, options: Options) -> None:
    """Compute an index of each item."""
    from rsdat.raster.indices import find_index

    find_index(index)  # an unknown one is refused before anything is searched

    def planned(found: Sequence[pystac.Item], reading: Reading) -> Run:
        from rsdat.raster.recipes import index_run

        return index_run(found, options.out, index=index, reading=reading)

    _run(planned, catalogs, mask, options)


def _run(
    planned: Callable[[Sequence[pystac.Item], Reading], Run],
    catalogs: list[str],
    mask: bool,
    options: Options,
) -> None:
    """Search, plan, estimate, compute, report."""
    from rsdat.catalog import search
    from rsdat.cli.computing import computing
    from rsdat.cli.run_report import say_estimate, say_results
    from rsdat.raster.recipes import compute, estimate

    storage = storage_of(options)
    reading = reading_of(options, mask)
    found = search(
        catalogs,
        bbox=reading.bbox,
        datetime=options.datetime,
        collections=names(options.collections),
        limit=options.limit,
    )
    run = planned(found, reading)
    with computing(options.session, options.as_json) as (place, progress):
        expected = estimate(run, storage)
        if options.explain or not options.as_json:
            say_estimate(expected, as_json=options.as_json)
        if options.explain:
            return
        started = time.monotonic()
        made = compute(run, storage, progress)
    say_results(made, expected, place, time.monotonic() - started, as_json=options.as_json)
