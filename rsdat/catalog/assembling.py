"""Items and collections from headers and names: what is written into a catalog, as JSON; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from rsdat.catalog.antimeridian import bounding_area, bounds
from rsdat.catalog.filters import area_of, times
from rsdat.catalog.footprints import footprint
from rsdat.catalog.headers import BandHeader, File, Header
from rsdat.catalog.hrefs import relative
from rsdat.catalog.naming import Named, common_name, keys, mission
from rsdat.errors import DataError
from rsdat.storage import shown

VERSION = "1.1.0"
_EXTENSIONS = {
    "proj:": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster:": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "eo:": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file:": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
}


@dataclass(frozen=True)
class Part:
    """A file of an item: where it is, what its name says, what its header says."""

    file: File
    named: Named
    header: Header


def item_of(parts: Sequence[Part], href: str, collection: str) -> tuple[dict[str, Any], str | None]:
    """An item of its files, and where its time is from, if that is doubtful.

    Parameters
    ----------
    href
        Where the item is going to lie: assets are relative to it.

    Raises
    ------
    DataError
        Two files would be one asset, or a grid lies where its projection has no degrees.
    """
    named = parts[0].named
    time, doubt = _time(parts)
    names = keys(part.named for part in parts)
    _once(names, parts)
    assets = {key: asset_of(part, href) for key, part in zip(names, parts, strict=True)}
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [],
        "id": named.item,
        "geometry": None,
        "properties": {"datetime": written(time), **mission(named.item)},
        "links": [],
        "assets": assets,
        "collection": collection,
    }
    return located(item, [part.header for part in parts]), doubt


def located(item: Mapping[str, Any], headers: Iterable[Header]) -> dict[str, Any]:
    """An item with the outline of its files, their common CRS, and the extensions that it uses."""
    outlines: dict[tuple[Any, ...], GeoBox] = {}
    for header in headers:
        box = header.geobox.boundingbox
        known = (str(header.geobox.crs), *(round(edge, 6) for edge in box.bbox))
        outlines.setdefault(known, header.geobox)
    try:
        areas = [shape(footprint(geobox).geometry) for geobox in outlines.values()]
    except DataError as error:
        raise DataError(f"item {item['id']}: {error.message}", hint=error.hint) from None
    area = shapely.union_all(areas) if len(areas) > 1 else areas[0]
    result = {**item, "geometry": mapping(area), "bbox": bounds(area)}
    codes = {asset.get("proj:code") for asset in item["assets"].values()} - {None}
    properties = dict(item["properties"])
    properties.pop("proj:code", None)
    result["properties"] = properties | ({"proj:code": codes.pop()} if len(codes) == 1 else {})
    result["stac_extensions"] = _extensions(result)
    return result


def asset_of(part: Part, href: str) -> dict[str, Any]:
    """The asset of a file, seen from its item at ``href``."""
    file, header = part.file, part.header
    geobox = header.geobox
    code = geobox.crs.epsg if geobox.crs else None
    place: dict[str, Any] = {"proj:code": f"EPSG:{code}" if code else None}
    if not code and geobox.crs:
        place["proj:wkt2"] = geobox.crs.to_wkt()
    known: dict[str, Any] = {}
    if file.size is not None:
        known["file:size"] = file.size
    if file.changed is not None:
        known["updated"] = written(file.changed)
    return {
        "href": relative(file.href, href),
        "type": header.media_type,
        "roles": ["data"],
        **place,
        "proj:shape": list(geobox.shape),
        "proj:transform": [float(number) for number in list(geobox.transform)[:6]],
        "proj:bbox": [float(edge) for edge in geobox.boundingbox.bbox],
        "bands": [
            _band(number, band, part.named, len(header.bands))
            for number, band in enumerate(header.bands, 1)
        ],
        **known,
    }


def written(time: datetime) -> str:
    """A time as STAC writes it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _band(number: int, band: BandHeader, named: Named, count: int) -> dict[str, Any]:
    single = named.band if count == 1 else None
    name = single or band.description or (named.key if count == 1 else f"band{number}")
    common = common_name(named.item, name)
    found: dict[str, Any] = {"name": name}
    if common:
        found["eo:common_name"] = common
    if band.description and band.description != name:
        found["description"] = band.description
    found["data_type"] = band.dtype if not band.dtype.startswith("complex_") else "other"
    if band.nodata is not None:
        found["nodata"] = _number(band.nodata)
    if (band.scale, band.offset) != (1.0, 0.0):
        found |= {"raster:scale": band.scale, "raster:offset": band.offset}
    if band.unit:
        found["unit"] = band.unit
    if band.statistics:
        found["statistics"] = band.statistics
    return found


def _number(value: float) -> Any:
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return int(value) if value == int(value) else value


def _time(parts: Sequence[Part]) -> tuple[datetime, str | None]:
    for part in parts:
        if part.named.time is not None:
            return part.named.time, None
    for part in parts:
        if part.header.time is not None:
            return part.header.time, None
    name = parts[0].named.item
    changed = [part.file.changed for part in parts if part.file.changed is not None]
    if not changed:
        raise DataError(
            f"item {name}: no time in its names, its tags or its listing",
            hint="say where it stands: --pattern '{id}_{date}_{band}.tif'",
        )
    return min(changed), f"item {name}: no time in its names or tags: taken from its files' age"


def _once(names: Sequence[str], parts: Sequence[Part]) -> None:
    first: dict[str, Part] = {}
    for name, part in zip(names, parts, strict=True):
        if name in first:
            raise DataError(
                f"item {part.named.item}: {shown(first[name].file.href)} and "
                f"{shown(part.file.href)} would both be its asset {name}",
                hint="tell them apart with --pattern, as '{id}/{band}.tif', or --on-error skip",
            )
        first[name] = part


def _extensions(item: Mapping[str, Any]) -> list[str]:
    fields = set(item["properties"])
    for asset in item["assets"].values():
        fields |= set(asset)
        fields |= {key for band in asset.get("bands", []) for key in band}
    own = [url for start, url in _EXTENSIONS.items() if any(f.startswith(start) for f in fields)]
    others = [url for url in item.get("stac_extensions") or [] if url not in own]
    return [*own, *others]


@dataclass
class Totals:
    """What a collection says of its items, gathered one by one."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    areas: list[BaseGeometry] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    platforms: set[str] = field(default_factory=set)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, item: Mapping[str, Any]) -> None:
        """Count an item, as JSON."""
        self.count += 1
        start, end = times(item)
        if start is not None and end is not None:
            self.first = start if self.first is None else min(self.first, start)
            self.last = end if self.last is None else max(self.last, end)
        area = bounding_area(item["bbox"]) if item.get("bbox") else area_of(item)
        if area is not None:
            self.areas.append(area)
        if len(self.areas) > 1000:
            self.areas = [shapely.union_all(self.areas)]
        properties = item["properties"]
        self.codes |= {str(c) for c in [properties.get("proj:code")] if c}
        self.platforms |= {str(p) for p in [properties.get("platform")] if p}
        for key, asset in item["assets"].items():
            definition = _definition(asset)
            if key not in self.assets and len(definition) > 1:  # STAC's schema wants two fields
                self.assets[key] = definition

    def fields(self) -> dict[str, Any]:
        """Extent, summaries and item_assets."""
        area = shapely.union_all(self.areas) if self.areas else bounding_area((-180, -90, 180, 90))
        interval = [written(time) if time else None for time in (self.first, self.last)]
        summaries: dict[str, Any] = {}
        if self.codes:
            summaries["proj:code"] = sorted(self.codes)
        if self.platforms:
            summaries["platform"] = sorted(self.platforms)
        bands = {
            band["name"]: band for one in self.assets.values() for band in one.get("bands", [])
        }
        if bands:
            summaries["bands"] = list(bands.values())
        return {
            "extent": {"spatial": {"bbox": [bounds(area)]}, "temporal": {"interval": [interval]}},
            "summaries": summaries,
            "item_assets": self.assets,
        }


def _definition(asset: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: asset[name] for name in ("type", "title", "roles") if name in asset}
    words = ("name", "eo:common_name", "data_type", "nodata", "raster:scale", "raster:offset")
    bands = [
        {word: band[word] for word in words if word in band} for band in asset.get("bands", [])
    ]
    return {**kept, "bands": bands} if bands else kept
