"""Whole runs: items to finished files with a preview and a STAC item of the result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac
import xarray as xr

from rsdat.catalog import describe_result
from rsdat.errors import ConfigError
from rsdat.raster.cog import write_cog
from rsdat.raster.grids import Bounds
from rsdat.raster.indices import ndvi
from rsdat.raster.kernels import check_method
from rsdat.raster.loading import load
from rsdat.raster.masks import mask_clouds, quality_band
from rsdat.raster.outputs import output, outputs
from rsdat.raster.preview import preview
from rsdat.raster.progress import Report
from rsdat.raster.reducers import composite

INDICES = ("ndvi",)


@dataclass(frozen=True)
class Grid:
    """What part of the earth, and on which pixels; None leaves it to the items."""

    bbox: Bounds | None = None
    resolution: float | None = None
    crs: str | None = None

    def words(self) -> dict[str, Any]:
        """What was asked, for the result's description."""
        asked = {"bbox": self.bbox, "resolution": self.resolution, "crs": self.crs}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Storage:
    """How results are stored, as in :func:`rsdat.write_cog`."""

    dtype: str | None = None
    compress: str = "zstd"


@dataclass(frozen=True)
class Result:
    """The files of one run, and what they were made from."""

    path: Path
    preview: Path
    item: Path
    inputs: tuple[str, ...]


def run_ndvi(
    items: Sequence[pystac.Item],
    out: str | os.PathLike[str],
    *,
    grid: Grid | None = None,
    mask: bool = False,
    storage: Storage | None = None,
    progress: Callable[[str], Report] | None = None,
) -> list[Result]:
    """NDVI of each item, a COG each; ``progress`` is asked for one counter per item's name."""
    grid, storage = grid or Grid(), storage or Storage()
    results = []
    for item, path in zip(items, outputs(items, out), strict=True):
        masks = [quality_band([item])] if mask else []
        ds = load([item], ["red", "nir", *masks], **_where(grid))
        index = ndvi(_masked(ds, masks)).isel(time=0, drop=True)
        chain = {"index": "ndvi", "mask": masks[0] if masks else "none", **grid.words()}
        counter = progress(item.id) if progress else None
        results.append(_finish(index, path, [item], chain, storage, counter))
    return results


def check_composite(method: str, index: str | None) -> None:
    """Refuse an unknown method or index, before anything is opened."""
    check_method(method)
    if index is not None and index not in INDICES:
        raise ConfigError(f"index {index!r} is not known", hint=f"use {', '.join(INDICES)}")


def run_composite(
    items: Sequence[pystac.Item],
    out: str | os.PathLike[str],
    *,
    method: str = "median",
    bands: Sequence[str] = (),
    index: str | None = None,
    grid: Grid | None = None,
    mask: bool = True,
    storage: Storage | None = None,
    progress: Callable[[str], Report] | None = None,
) -> Result:
    """One composite of all items: of bands, of an index of each date, or both in that order."""
    grid, storage = grid or Grid(), storage or Storage()
    check_composite(method, index)
    path = output(items, out)
    kept = list(bands) or ([] if index else ["red", "nir"])
    masks = [quality_band(items)] if mask else []
    needed = dict.fromkeys([*kept, *(["red", "nir"] if index else []), *masks])
    ds = _masked(load(items, list(needed), chunks={"time": -1}, **_where(grid)), masks)
    layers = {name: ds[name] for name in kept}
    if index:
        layers[index] = ndvi(ds)
    image = composite(xr.Dataset(layers), method)
    chain = {
        "composite": method,
        "bands": ",".join(layers),
        "mask": masks[0] if masks else "none",
        **grid.words(),
    }
    counter = progress(path.name) if progress else None
    return _finish(image, path, items, chain, storage, counter)


def _where(grid: Grid) -> dict[str, Any]:
    return {"bbox": grid.bbox, "resolution": grid.resolution, "crs": grid.crs}


def _masked(ds: xr.Dataset, masks: list[str]) -> xr.Dataset:
    return mask_clouds(ds, masks[0]) if masks else ds


def _finish(
    image: xr.DataArray | xr.Dataset,
    path: Path,
    items: Sequence[pystac.Item],
    chain: dict[str, Any],
    storage: Storage,
    counter: Report | None,
) -> Result:
    from rsdat import __version__

    write_cog(
        image,
        path,
        dtype=storage.dtype,
        compress=storage.compress,
        tags={"TIFFTAG_SOFTWARE": f"rsdat {__version__}"},
        progress=counter,
    )
    picture = preview(path, path.with_suffix(".png"))
    described = describe_result(path, items, chain, preview=picture)
    return Result(path, picture, described, tuple(item.id for item in items))
