"""Small scenes with known pixels, as items, and the real data where it is present."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.transform import from_origin


class Scenes:
    """Writes rasters and makes items of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, pixels: np.ndarray, **options: Any) -> Path:
        """One band as a GeoTIFF; ``block``, ``edge``, ``origin``, ``up`` and rasterio's own."""
        edge, block = options.pop("edge", 10), options.pop("block", None)
        transform = from_origin(*options.pop("origin", (600_000, 5_000_000)), edge, edge)
        if options.pop("up", False):  # row 0 in the south
            height = pixels.shape[0]
            transform = transform * transform.translation(0, height) * transform.scale(1, -1)
            pixels = pixels[::-1]
        tiled = {"tiled": True, "blockxsize": block, "blockysize": block} if block else {}
        profile = {
            "driver": "GTiff",
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "count": 1,
            "dtype": pixels.dtype.name,
            "crs": "EPSG:32632",
            "transform": transform,
            **tiled,
            **options,
        }
        path = self.directory / f"{name}.tif"
        overviews = profile.pop("overviews", ())
        with rasterio.open(path, "w", **profile) as opened:
            opened.write(pixels, 1)
            if overviews:
                opened.build_overviews(list(overviews), rasterio.enums.Resampling.nearest)
        return path

    def item(
        self,
        name: str,
        assets: dict[str, Path],
        *,
        day: int = 1,
        bands: dict[str, dict[str, Any]] | None = None,
        **properties: Any,
    ) -> pystac.Item:
        """An item of files; ``bands`` holds further fields of each asset."""
        item = pystac.Item(
            id=name,
            geometry=None,
            bbox=None,
            datetime=dt.datetime(2024, 6, day, 10, tzinfo=dt.UTC),
            properties=properties,
        )
        for key, path in assets.items():
            extra = (bands or {}).get(key, {})
            item.add_asset(
                key,
                pystac.Asset(
                    str(path), media_type=pystac.MediaType.COG, roles=["data"], extra_fields=extra
                ),
            )
        return item


#: What Earth Search says of a reflectance band since processing baseline 04.00.
REFLECTANCE = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]}


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    directory = tmp_path / "scenes"
    directory.mkdir()
    return Scenes(directory)


@pytest.fixture
def reflectance() -> dict[str, Any]:
    return REFLECTANCE


@pytest.fixture
def sentinel2(scenes: Scenes):
    """A factory of Sentinel-2-like items: red, nir (10 m), scl (20 m); three dates by default."""

    def make(size: int = 96, dates: int = 3, seed: int = 0, block: int | None = 32, **properties):
        rng = np.random.default_rng(seed)
        items = []
        for date in range(dates):
            red = rng.integers(900, 4000, (size, size)).astype("uint16")
            nir = rng.integers(900, 6000, (size, size)).astype("uint16")
            scl = rng.integers(0, 13, (size // 2, size // 2)).astype("uint8")
            for band in (red, nir):
                band[:, size - 7 * date :] = 0  # a strip without data
            files = {
                "red": scenes.write(f"red{date}", red, nodata=0, block=block),
                "nir": scenes.write(f"nir{date}", nir, nodata=0, block=block),
                "scl": scenes.write(f"scl{date}", scl, nodata=0, edge=20, block=16),
            }
            bands = {"red": REFLECTANCE, "nir": REFLECTANCE}
            items.append(
                scenes.item(f"scene{date}", files, day=date + 1, bands=bands, **properties)
            )
        return items

    return make


@pytest.fixture
def plain():
    """Reading and computing with rasterio and numpy only: what results are compared with."""
    return Plain()


class Plain:
    """The reference: no Dask, no xarray, no blocks."""

    MASKED = (0, 1, 3, 8, 9, 10, 12)

    def numbers(self, item: pystac.Item, band: str) -> np.ndarray:
        with rasterio.open(item.assets[band].href) as opened:
            return opened.read(1)

    def reflectance(self, item: pystac.Item, band: str, offset: float = -0.1) -> np.ndarray:
        numbers = self.numbers(item, band)
        values = numbers.astype("float32") * np.float32(0.0001)
        if offset:
            values = values + np.float32(offset)
        return np.where(numbers == 0, np.float32(np.nan), values)

    def cloudy(self, item: pystac.Item, repeat: int = 2) -> np.ndarray:
        scl = self.numbers(item, "scl")
        return np.isin(scl.repeat(repeat, 0).repeat(repeat, 1), self.MASKED)

    def ndvi(self, red: np.ndarray, nir: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            index = (nir - red) / (nir + red)
            return np.where(nir + red > 0, np.clip(index, -1, 1), np.float32(np.nan))

    def masked(self, item: pystac.Item, band: str, **options: Any) -> np.ndarray:
        values = self.reflectance(item, band, **options)
        values[self.cloudy(item)] = np.nan
        return values


def real_data() -> Path | None:
    """The folder of real scenes: RSDAT_TEST_DATA, else beside the repository."""
    named = os.environ.get("RSDAT_TEST_DATA")
    place = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "data"
    return place if (place / "s2_l2a_slovenia_stack_33TWL").is_dir() else None


@pytest.fixture
def slovenia() -> list[pystac.Item]:
    """Five dates of tile 33TWL; their offset is applied already, their grid is not as declared."""
    from rsdat.catalog import search

    place = real_data()
    if place is None:
        pytest.skip("the real scenes are not here (RSDAT_TEST_DATA)")
    return search(place / "s2_l2a_slovenia_stack_33TWL")


@pytest.fixture
def landsat() -> pystac.Item:
    """A Landsat Collection 2 scene, whose item declares neither scale nor offset."""
    place = real_data()
    if place is None:
        pytest.skip("the real scenes are not here (RSDAT_TEST_DATA)")
    folder = place / "landsat8_c2_l2sp_amazon"
    item = pystac.Item.from_file(str(next(folder.glob("*_stac.json"))))
    for key, asset in item.assets.items():
        local = folder / f"{item.id.removesuffix('_SR')}_{key}"
        asset.href = str(local) if local.exists() else asset.href
    return item


@pytest.fixture
def real_scenes() -> Path:
    """The folder of the real scenes."""
    place = real_data()
    if place is None:
        pytest.skip("the real scenes are not here (RSDAT_TEST_DATA)")
    return place
