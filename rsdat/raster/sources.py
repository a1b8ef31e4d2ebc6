"""Which file, band, scale, offset and nodata an item means by a name; no file is opened here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pystac

from rsdat.errors import DataError
from rsdat.raster.products import calibration, synonyms
from rsdat.storage import absolute

#: Bands whose numbers are names (classes, bits): kept as integers, never scaled or interpolated.
CATEGORICAL = re.compile(r"^(scl|fmask|bqa|qa.*|.*_qa|.*qa_.*|cloud_?mask|dataset_?mask|lulc)$")


@dataclass(frozen=True)
class Declared:
    """The grid that an item declares for an asset; the file has the last word."""

    crs: str
    shape: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Source:
    """One band of one item: everything a worker needs to read it. Small and picklable."""

    item: str
    asset: str
    href: str
    band: int = 1
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    categorical: bool = False
    declared: Declared | None = None

    @property
    def calibrated(self) -> bool:
        """Whether numbers become reflectance by a scale or an offset."""
        return self.scale is not None or self.offset is not None


@dataclass(frozen=True)
class _Candidate:
    key: str
    asset: pystac.Asset
    index: int
    bands: Sequence[dict[str, Any]]

    @property
    def rank(self) -> tuple[bool, bool, float, str]:
        media = (self.asset.media_type or "").lower()
        tiled = "tiff" in media or self.asset.href.lower().endswith((".tif", ".tiff"))
        return (len(self.bands) > 1, not tiled, _resolution(self.asset), self.key)


def source(item: pystac.Item, band: str) -> Source:
    """The file and the numbers' meaning of a band of an item.

    ``band`` is an asset's key (``B04``, ``red``, ``SCL``), a band's name, or a common name; case,
    a ``_10m`` or ``.TIF`` at the end do not matter, and of several resolutions the finest is
    taken. The bands of Sentinel-2 and Landsat are known by their other names as well.

    Scale, offset and nodata come from the asset (``raster:bands`` of version 1, ``raster:scale``
    and ``raster:offset`` of version 2, on the asset or its band). An offset that the item says to
    be in the pixels already (``earthsearch:boa_offset_applied``) is zero here. Where an asset says
    nothing, :mod:`rsdat.raster.products` knows what Sentinel-2 L2A and Landsat Collection 2
    publish.

    Raises
    ------
    DataError
        When the item has no such band, or its file cannot be located.
    """
    found = _find(item, band)
    href = found.asset.get_absolute_href()
    if href is None:
        raise DataError(
            f"item {item.id}: asset {found.key} has the relative href {found.asset.href}, and the "
            "item does not say where it lies itself",
            hint="open the item from its file, or make its hrefs absolute",
            asset=found.key,
        )
    scale, offset, nodata, categorical = _numbers(item, found, band)
    return Source(
        item=item.id,
        asset=found.key,
        href=absolute(href),
        band=found.index + 1,
        scale=scale,
        offset=offset,
        nodata=nodata,
        categorical=categorical,
        declared=_declared(item, found),
    )


def _find(item: pystac.Item, band: str) -> _Candidate:
    for name in (band, *synonyms(item, band)):
        matches = list(_named(item, name))
        if matches:
            return min(matches, key=lambda candidate: candidate.rank)
    pictures = sorted(key for key, asset in item.assets.items() if _is_raster(asset))
    raise DataError(
        f"item {item.id} has no band {band!r}; its raster assets are "
        f"{', '.join(pictures) or '(none)'}",
        hint="name one of these assets, or a common name such as red, nir or scl",
        asset=band,
    )


def _named(item: pystac.Item, name: str) -> Iterable[_Candidate]:
    if name in item.assets:
        yield _Candidate(name, item.assets[name], 0, _bands(item.assets[name])[:1])
        return
    wanted = _plain(name)
    for key, asset in item.assets.items():
        if not _is_raster(asset):
            continue
        bands = _bands(asset)
        if _plain(key) == wanted:
            yield _Candidate(key, asset, 0, bands[:1])
            continue
        for index, entry in enumerate(bands):
            names = (entry.get("name"), entry.get("common_name"), entry.get("eo:common_name"))
            if any(_plain(str(text)) == wanted for text in names if text):
                yield _Candidate(key, asset, index, bands)
                break


def _plain(name: str) -> str:
    return re.sub(r"(_\d+m)?(\.tiff?)?$", "", name.lower())


def _is_raster(asset: pystac.Asset) -> bool:
    roles = {role.lower() for role in asset.roles or ()}
    if roles & {"thumbnail", "overview", "metadata"}:
        return False
    media = (asset.media_type or "").lower()
    if media:
        return media.startswith("image/") and not media.startswith(("image/png", "image/jpeg"))
    return asset.href.lower().endswith((".tif", ".tiff", ".jp2", ".vrt", ".img"))


def _bands(asset: pystac.Asset) -> list[dict[str, Any]]:
    for key in ("bands", "eo:bands"):
        bands = asset.extra_fields.get(key)
        if isinstance(bands, list) and bands and all(isinstance(b, dict) for b in bands):
            return bands
    return []


def _entries(asset: pystac.Asset) -> list[dict[str, Any]]:
    """``raster:bands`` of version 1; what is no object in it says nothing."""
    entries = asset.extra_fields.get("raster:bands")
    if not isinstance(entries, list):
        return []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _resolution(asset: pystac.Asset) -> float:
    for key in ("gsd", "raster:spatial_resolution"):
        value = asset.extra_fields.get(key)
        if isinstance(value, int | float):
            return float(value)
    for entry in _entries(asset):
        value = entry.get("spatial_resolution")
        if isinstance(value, int | float):
            return float(value)
    match = re.search(r"_(\d+)m\b", asset.href)
    return float(match[1]) if match else math.inf


def _numbers(
    item: pystac.Item, found: _Candidate, band: str
) -> tuple[float | None, float | None, float | None, bool]:
    """Scale, offset, nodata, and whether the numbers are names."""
    fields: dict[str, Any] = {}
    entries = _entries(found.asset)
    if found.index < len(entries):
        fields.update(entries[found.index])
    here = found.bands[found.index] if found.index < len(found.bands) else {}
    for place in (found.asset.extra_fields, here):
        for name in ("scale", "offset", "nodata"):
            value = place.get(f"raster:{name}", place.get(name) if name == "nodata" else None)
            if value is not None:
                fields[name] = value
    scale, offset = _finite(fields.get("scale")), _finite(fields.get("offset"))
    scale = scale or None  # by zero all would be the same
    nodata = _number(fields.get("nodata"))
    # What is called quality and has a scale is measured: Landsat's uncertainty of temperature.
    if _categorical(found, band) and scale in (None, 1.0):
        return None, None, nodata, True
    if scale is None and offset is None:
        scale, offset, known = calibration(item, found.key, [dict(b) for b in found.bands])
        nodata = known if nodata is None else nodata
    if offset and _offset_applied(item):
        offset = 0.0
    return scale, offset, nodata, False


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)  # STAC writes "nan", "inf" and "-inf" as texts
    except (TypeError, ValueError):
        return None


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None


def _offset_applied(item: pystac.Item) -> bool:
    return any(
        key.endswith("boa_offset_applied") and value is True
        for key, value in item.properties.items()
    )


def _categorical(found: _Candidate, band: str) -> bool:
    fields = found.asset.extra_fields
    if any(key in fields for key in ("classification:classes", "classification:bitfields")):
        return True
    return any(CATEGORICAL.match(_plain(name)) for name in (found.key, band))


def _declared(item: pystac.Item, found: _Candidate) -> Declared | None:
    """The grid, as the band, its asset or the item says it; None where it is not said, or not so
    that it can be understood: the file is asked then."""
    here = found.bands[found.index] if found.index < len(found.bands) else {}
    places = (here, found.asset.extra_fields, item.properties)

    def value(name: str) -> Any:
        return next((place[name] for place in places if place.get(name) is not None), None)

    code = value("proj:code") or (f"EPSG:{value('proj:epsg')}" if value("proj:epsg") else None)
    try:
        rows, columns = (int(number) for number in value("proj:shape"))
        a, b, c, d, e, f = (float(number) for number in value("proj:transform")[:6])
    except (TypeError, ValueError):
        return None
    if not code or rows < 1 or columns < 1 or a * e == b * d:
        return None
    return Declared(str(code), (rows, columns), (a, b, c, d, e, f))
