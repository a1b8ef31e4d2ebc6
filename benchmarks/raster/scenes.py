"""Makes the scenes: Sentinel-2-like COGs and their STAC items, the same ones for the same seed.

Red and near infrared (10 m, uint16, reflectance = number / 10000 - 0.1, 0 is no data) and the scene
classes (20 m, uint8). Fractal terrain, texture that compresses as a textured real scene does
(DEFLATE-6 with predictor: 1.15 to 1.3), clouds with shadows, and a corner without data.

Items carry ``proj:code`` and ``proj:epsg``, because each peer knows another one.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pystac
import rasterio
import rasterio.shutil
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform, transform_bounds

SEED = 20240601
#: The texture's deviation, chosen for the compression that the docstring names.
TEXTURE = 400.0


@dataclass(frozen=True)
class Collection:
    """Scenes of one size; ``zones`` are taken in turn, all over the same ground."""

    name: str
    scenes: int
    size: int
    zones: tuple[int, ...] = (32632,)
    block: int = 1024

    def quarter(self) -> Collection:
        """A quarter of the edge: to try the harness, not to measure."""
        return Collection(self.name, self.scenes, self.size // 8 * 2, self.zones, self.block // 4)


COLLECTIONS = {
    one.name: one
    for one in (
        Collection("one", 1, 10980),
        Collection("one-512", 1, 10980, block=512),
        Collection("stack", 12, 5490),
        Collection("zones", 24, 5490, zones=(32632, 32633)),
        Collection("hundred", 100, 2048),
    )
}


def collection(name: str, scale: str) -> Collection:
    """A collection by its name, at the scale ``full`` or ``small``."""
    found = COLLECTIONS[name]
    return found if scale == "full" else found.quarter()


def make(wanted: Collection, directory: Path) -> list[pystac.Item]:
    """The items of a collection; its files are made where they are missing.

    A directory without its ``items.json`` was left by an interrupted run, and is made anew.
    """
    stored_in = listing(wanted, directory)
    place = stored_in.parent
    recipe = {**asdict(wanted), "seed": SEED, "texture": TEXTURE, "version": 1}
    recipe = json.loads(json.dumps(recipe))
    if stored_in.exists():
        stored = json.loads(stored_in.read_text())
        if stored["recipe"] == recipe:
            return [pystac.Item.from_dict(item) for item in stored["items"]]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    items = [_scene(wanted, place, date) for date in range(wanted.scenes)]
    body = {"recipe": recipe, "items": [item.to_dict() for item in items]}
    partial = stored_in.with_suffix(".partial")
    partial.write_text(json.dumps(body))
    os.replace(partial, stored_in)
    return items


def listing(wanted: Collection, directory: Path) -> Path:
    """Where the items of a collection are written down."""
    return directory / f"{wanted.name}-{wanted.size}" / "items.json"


def geobox(item: pystac.Item) -> GeoBox:
    """The grid of an item's red band."""
    fields = item.assets["red"].extra_fields
    return GeoBox(
        fields["proj:shape"], Affine(*fields["proj:transform"][:6]), item.properties["proj:code"]
    )


def _scene(wanted: Collection, place: Path, date: int) -> pystac.Item:
    epsg = wanted.zones[date % len(wanted.zones)]
    west, north = origin(epsg, wanted.size)
    red, nir, classes = pixels(wanted.size, date)
    files = {
        "red": _write(place / f"{date:03d}-red.tif", red, epsg, (west, north), 10, wanted.block),
        "nir": _write(place / f"{date:03d}-nir.tif", nir, epsg, (west, north), 10, wanted.block),
        "scl": _write(
            place / f"{date:03d}-scl.tif", classes, epsg, (west, north), 20, wanted.block
        ),
    }
    edge = wanted.size * 10
    bounds = transform_bounds(
        CRS.from_epsg(epsg), CRS.from_epsg(4326), west, north - edge, west + edge, north
    )
    w, s, e, n = bounds
    ring = [[w, s], [e, s], [e, n], [w, n], [w, s]]
    item = pystac.Item(
        id=f"{wanted.name}-{date:03d}",
        geometry={"type": "Polygon", "coordinates": [ring]},
        bbox=list(bounds),
        datetime=dt.datetime(2024, 1, 5, 10, 10, tzinfo=dt.UTC) + dt.timedelta(days=3 * date),
        properties={"proj:code": f"EPSG:{epsg}", "proj:epsg": epsg},
        collection="sentinel-2-l2a",
    )
    for key, path in files.items():
        item.add_asset(key, _asset(key, path, wanted.size, (west, north)))
    return item


def _asset(key: str, path: Path, size: int, corner: tuple[float, float]) -> pystac.Asset:
    step = 20 if key == "scl" else 10
    side = size * 10 // step
    band = {"nodata": 0, "data_type": "uint8" if key == "scl" else "uint16"}
    if key != "scl":
        band |= {"scale": 0.0001, "offset": -0.1}
    return pystac.Asset(
        str(path),
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields={
            "eo:bands": [{"name": key, "common_name": key}],
            "raster:bands": [{**band, "spatial_resolution": step}],
            "proj:shape": [side, side],
            "proj:transform": [step, 0, corner[0], 0, -step, corner[1], 0, 0, 1],
        },
    )


def origin(epsg: int, size: int) -> tuple[float, float]:
    """West and north of a scene: its centre lies at 12° east, where zones 32 and 33 meet."""
    (x,), (y,) = transform(CRS.from_epsg(4326), CRS.from_epsg(epsg), [12.0], [46.0])
    half = size * 10 / 2
    return round((x - half) / 20) * 20, round((y + half) / 20) * 20


def pixels(size: int, date: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Red, near infrared and classes of one date."""
    terrain, texture = _terrain(size), _texture(size)
    shift = (date * 977 % size, date * 3571 % size)
    green = terrain * np.float32(0.9 + 0.2 * np.sin(date / 4))  # the season
    speckle = np.roll(texture, shift, (0, 1))
    red = 1000 + 900 * (1.6 - green) + speckle
    nir = 1000 + 2600 * (0.4 + green) + np.roll(texture, (shift[1], shift[0]), (0, 1))
    classes = _classes(size, date)
    over = classes.repeat(2, 0).repeat(2, 1)
    for band in (red, nir):
        band[over >= 8] += 4500
        band[over == 3] *= 0.6
        np.clip(band, 1, 16000, out=band)
        band[over == 0] = 0
    return red.astype("uint16"), nir.astype("uint16"), classes


def _classes(size: int, date: int) -> np.ndarray:
    """Vegetation and soil, under clouds (8, 9) with their shadows (3), and a corner of nothing."""
    half = size // 2
    field = _fractal(half, SEED + 1000 + date, first=3, last=48)
    field += np.float32(0.35 * np.sin(2.1 * date))  # clear days and cloudy days
    soil = _terrain(size)[::2, ::2] < 0.35
    classes = np.where(soil, np.uint8(5), np.uint8(4))
    distance = max(1, half // 60)
    classes[np.roll(field > 0.45, (distance, distance), (0, 1))] = 3
    classes[field > 0.45] = 8
    classes[field > 0.6] = 9
    rows, columns = np.ogrid[:half, :half]
    classes[rows + columns < half // 5 * (1 + date % 3)] = 0
    return classes


@lru_cache(maxsize=1)
def _terrain(size: int) -> np.ndarray:
    field = _fractal(size, SEED, first=4, last=512)
    low, high = np.quantile(field[::16, ::16], (0.01, 0.99))
    return np.clip((field - low) / (high - low), 0, 1)


@lru_cache(maxsize=1)
def _texture(size: int) -> np.ndarray:
    rng = np.random.default_rng(SEED + 1)
    return rng.standard_normal((size, size), "float32") * np.float32(TEXTURE)


def _fractal(size: int, seed: int, first: int, last: int) -> np.ndarray:
    """Noise of several wavelengths, each half as long and half as strong as the one before."""
    rng = np.random.default_rng(seed)
    field = np.zeros((size, size), "float32")
    strength, knots = 1.0, first
    while knots <= last:
        grid = rng.standard_normal((knots + 1, knots + 1), "float32") * np.float32(strength)
        weights = _weights(size, knots)
        field += weights @ grid @ weights.T
        strength, knots = strength / 2, knots * 2
    return field


def _weights(size: int, knots: int) -> np.ndarray:
    """The matrix that interpolates ``knots + 1`` values to ``size``, linearly."""
    at = np.linspace(0, knots, size, dtype="float32")
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots + 1, dtype="float32")[None]))


def _write(
    path: Path, values: np.ndarray, epsg: int, corner: tuple[float, float], step: int, block: int
) -> Path:
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype.name,
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "crs": CRS.from_epsg(epsg),
        "transform": from_origin(*corner, step, step),
        "nodata": 0,
    }
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as opened:
            opened.write(values, 1)
        rasterio.shutil.copy(
            memory.name,
            path,
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=6,
            PREDICTOR="STANDARD",
            BLOCKSIZE=block,
            NUM_THREADS="ALL_CPUS",
            OVERVIEW_RESAMPLING="NEAREST" if values.dtype == np.uint8 else "AVERAGE",
        )
    return path
