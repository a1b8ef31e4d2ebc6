"""The `rsdat run` commands: indices and composites, from STAC items to files."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli.run_options import (
    Bbox,
    Catalogs,
    Clip,
    Collection,
    Compress,
    Crs,
    DType,
    Explain,
    Json,
    Limit,
    MaskBand,
    Memory,
    OnError,
    Out,
    Resampling,
    Resolution,
    Resume,
    SessionName,
    When,
    names,
    reading_of,
    storage_of,
)

if TYPE_CHECKING:
    from rsdat.raster.recipes import Reading, Run

app = typer.Typer(no_args_is_help=True, help="Satellite images to indices and composites.")

Mask = Annotated[bool, typer.Option(help="Leave clouds and their shadows out.")]


@app.command("ndvi")
def ndvi_command(
    items: Catalogs,
    out: Out,
    bbox: Bbox = None,
    datetime: When = None,
    collections: Collection = None,
    limit: Limit = None,
    resolution: Resolution = None,
    crs: Crs = None,
    resampling: Resampling = "nearest",
    clip: Clip = None,
    mask: Mask = False,
    mask_band: MaskBand = None,
    on_error: OnError = "fail",
    dtype: DType = None,
    compress: Compress = "zstd",
    memory: Memory = None,
    resume: Resume = True,
    explain: Explain = False,
    session: SessionName = None,
    as_json: Json = False,
) -> None:
    """NDVI of each item, as cloud optimised GeoTIFFs.

    A preview (.png) and a STAC item (.json) lie beside each. With several items, -o is a
    directory, or a name with {id} or {date} in it; or it ends in .zarr, for one store of all.
    """
    index_command("ndvi", **locals())


@app.command("index")
def index_command(
    index: Annotated[
        str, typer.Argument(metavar="NAME|FORMULA", help="As evi, or (nir - red) / (nir + red).")
    ],
    items: Catalogs,
    out: Out,
    bbox: Bbox = None,
    datetime: When = None,
    collections: Collection = None,
    limit: Limit = None,
    resolution: Resolution = None,
    crs: Crs = None,
    resampling: Resampling = "nearest",
    clip: Clip = None,
    mask: Mask = False,
    mask_band: MaskBand = None,
    on_error: OnError = "fail",
    dtype: DType = None,
    compress: Compress = "zstd",
    memory: Memory = None,
    resume: Resume = True,
    explain: Explain = False,
    session: SessionName = None,
    as_json: Json = False,
) -> None:
    """An index of each item, as cloud optimised GeoTIFFs.

    Indices are ndvi, ndwi, mndwi, ndmi, ndsi, nbr, ndre, evi, savi; a formula is of bands and
    numbers. Files are named as those of `rsdat run ndvi`.
    """
    given = locals()
    from rsdat.raster.indices import find_index

    find_index(index)

    def planned(found: Any, reading: Reading) -> Run:
        from rsdat.raster.recipes import index_run

        return index_run(found, out, index=index, reading=reading)

    _run(planned, given.pop("items"), **given)


@app.command("composite")
def composite_command(
    catalog: Catalogs,
    out: Out,
    bbox: Bbox = None,
    datetime: When = None,
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
    collections: Collection = None,
    limit: Limit = None,
    resolution: Resolution = None,
    crs: Crs = None,
    resampling: Resampling = "nearest",
    clip: Clip = None,
    mask: Mask = True,
    mask_band: MaskBand = None,
    on_error: OnError = "fail",
    dtype: DType = None,
    compress: Compress = "zstd",
    memory: Memory = None,
    resume: Resume = True,
    explain: Explain = False,
    session: SessionName = None,
    as_json: Json = False,
) -> None:
    """One cloud-free image of many dates, or one for each period.

    A cloud optimised GeoTIFF, with a preview (.png) and a STAC item (.json) beside it; or a Zarr
    store, where -o ends in .zarr. With --by, GeoTIFFs are one for each period: -o is a directory,
    or a name with {date} in it.
    """
    given = locals()
    from rsdat.raster.recipes import check_composite

    check_composite(method, index, by)

    def planned(found: Any, reading: Reading) -> Run:
        from rsdat.raster.recipes import composite_run

        return composite_run(
            found,
            out,
            method=method,
            bands=names(bands) or (),
            index=index,
            by=by,
            reading=reading,
        )

    _run(planned, given.pop("catalog"), **given)


def _run(
    planned: Callable[[Any, Reading], Run],
    catalogs: list[str],
    *,
    out: str,
    datetime: str | None,
    collections: str | None,
    limit: int | None,
    dtype: str | None,
    compress: str,
    memory: str | None,
    resume: bool,
    explain: bool,
    session: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search, plan, estimate, compute, report; ``options`` are those of :func:`reading_of`."""
    from rsdat.catalog import search
    from rsdat.cli.computing import computing
    from rsdat.cli.run_report import say_estimate, say_results
    from rsdat.raster.recipes import compute, estimate

    storage = storage_of(out, dtype=dtype, compress=compress, memory=memory, resume=resume)
    kept = ("bbox", "resolution", "crs", "resampling", "clip", "mask", "mask_band", "on_error")
    reading = reading_of(**{name: options[name] for name in kept})
    found = search(
        catalogs, bbox=reading.bbox, datetime=datetime, collections=names(collections), limit=limit
    )
    run = planned(found, reading)
    with computing(session, as_json) as (place, progress):
        expected = estimate(run, storage)
        if explain or not as_json:
            say_estimate(expected, as_json=as_json)
        if explain:
            return
        started = time.monotonic()
        made = compute(run, storage, progress)
    say_results(made, expected, place, time.monotonic() - started, as_json=as_json)
