"""The options of `rsdat run`, and what is made of their texts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rsdat.raster.recipes import Reading, Storage

Catalogs = Annotated[
    list[str],
    typer.Argument(
        metavar="CATALOG",
        help="STAC items, catalogs, FeatureCollections, directories of them, or an API.",
    ),
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="The file (.tif) or Zarr store (.zarr) to write.")
]
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
Resampling = Annotated[
    str, typer.Option("--resampling", help="nearest, bilinear, cubic, average, …")
]
Clip = Annotated[
    str | None,
    typer.Option("--clip", metavar="FILE", help="GeoJSON: keep only what lies in it."),
]
Mask = Annotated[bool, typer.Option(help="Leave clouds and their shadows out.")]
MaskBand = Annotated[
    str | None, typer.Option("--mask-band", help="The band of clouds; default scl or qa_pixel.")
]
OnError = Annotated[
    str, typer.Option("--on-error", help="fail, or skip: leave out what cannot be read.")
]
DType = Annotated[
    str | None,
    typer.Option("--dtype", help="float32, int16 (numbers are value / 0.0001), …; counts: uint8."),
]
Compress = Annotated[
    str,
    typer.Option(
        "--compress", help="zstd, deflate, lzw, lerc_zstd or none; of Zarr zstd, lz4, gzip or none."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="What it may take, as 2GB; in a session the tile of each worker's thread.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on where an interrupted run stopped.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say what it would take, and compute nothing.")
]
SessionName = Annotated[
    str | None, typer.Option("--session", help="Compute on this session's workers.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True)
class Options:
    """The options that all commands of `rsdat run` have, as they were typed."""

    out: Out
    bbox: Bbox = None
    datetime: When = None
    collections: Collection = None
    limit: Limit = None
    resolution: Resolution = None
    crs: Crs = None
    resampling: Resampling = "nearest"
    clip: Clip = None
    mask_band: MaskBand = None
    on_error: OnError = "fail"
    dtype: DType = None
    compress: Compress = "zstd"
    memory: Memory = None
    resume: Resume = True
    explain: Explain = False
    session: SessionName = None
    as_json: Json = False


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``options`` typer sees as all fields of :class:`Options`."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    common = dict(inspect.signature(Options, eval_str=True).parameters)
    del own["options"]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        options = Options(**{field.name: given.pop(field.name) for field in fields(Options)})
        command(**given, options=options)

    # Keywords need no order of those with a default and those without.
    every = [one.replace(kind=one.KEYWORD_ONLY) for one in (*own.values(), *common.values())]
    called.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    return called


def names(text: str | None) -> list[str] | None:
    """A list from a text with commas."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def bbox_of(text: str | None) -> tuple[float, float, float, float] | None:
    """West, south, east, north in degrees.

    Raises
    ------
    ConfigError
        The text is not four numbers that make a box.
    """
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


def reading_of(options: Options, mask: bool) -> Reading:
    """What is to be read; a geometry to clip to is the part as well, where no bbox is named.

    Raises
    ------
    ConfigError
        A text is not what the option takes.
    """
    from rsdat.errors import ConfigError
    from rsdat.raster.recipes import Reading

    if options.on_error not in ("fail", "skip"):
        raise ConfigError(
            f"--on-error {options.on_error!r} is not possible", hint="use fail or skip"
        )
    part, geometry = bbox_of(options.bbox), geometry_in(options.clip)
    if geometry is not None and part is None:
        part = tuple(geometry.to_crs("EPSG:4326").boundingbox.bbox)
    return Reading(
        bbox=part,
        resolution=options.resolution,
        crs=options.crs,
        resampling=options.resampling,
        clip=geometry,
        mask=mask or options.mask_band is not None,
        mask_band=options.mask_band,
        skip=options.on_error == "skip",
    )


def geometry_in(file: str | None) -> Any:
    """The geometry of a GeoJSON file.

    Raises
    ------
    ConfigError
        It holds none.
    """
    if file is None:
        return None
    import json

    from rsdat.errors import ConfigError
    from rsdat.raster.chains.geometry import geometry_of
    from rsdat.storage import read_text, shown

    text = read_text(file)
    try:
        return geometry_of(json.loads(text))
    except ValueError as error:
        raise ConfigError(
            f"{shown(file)} is not JSON: {error}", hint="give a GeoJSON file with a polygon"
        ) from None
    except ConfigError as error:
        raise ConfigError(f"{shown(file)}: {error.message}", hint=error.hint) from None


def storage_of(options: Options) -> Storage:
    """How results are stored, and how they are made.

    Raises
    ------
    ConfigError
        A text is not what the option takes.
    """
    from rsdat.config.units import parse_memory
    from rsdat.errors import ConfigError
    from rsdat.raster.cog import check_compression
    from rsdat.raster.encoding import INTEGERS
    from rsdat.raster.outputs import is_store
    from rsdat.raster.recipes import Storage
    from rsdat.raster.writers.zarr_shards import Encoding

    if is_store(options.out):
        Encoding("float32", 0, options.compress)
    else:
        check_compression(options.compress)
    if options.dtype not in (None, "float32", *INTEGERS):
        raise ConfigError(
            f"--dtype {options.dtype!r} is not possible",
            hint=f"use float32, {', '.join(INTEGERS)}",
        )
    try:
        memory = None if options.memory is None else parse_memory(options.memory)
    except ValueError as error:
        raise ConfigError(f"--memory: {error}", hint="give it as 2GB or 500MB") from None
    return Storage(options.dtype, options.compress, memory, options.resume)
