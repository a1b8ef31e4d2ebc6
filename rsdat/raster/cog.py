"""Writing cloud optimised GeoTIFFs: tile by tile in bounded memory, there complete or not at all.

Tiles go into a plain GeoTIFF beside the output as they are computed; GDAL's COG driver then lays
it out with overviews, and the finished file takes its name in one step.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the accessor .odc)
import rasterio
import rasterio.shutil
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rsdat.errors import ConfigError, DataError
from rsdat.raster.files import settings
from rsdat.raster.tiles import current_client, tiles

Progress = Callable[[int, int], None]

#: Edge of a COG's tiles, in pixels.
BLOCK = 512
_COMPRESSIONS = ("zstd", "deflate", "lzw", "lerc_zstd", "none")


def write_cog(
    data: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    *,
    compress: str = "zstd",
    dtype: str | None = None,
    scale: float | None = None,
    nodata: float | None = None,
    overview_resampling: str | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Compute an image and write it as a cloud optimised GeoTIFF with overviews.

    Computes on the current Dask client (a session's workers) where there is one, else in threads
    of this process; a few tiles at a time. The file appears when it is complete; an interrupted or
    failed write leaves nothing, and the file that was there before as it was.

    Parameters
    ----------
    data
        DataArray (y, x) or (band, y, x), or a Dataset of (y, x) variables, each a band; on a grid
        with a CRS. A ``time`` of one date is left out.
    path
        The file to write; its directory is made where it is missing.
    compress
        ``zstd``, ``deflate``, ``lzw``, ``lerc_zstd`` or ``none``.
    dtype
        Type of the stored numbers; default as they are, float64 as float32. With an integer type,
        floats are stored as rounded ``value / scale`` and the file says so (GDAL's scale): NDVI
        with ``dtype="int16"`` takes a quarter of the space.
    scale
        Unit of stored integers; default 0.0001 where floats are stored as integers.
    nodata
        Value for "no data"; default NaN for floats, the lowest (signed) or 0 (unsigned) where
        floats are stored as integers, otherwise what the data says (attribute ``nodata``).
    overview_resampling
        How overviews are made; default ``average`` for floats, ``nearest`` for integers.
    tags
        Further metadata to put into the file.
    progress
        Called with the number of tiles done and of all.

    Returns
    -------
    Path of the file.

    Raises
    ------
    DataError
        A source cannot be read, the disk is full, or the directory cannot be written.
    """
    names, image, geobox = _image(data)
    stored, options = _encoding(image, dtype, scale, nodata)
    check_compression(compress)
    target = Path(os.path.abspath(os.path.expanduser(path)))
    if target.is_dir():
        raise ConfigError(f"output {target} is a directory", hint="name a file in it")
    resampling = overview_resampling or ("average" if stored.dtype.kind == "f" else "nearest")
    with _workshop(target) as room, settings():
        _room(target, stored)
        raw = room / "tiles.tif"
        _write_tiles(raw, stored, geobox, names, options, dict(tags or {}), progress)
        finished = room / target.name
        _lay_out(raw, finished, compress, stored.dtype, resampling)
        _check(finished, stored)
        os.replace(finished, target)
    return target


def check_compression(name: str) -> None:
    """Refuse a compression that :func:`write_cog` does not know."""
    if name not in _COMPRESSIONS:
        raise ConfigError(
            f"compression {name!r} is not known", hint=f"use one of {', '.join(_COMPRESSIONS)}"
        )


def _image(data: xr.DataArray | xr.Dataset) -> tuple[list[str], Any, GeoBox]:
    """Band names, the array (band, y, x), and the grid."""
    if isinstance(data, xr.Dataset):
        if not data.data_vars:
            raise ConfigError("the dataset has no variables to write", hint="keep at least one")
        names = [str(name) for name in data.data_vars]
        layers = [_flat(data[name]) for name in data.data_vars]
        array = xr.concat(layers, dim="band", coords="minimal", compat="override", join="exact")
        nodata = {repr(layer.attrs.get("nodata")) for layer in layers}
        array = array.assign_attrs(layers[0].attrs if len(nodata) == 1 else {})
    else:
        array = _flat(data)
        if array.ndim == 2:
            array = array.expand_dims("band")
        names = [str(data.name or "data")]
        if array.sizes[array.dims[0]] > 1:
            labels = array.coords.get(array.dims[0])
            count = array.sizes[array.dims[0]]
            names = [str(v) for v in (labels.values if labels is not None else range(1, count + 1))]
    geobox = array.odc.geobox
    if geobox is None or geobox.crs is None:
        raise ConfigError(
            "the data has no grid with a CRS, so it cannot be placed on the earth",
            hint="keep its coordinates y, x and spatial_ref, or assign a CRS: da.odc.assign_crs(…)",
        )
    return names, array, geobox


def _flat(array: xr.DataArray) -> xr.DataArray:
    if "time" in array.dims:
        if array.sizes["time"] != 1:
            raise ConfigError(
                f"the data has {array.sizes['time']} dates, and a COG holds one",
                hint="composite them, or pick one: data.isel(time=0)",
            )
        array = array.isel(time=0, drop=True)
    if array.ndim not in (2, 3):
        raise ConfigError(
            f"the data has dimensions {array.dims}; a COG takes (y, x) or (band, y, x)",
            hint="select along the others first",
        )
    return array


def _encoding(
    image: xr.DataArray, dtype: str | None, scale: float | None, nodata: Any
) -> tuple[xr.DataArray, dict[str, Any]]:
    """The image in the type that is stored, and nodata and scale for the file."""
    source = image.dtype
    target = np.dtype(dtype or ("float32" if source == np.float64 else source))
    if source.kind == "f" and target.kind in "iu":
        unit = 1e-4 if scale is None else scale
        limits = np.iinfo(target)
        fill = float(nodata) if nodata is not None else float(limits.min)
        stored = xr.apply_ufunc(
            _quantise,
            image,
            kwargs={"unit": unit, "fill": fill, "dtype": target.name},
            dask="parallelized",
            output_dtypes=[target],
            keep_attrs=True,
        )
        return stored, {"nodata": fill, "scale": unit, "offset": 0.0}
    known = image.attrs.get("nodata") if nodata is None else nodata
    if known is None and target.kind == "f":
        known = float("nan")
    unit = image.attrs.get("scale", 1.0) if scale is None else scale
    numbers = {"nodata": known, "scale": unit, "offset": image.attrs.get("offset", 0.0)}
    return image.astype(target, keep_attrs=True) if target != source else image, numbers


def _quantise(values: NDArray[Any], *, unit: float, fill: float, dtype: str) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # The nodata value must stay free: numbers at that end of the range move one step in.
    low, high = low + (fill == low), high - (fill == high)
    with np.errstate(invalid="ignore"):
        numbers = np.clip(np.rint(values / np.float32(unit)), low, high)
    return np.where(np.isnan(values), np.float32(fill), numbers).astype(dtype)


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """A hidden directory beside the output, gone afterwards; disk errors in plain words."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"{target.parent} cannot be written: {error.strerror}",
            hint="choose another place for the output",
        ) from error
    try:
        yield room
    except (OSError, RasterioError, rasterio._err.CPLE_BaseError) as error:
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        raise DataError(
            f"{target} cannot be written: {cause}",
            hint=f"{_free(target.parent)} free there: make room, or choose another place",
        ) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _free(directory: Path) -> str:
    return f"{shutil.disk_usage(directory).free / 1e6:.0f} MB are"


def _room(target: Path, stored: xr.DataArray) -> None:
    if shutil.disk_usage(target.parent).free < stored.nbytes:
        raise DataError(
            f"{target} cannot be written: its tiles take {stored.nbytes / 1e6:.0f} MB",
            hint=f"{_free(target.parent)} free there: make room, or choose another place",
        )


def _write_tiles(
    raw: Path,
    stored: xr.DataArray,
    geobox: GeoBox,
    names: list[str],
    options: dict[str, Any],
    tags: dict[str, str],
    progress: Progress | None,
) -> None:
    profile = {
        "driver": "GTiff",
        "count": stored.shape[0],
        "height": geobox.height,
        "width": geobox.width,
        "dtype": stored.dtype.name,
        "crs": geobox.crs.to_wkt(),
        "transform": geobox.transform,
        "nodata": options["nodata"],
        # Uncompressed: a tile that arrives in parts is completed in place.
        "compress": "none",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
        "SPARSE_OK": True,
    }
    data = stored.data
    total = int(np.prod(data.numblocks)) if hasattr(data, "numblocks") else 1
    with rasterio.open(raw, "w", **profile) as opened:
        opened.descriptions = tuple(names)
        opened.scales = [options["scale"]] * stored.shape[0]
        opened.offsets = [options["offset"]] * stored.shape[0]
        opened.update_tags(**tags)
        for done, (span, values) in enumerate(tiles(data, current_client()), start=1):
            bands, rows, columns = span
            window = Window(
                columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
            )
            opened.write(values, list(range(bands.start + 1, bands.stop + 1)), window=window)
            if progress:
                progress(done, total)


def _lay_out(raw: Path, finished: Path, compress: str, dtype: Any, resampling: str) -> None:
    options = {
        "COMPRESS": compress.upper(),
        "BLOCKSIZE": BLOCK,
        "OVERVIEW_RESAMPLING": resampling.upper(),
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    if compress in ("zstd", "deflate", "lzw"):
        # A float predictor halves smooth images; differencing does the same for integers.
        options["PREDICTOR"] = "FLOATING_POINT" if dtype.kind == "f" else "STANDARD"
    if compress == "zstd":
        options["LEVEL"] = 1
    rasterio.shutil.copy(raw, finished, driver="COG", **options)


def _check(finished: Path, stored: xr.DataArray) -> None:
    """Read the last pixels of the file and its overviews: a cut file is found in time."""
    count, height, width = stored.shape
    with rasterio.open(finished) as opened:
        levels = len(opened.overviews(1))
        opened.read(count, window=Window(width - 1, height - 1, 1, 1))
    for level in range(levels):
        with rasterio.open(finished, overview_level=level) as opened:
            opened.read(count, window=Window(opened.width - 1, opened.height - 1, 1, 1))
