"""The `rsdat run` commands: NDVI and composites, from STAC items to files."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.errors import RsdatError

if TYPE_CHECKING:
    from rsdat.raster.progress import Progress, Report
    from rsdat.raster.recipes import Grid, Result, Storage

app = typer.Typer(no_args_is_help=True, help="Satellite images to NDVI and composites.")

Catalogs = Annotated[
    list[str],
    typer.Argument(
        metavar="CATALOG",
        help="STAC items, catalogs, FeatureCollections, directories of them, or an API.",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", help="The file to write.")]
Bbox = Annotated[
    str | None, typer.Option("--bbox", metavar="W,S,E,N", help="The part, in degrees.")
]
When = Annotated[
    str | None, typer.Option("--datetime", help="As 2023-08 or 2023-08-01/2023-08-31.")
]
Collection = Annotated[str | None, typer.Option("--collections", help="Names, with commas.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="The most items to take.")]
Resolution = Annotated[
    float | None, typer.Option("--resolution", help="Edge of a pixel, in the unit of the CRS.")
]
Crs = Annotated[str | None, typer.Option("--crs", help="As EPSG:32633; else that of most items.")]
DType = Annotated[
    str | None, typer.Option("--dtype", help="float32, or int16 (numbers are value / 0.0001).")
]
Compress = Annotated[str, typer.Option("--compress", help="zstd, deflate, lzw, lerc_zstd or none.")]
SessionName = Annotated[
    str | None, typer.Option("--session", help="Compute on this session's workers.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


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
    mask: Annotated[bool, typer.Option(help="Leave clouds and their shadows out.")] = False,
    dtype: DType = None,
    compress: Compress = "zstd",
    session: SessionName = None,
    as_json: Json = False,
) -> None:
    """NDVI of each item, as cloud optimised GeoTIFFs.

    A preview (.png) and a STAC item (.json) lie beside each. With several items, -o is a
    directory, or a name with {id} or {date} in it.
    """
    from rsdat.catalog import search
    from rsdat.raster.outputs import outputs
    from rsdat.raster.recipes import run_ndvi

    storage = _storage(dtype, compress)
    found = search(
        items, bbox=_bbox(bbox), datetime=datetime, collections=_names(collections), limit=limit
    )
    outputs(found, out)
    with _computing(session, as_json) as (place, progress):
        started = time.monotonic()
        results = run_ndvi(
            found,
            out,
            grid=_grid(bbox, resolution, crs),
            mask=mask,
            storage=storage,
            progress=progress,
        )
    _report(results, place, time.monotonic() - started, as_json)


@app.command("composite")
def composite_command(
    catalog: Catalogs,
    out: Out,
    bbox: Bbox = None,
    datetime: When = None,
    method: Annotated[
        str, typer.Option("--method", help="median, mean, max, p10, medoid, max_ndvi, …")
    ] = "median",
    bands: Annotated[
        str | None, typer.Option("--bands", help="With commas; default red,nir.")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", help="ndvi: the index of each date, then composited.")
    ] = None,
    collections: Collection = None,
    limit: Limit = None,
    resolution: Resolution = None,
    crs: Crs = None,
    mask: Annotated[bool, typer.Option(help="Leave clouds and their shadows out.")] = True,
    dtype: DType = None,
    compress: Compress = "zstd",
    session: SessionName = None,
    as_json: Json = False,
) -> None:
    """One cloud-free image of many dates, as a GeoTIFF.

    Cloud optimised, with a preview (.png) and a STAC item (.json) beside it.
    """
    from rsdat.catalog import search
    from rsdat.raster.outputs import output
    from rsdat.raster.recipes import check_composite, run_composite

    check_composite(method, index)
    storage = _storage(dtype, compress)
    found = search(
        catalog, bbox=_bbox(bbox), datetime=datetime, collections=_names(collections), limit=limit
    )
    output(found, out)
    with _computing(session, as_json) as (place, progress):
        started = time.monotonic()
        result = run_composite(
            found,
            out,
            method=method,
            bands=_names(bands) or (),
            index=index,
            grid=_grid(bbox, resolution, crs),
            mask=mask,
            storage=storage,
            progress=progress,
        )
    _report([result], place, time.monotonic() - started, as_json)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _bbox(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    from rsdat.catalog.antimeridian import bounding_area
    from rsdat.errors import ConfigError

    try:
        numbers = tuple(float(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        raise ConfigError(
            f"bbox {text!r} is not four numbers",
            hint="give W,S,E,N in degrees: 13.1,45.9,13.4,46.2",
        ) from None
    bounding_area(numbers)
    west, south, east, north = numbers
    return west, south, east, north


def _grid(bbox: str | None, resolution: float | None, crs: str | None) -> Grid:
    from rsdat.raster.recipes import Grid

    return Grid(_bbox(bbox), resolution, crs)


def _storage(dtype: str | None, compress: str) -> Storage:
    from rsdat.errors import ConfigError
    from rsdat.raster.cog import check_compression
    from rsdat.raster.recipes import Storage

    check_compression(compress)
    if dtype not in (None, "float32", "int16"):
        raise ConfigError(f"dtype {dtype!r} is not possible", hint="use float32 or int16")
    return Storage(dtype, compress)


@contextmanager
def _computing(session: str | None, quiet: bool) -> Iterator[tuple[str, Any]]:
    """A Dask client of the session, or none; a progress bar; and an orderly end on SIGTERM."""

    came: list[int] = []

    def interrupted(number: int, frame: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    previous = {one: signal.signal(one, interrupted) for one in (signal.SIGINT, signal.SIGTERM)}
    client, place = _client(session)
    try:
        with _progress(quiet) as progress:
            yield place, progress
    except RsdatError as error:
        # GDAL's callbacks swallow the interrupt, and what they return then looks like an error.
        if came:
            _interrupted(error)
            raise KeyboardInterrupt from None
        raise
    except KeyboardInterrupt as error:
        _interrupted(error)
        raise
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
        if client is not None:
            client.close()


def _interrupted(error: BaseException) -> None:
    notes = getattr(error, "__notes__", None) or ["nothing half-written is left"]
    print(f"rsdat: interrupted; {'; '.join(notes)}", file=sys.stderr)


def _client(session: str | None) -> tuple[Any, str]:
    """The client of the session meant, and where that is in words.

    Without a session, threads of this process compute: a cluster of our own would only add a
    scheduler, and an open port on a login node.
    """
    from rsdat.cluster import client
    from rsdat.cluster.layout import SESSION_VARIABLE
    from rsdat.errors import SessionError

    try:
        connected = client(_directory(session)) if session else client()
    except SessionError as error:
        if session:
            raise
        if "no running session" not in error.message:
            print(f"rsdat: {error.message}; computing in this process", file=sys.stderr)
        return None, "in this process"
    if not connected.nthreads():
        if not session and SESSION_VARIABLE not in os.environ:
            connected.close()
            return None, "in this process (the session has no workers)"
        print(
            "rsdat: the session has no workers yet; waiting for some (`rsdat scale 2`)",
            file=sys.stderr,
        )
    return connected, "on the session's workers"


def _directory(session: str) -> str:
    from pathlib import Path

    from rsdat.errors import SessionError
    from rsdat.session.find import find

    found = find(session)
    directory = str(found.overview.session.directory)
    if not Path(directory).expanduser().is_dir():
        raise SessionError(
            f"session {session} runs on {found.host.name}, where this machine's files are not",
            hint="run this command in a terminal of its JupyterLab",
        )
    return directory


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], Report] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles {task.fields[rate]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bar:

        def counter(name: str) -> Report:
            task = bar.add_task(name, total=None, rate="")
            return lambda so_far: bar.update(
                task, completed=so_far.done, total=so_far.total, rate=_rate(so_far)
            )

        yield counter


def _rate(progress: Progress) -> str:
    """Throughput and time left, in words; what an earlier run had done does not count for it."""
    if progress.left is None:
        return f"({progress.kept} kept from an interrupted run)"
    minutes, seconds = divmod(round(progress.left), 60)
    return f"{progress.rate:.0f} MB/s, {minutes}:{seconds:02d} left"


def _report(results: list[Result], place: str, seconds: float, as_json: bool) -> None:
    if as_json:
        from rsdat.cli.output import print_json

        print_json(
            {
                "outputs": [
                    {
                        "path": str(result.path),
                        "preview": str(result.preview),
                        "item": str(result.item),
                        "inputs": list(result.inputs),
                    }
                    for result in results
                ],
                "seconds": round(seconds, 2),
                "computed": place,
            }
        )
        return
    for result in results:
        size = result.path.stat().st_size / 1e6
        print(f"{result.path}  {size:.1f} MB, from {len(result.inputs)} item(s)")
        print(f"  preview {result.preview.name}, STAC item {result.item.name}")
    print(f"done in {seconds:.1f} s {place}")
