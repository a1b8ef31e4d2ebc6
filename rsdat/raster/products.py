"""What is known of products whose items leave it out: other names of bands, scales and offsets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pystac

# ESA's band ids and the common names of the STAC eo extension.
_SENTINEL2 = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "swir16": "B11",
    "swir22": "B12",
}
_SENTINEL2_NAMES = {band.lower(): common for common, band in _SENTINEL2.items()}

# Landsat 8 and 9 call their near infrared nir08; people ask for nir.
_ANYWHERE = {
    "nir": ("nir08",),
    "swir1": ("swir16",),
    "swir2": ("swir22",),
    "pixel_qa": ("qa_pixel",),
}

_LANDSAT_LEVEL2 = re.compile(r"^L[COTEM]\d\d_L2S[PR]_")
_LANDSAT_REFLECTANCE = {"coastal", "blue", "green", "red", "nir08", "nir", "swir16", "swir22"}
_LANDSAT_TEMPERATURE = {"lwir", "lwir11", "st_b6", "st_b10"}

# ESA's names of products: S2A_MSIL2A_20190524T105031_N0212_R051_T31NBJ_20190524T135050.
_SENTINEL2_PRODUCT = re.compile(r"\bS2[A-D]_MSIL2A_\d{8}T\d{6}_N(\d\d)(\d\d)_")


def synonyms(item: pystac.Item, band: str) -> tuple[str, ...]:
    """Other names under which an item may hold a band, the likeliest first."""
    name = band.lower()
    names: tuple[str, ...] = ()
    if is_sentinel2(item):
        if name in _SENTINEL2:
            names += (_SENTINEL2[name],)
        elif name in _SENTINEL2_NAMES:
            names += (_SENTINEL2_NAMES[name],)
        # Sentinel-2 has both: its nir08 (B8A, 20 m) is not what is meant by nir.
        return names
    return names + _ANYWHERE.get(name, ())


def calibration(
    item: pystac.Item, asset: str, bands: Sequence[dict[str, Any]]
) -> tuple[float | None, float | None, float | None]:
    """Scale, offset and nodata of an asset that declares none; None where nothing is known.

    Sentinel-2 L2A: quantification 10000, and since processing baseline 04.00 an offset of -1000
    digital numbers (ESA, Sentinel-2 Products Specification Document). The baseline decides, never
    the date. Landsat Collection 2 Level-2: reflectance 2.75e-5 and -0.2, surface temperature
    0.00341802 and 149 K, fill 0 (USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide).
    """
    names = {
        str(name).lower()
        for entry in bands
        for name in (entry.get("name"), entry.get("common_name"), entry.get("eo:common_name"))
        if name
    } | {re.sub(r"(_\d+m)?(\.tiff?)?$", "", asset.lower())}
    if is_sentinel2(item) and names & (set(_SENTINEL2) | set(_SENTINEL2_NAMES)):
        baseline = _baseline(item)
        if baseline is None:
            return None, None, 0.0
        return 1e-4, -0.1 if baseline >= 4.0 else 0.0, 0.0
    if is_landsat_level2(item):
        if names & _LANDSAT_REFLECTANCE or any(re.match(r"^sr_b\d$", name) for name in names):
            return 2.75e-5, -0.2, 0.0
        if names & _LANDSAT_TEMPERATURE:
            return 0.00341802, 149.0, 0.0
    return None, None, None


def _baseline(item: pystac.Item) -> float | None:
    """The processing baseline of a Sentinel-2 item: as it says, else by the name of its product."""
    for key, value in item.properties.items():
        if key.endswith("processing_baseline"):
            found = re.fullmatch(r"N?(\d\d)\.?(\d\d)", str(value))
            if found:
                return float(f"{found[1]}.{found[2]}")
    texts = [item.id, *(v for v in item.properties.values() if isinstance(v, str))]
    for text in texts:
        if product := _SENTINEL2_PRODUCT.search(text):
            return float(f"{product[1]}.{product[2]}")
    return None


def is_sentinel2(item: pystac.Item) -> bool:
    """Whether an item is of Sentinel-2."""
    place = f"{item.properties.get('constellation', '')} {item.properties.get('platform', '')}"
    texts = f"{place} {item.collection_id or ''}".lower()
    return "sentinel-2" in texts or "sentinel2" in texts or "sentinel-s2" in texts


def is_landsat_level2(item: pystac.Item) -> bool:
    """Whether an item is of Landsat Collection 2, Level 2 (surface reflectance)."""
    return bool(_LANDSAT_LEVEL2.match(item.id)) or "landsat-c2l2" in (item.collection_id or "")
