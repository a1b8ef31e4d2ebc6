"""A small PNG of an image: an index in colours, three bands as they look, one band in grey."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsdat import __version__
from rsdat.arguments import checked
from rsdat.raster.colours import are_classes, choice, coloured
from rsdat.raster.files import attempt
from rsdat.raster.png import png_bytes, texts_of
from rsdat.raster.settings import settings
from rsdat.raster.sources import Source
from rsdat.storage import absolute, followed, gdal, storage_options, write_atomically

Array = NDArray[Any]

#: By this keyword a picture names what it shows.
_RESULT = "rsdat:preview of"


@dataclass(frozen=True)
class Picture:
    """A PNG that a notebook shows."""

    png: bytes
    width: int
    height: int

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file."""
        return write_atomically(followed(path), self.png)

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"Picture({self.width} × {self.height} pixels)"


def picture(
    values: Array,
    names: list[str],
    *,
    classes: bool = False,
    texts: dict[str, str] | None = None,
) -> Picture:
    """Bands (band, y, x), float32 and NaN where there is no data, as a picture.

    Bands called red, green and blue (or nir, red, green) become a colour image; else the first
    known index is shown in its colours, and any other first band in grey.
    """
    chosen = choice(names)
    shown = coloured(values[chosen], [names[one] for one in chosen], classes=classes)
    height, width, _ = shown.shape
    return Picture(png_bytes(shown, texts), width, height)


@checked
def preview(
    path: str | os.PathLike[str], png: str | os.PathLike[str], *, max_size: int = 1024
) -> Path:
    """Write a PNG of a raster file or a Zarr store, its longer edge at most ``max_size`` pixels.

    A band named ``ndvi`` gets colours from blue (water) over sand to green, other known indices
    theirs, classes one each; red, green and blue (or nir, red, green) become a colour image, any
    other first band a grey one; brightness runs from the 2nd to the 98th percentile, the same for
    all bands of true colour; of reflectances it runs from 0 to 0.3, so that clouds do not darken
    the land. In false colour (nir, red and green, or nir and red alone) each band has its own. No
    data is transparent. Of several dates the last is shown.
    """
    place = absolute(path)
    if place.endswith(".zarr") or os.path.isdir(place):
        names, values, whole = _small_of_store(place, max_size)
    else:
        source = Source(item=Path(path).stem, asset="data", href=place)
        names, values, whole = attempt(lambda: _small_of_file(place, max_size), source)
    classes = whole and are_classes(names[choice(names)[0]])
    texts = {"Software": f"rsdat {__version__}", _RESULT: os.path.basename(place)}
    return picture(values, names, classes=classes, texts=texts).save(png)


def pictured(png: str | os.PathLike[str]) -> str | None:
    """The name of the file or store that :func:`preview` made a PNG of; None of any other."""
    return texts_of(png).get(_RESULT)


def _small_of_file(href: str, max_size: int) -> tuple[list[str], Array, bool]:
    """Names of the bands, their pixels in physical units, and whether they are whole numbers.

    Only the bands that are shown are read; the others have no pixels but NaN.
    """
    with settings(href), rasterio.open(**gdal.opening(href)) as opened:
        factor = max(1.0, max(opened.shape) / max_size)
        size = tuple(max(1, round(edge / factor)) for edge in opened.shape)
        names = [str(name or "").lower() for name in opened.descriptions]
        values = np.full((opened.count, *size), np.nan, "float32")
        kind = Resampling.average if opened.dtypes[0].startswith("float") else Resampling.nearest
        for index in set(choice(names)):
            image = opened.read(index + 1, out_shape=size, masked=True, resampling=kind)
            scale, offset = opened.scales[index], opened.offsets[index]
            plane = image.data.astype("float32") * np.float32(scale) + np.float32(offset)
            values[index] = np.where(np.ma.getmaskarray(image), np.float32(np.nan), plane)
        whole = np.dtype(opened.dtypes[0]).kind in "iu" and opened.scales[0] == 1.0
        return names, values, whole


def _small_of_store(place: str, max_size: int) -> tuple[list[str], Array, bool]:
    """The same of a store of ours: the finest level that is small enough."""
    import xarray as xr
    import zarr

    options = storage_options(place) or None
    root = zarr.open_group(place, mode="r", storage_options=options)
    levels = sorted(root.group_keys(), key=int)
    fits = (one for one in levels if max(root[f"{one}/{axis}"].size for axis in "yx") <= max_size)
    level = next(fits, levels[-1]) if levels else None
    with xr.open_zarr(place, group=level, chunks=None, storage_options=options) as ds:
        names = [str(name) for name in ds.data_vars if name != "spatial_ref"]
        step = -(-max(ds.sizes["y"], ds.sizes["x"]) // max_size)
        small = ds[names].isel(y=slice(None, None, step), x=slice(None, None, step))
        small = small.isel(time=-1) if "time" in ds.dims else small
        stored = ds[names[0]].encoding
        whole = np.dtype(stored["dtype"]).kind in "iu" and "scale_factor" not in stored
        return names, np.stack([small[name].values.astype("float32") for name in names]), whole
