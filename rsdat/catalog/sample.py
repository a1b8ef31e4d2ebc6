"""``make_sample_catalog``: a small STAC catalog like Sentinel-2's, for demos and examples."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine, from_origin

from rsdat.catalog.landscape import BANDS, clouded, ground, reflectance
from rsdat.errors import ConfigError, DataError

#: Dates of the sample, and the share of clouds on each.
DATES = ("2025-05-14", "2025-06-23", "2025-07-28")
_CLOUDS = (0.16, 0.30, 0.11)

_CRS = "EPSG:32631"
_ORIGIN = (680_000.0, 5_800_000.0)
_SCALE, _OFFSET = 0.0001, -0.1
_NAMES = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
_WAVELENGTHS = {"blue": 0.490, "green": 0.560, "red": 0.665, "nir": 0.842}
_EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]


def make_sample_catalog(
    directory: str | os.PathLike[str],
    *,
    seed: int = 7,
    size: int = 1024,
    dates: Sequence[str] = DATES,
) -> Path:
    """Make a catalog of invented scenes in the form of Sentinel-2 L2A; gives its ``catalog.json``.

    Fields through a season, a river, woods and towns; clouds with shadows on every date, a strip
    without data on the second. Assets ``red``, ``green``, ``blue``, ``nir`` (10 m, uint16, scale
    0.0001, offset -0.1, nodata 0) and ``scl`` (20 m, classes), cloud optimised GeoTIFFs with
    overviews. The same arguments give the same pixels. A catalog that is there already is kept.

    Parameters
    ----------
    directory
        Where it is to be; appears complete or not at all.
    seed
        Another number is another landscape.
    size
        Pixels along each edge, even.
    dates
        Days, as ``2025-05-14``.

    Raises
    ------
    DataError
        When the directory holds something else, or cannot be written.
    """
    target = Path(os.path.abspath(os.path.expanduser(directory)))
    catalog = target / "catalog.json"
    if catalog.is_file():
        return catalog
    if size < 16 or size % 2:
        raise ConfigError(f"size {size} is not possible", hint="give an even number from 16 on")
    if target.exists() and any(target.iterdir()):
        raise DataError(
            f"{target} is there and is not a sample catalog", hint="choose another directory"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"{target.parent} cannot be written: {error.strerror}", hint="choose another directory"
        ) from error
    try:
        made = work / "catalog"  # pystac takes a name with a dot for a file
        _write(made, seed, size, dates)
        if target.exists():
            target.rmdir()
        made.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return catalog


def _write(directory: Path, seed: int, size: int, dates: Sequence[str]) -> None:
    land = ground(size, seed)
    collection = pystac.Collection(
        id="sample-sentinel-2-l2a",
        description="Invented scenes in the form of Sentinel-2 L2A. Not satellite data.",
        extent=pystac.Extent(
            pystac.SpatialExtent([-180.0, -90.0, 180.0, 90.0]), pystac.TemporalExtent([None, None])
        ),
        license="CC0-1.0",
    )
    catalog = pystac.Catalog(id="rsdat-sample", description="A small catalog to try things on.")
    catalog.add_child(collection)
    catalog.normalize_hrefs(str(directory))
    for number, day in enumerate(dates):
        date = dt.datetime.fromisoformat(day).replace(hour=10, minute=46, tzinfo=dt.UTC)
        item = _item(date, size)
        collection.add_item(item)
        item.set_self_href(str(directory / collection.id / item.id / f"{item.id}.json"))
        cloudy = _scene(item, land, number, seed)
        item.properties["eo:cloud_cover"] = round(100 * cloudy, 2)
    collection.update_extent_from_items()
    catalog.save(pystac.CatalogType.SELF_CONTAINED)


def _item(date: dt.datetime, size: int) -> pystac.Item:
    grid = GeoBox((size, size), _transform(10), _CRS)
    footprint = grid.extent.to_crs("EPSG:4326")
    box = footprint.boundingbox
    return pystac.Item(
        id=f"SAMPLE_{date:%Y%m%d}_L2A",
        geometry=footprint.json,
        bbox=[box.left, box.bottom, box.right, box.top],
        datetime=date,
        properties={"proj:code": _CRS, "gsd": 10, "platform": "sample"},
        stac_extensions=list(_EXTENSIONS),
    )


def _scene(item: pystac.Item, land: Any, number: int, seed: int) -> float:
    """Write the files of one date and list them in the item; the share of clouds on it."""
    assert item.datetime is not None
    image, classes = reflectance(land, item.datetime.timetuple().tm_yday)
    share = _CLOUDS[number % len(_CLOUDS)]
    image, classes = clouded(image, classes, share, seed + 31 * number)
    numbers = np.rint((image - _OFFSET) / _SCALE).clip(1, 65535).astype("uint16")
    if number % len(_CLOUDS) == 1:
        missing = _strip(classes.shape[0])
        numbers[:, missing] = 0
        classes = np.where(missing, 0, classes).astype("uint8")
    folder = Path(item.get_self_href() or "").parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, layer in zip(BANDS, numbers, strict=True):
        _cog(folder / f"{_NAMES[name]}.tif", layer, 10)
        item.add_asset(name, _asset(f"{_NAMES[name]}.tif", layer, 10, _reflective(name)))
    coarse = classes[::2, ::2]
    _cog(folder / "SCL.tif", coarse, 20)
    bands = {"raster:bands": [{"data_type": "uint8", "nodata": 0, "spatial_resolution": 20}]}
    item.add_asset("scl", _asset("SCL.tif", coarse, 20, bands))
    return float(np.isin(coarse, (8, 9, 10)).mean())


def _strip(size: int) -> NDArray[np.bool_]:
    """The edge of the swath, which crosses the tile at a slant."""
    y, x = np.mgrid[0:size, 0:size]
    result: NDArray[np.bool_] = x > size * 0.93 - 0.16 * y
    return result


def _reflective(name: str) -> dict[str, Any]:
    return {
        "eo:bands": [
            {"name": _NAMES[name], "common_name": name, "center_wavelength": _WAVELENGTHS[name]}
        ],
        "raster:bands": [
            {
                "data_type": "uint16",
                "nodata": 0,
                "spatial_resolution": 10,
                "scale": _SCALE,
                "offset": _OFFSET,
            }
        ],
    }


def _asset(href: str, layer: NDArray[Any], edge: int, bands: dict[str, Any]) -> pystac.Asset:
    grid = {"proj:shape": list(layer.shape), "proj:transform": list(_transform(edge))[:6]}
    return pystac.Asset(
        f"./{href}",
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields={**bands, **grid, "gsd": edge},
    )


def _transform(edge: int) -> Affine:
    return from_origin(*_ORIGIN, edge, edge)


def _cog(path: Path, layer: NDArray[Any], edge: int) -> None:
    profile = {
        "driver": "COG",
        "height": layer.shape[0],
        "width": layer.shape[1],
        "count": 1,
        "dtype": layer.dtype.name,
        "crs": _CRS,
        "transform": _transform(edge),
        "nodata": 0,
        "compress": "DEFLATE",
        "predictor": "STANDARD",
        "level": 6,
        "blocksize": 256,
        "overviews": "AUTO",
        "overview_resampling": "NEAREST" if layer.dtype == np.uint8 else "AVERAGE",
    }
    with rasterio.open(path, "w", **profile) as opened:
        opened.write(layer, 1)
