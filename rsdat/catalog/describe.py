"""A STAC item beside a result: what it shows, where, from which inputs, and how it was made."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from rsdat import __version__
from rsdat.catalog.footprints import footprint
from rsdat.storage import write_atomically

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
# Declared only where its fields are used.
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"

ZARR = "application/vnd.zarr; version=3"


@dataclass(frozen=True)
class Band:
    """What the stored numbers of a band are."""

    name: str
    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0

    def words(self) -> dict[str, Any]:
        """As STAC says it."""
        result: dict[str, Any] = {"name": self.name, "data_type": self.dtype}
        if self.nodata is not None:
            result["nodata"] = "nan" if self.nodata != self.nodata else self.nodata
        if (self.scale, self.offset) != (1.0, 0.0):
            result["raster:scale"] = self.scale
            result["raster:offset"] = self.offset
        return result


@dataclass(frozen=True)
class Contents:
    """What a result holds: its grid and its bands."""

    geobox: GeoBox
    bands: tuple[Band, ...]
    media_type: str = pystac.MediaType.COG


def contents_of(path: str | os.PathLike[str]) -> Contents:
    """What a raster file says of itself."""
    import rasterio

    with rasterio.open(path) as opened:
        geobox = GeoBox(opened.shape, opened.transform, CRS(opened.crs.to_wkt()))
        columns = (opened.dtypes, opened.nodatavals, opened.scales, opened.offsets)
        bands = [
            Band(name or f"band {number}", *meaning)
            for number, (name, *meaning) in enumerate(
                zip(opened.descriptions, *columns, strict=True), start=1
            )
        ]
    return Contents(geobox, tuple(bands))


def describe_result(
    path: str | os.PathLike[str],
    inputs: Sequence[pystac.Item],
    chain: Mapping[str, Any],
    *,
    preview: str | os.PathLike[str] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> Path:
    """Write the STAC item of a raster file beside it (``out.tif`` → ``out.json``).

    Parameters
    ----------
    path
        The file; grid, bands, nodata and scale are read from it.
    inputs
        The items it was made from; they become ``derived_from`` links and give the time.
    chain
        How it was made, as plain JSON values: ``{"step": …}``. Kept as ``rsdat:chain``.
    preview
        A PNG of it, to be listed as its overview.
    properties
        Further properties.

    Returns
    -------
    Path of the item.
    """
    file = Path(os.path.abspath(path))
    picture = None
    if preview is not None:
        picture = os.path.relpath(os.path.abspath(preview), file.parent)
    item = description(
        file.name, contents_of(file), inputs, chain, preview=picture, properties=properties
    )
    return write_atomically(file.with_suffix(".json"), item)


def description(
    name: str,
    contents: Contents,
    inputs: Sequence[pystac.Item],
    chain: Mapping[str, Any],
    *,
    preview: str | None = None,
    properties: Mapping[str, Any] | None = None,
) -> bytes:
    """The STAC item of a result, as JSON; ``name`` and ``preview`` are seen from where it lies."""
    bands = [band.words() for band in contents.bands]
    scaled = any(key.startswith("raster:") for band in bands for key in band)
    outline = footprint(contents.geobox)
    item = pystac.Item(
        id=os.path.splitext(name)[0],
        geometry=outline.geometry,
        bbox=list(outline.bbox),
        properties={
            "created": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            **_grid(contents.geobox),
            "processing:software": {"rsdat": __version__},
            "processing:lineage": _sentence(inputs, chain),
            "rsdat:chain": dict(chain),
            **(properties or {}),
        },
        stac_extensions=[*_EXTENSIONS, *([_RASTER] if scaled else [])],
        **_times(inputs),
    )
    fields = {"bands": bands}
    asset = pystac.Asset(name, media_type=contents.media_type, roles=["data"], extra_fields=fields)
    item.add_asset("data", asset)
    if preview is not None:
        item.add_asset("preview", pystac.Asset(preview, media_type="image/png", roles=["overview"]))
    for one in inputs:
        link = one.get_self_href()
        item.add_link(pystac.Link("derived_from", link or one.id, "application/geo+json", one.id))
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    return json.dumps(content, indent=2).encode()


def _times(inputs: Sequence[pystac.Item]) -> dict[str, Any]:
    moments = [
        moment
        for item in inputs
        for moment in (
            item.datetime,
            item.common_metadata.start_datetime,
            item.common_metadata.end_datetime,
        )
        if moment is not None
    ]
    ordered = sorted(_utc(moment) for moment in moments) or [dt.datetime.now(dt.UTC)]
    if ordered[0] == ordered[-1]:
        return {"datetime": ordered[0]}
    return {"datetime": None, "start_datetime": ordered[0], "end_datetime": ordered[-1]}


def _utc(moment: dt.datetime) -> dt.datetime:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC)


def _grid(geobox: GeoBox) -> dict[str, Any]:
    crs = geobox.crs
    assert crs is not None
    place: dict[str, Any] = (
        {"proj:code": f"EPSG:{crs.epsg}"}
        if crs.epsg
        else {"proj:code": None, "proj:wkt2": crs.to_wkt()}
    )
    return {
        **place,
        "proj:shape": list(geobox.shape),
        "proj:transform": list(geobox.transform)[:6],
        "proj:bbox": list(geobox.boundingbox.bbox),
    }


def _sentence(inputs: Sequence[pystac.Item], chain: Mapping[str, Any]) -> str:
    count = f"from {len(inputs)} item{'s' if len(inputs) != 1 else ''}"
    return "; ".join([*_told(chain), count])


def _told(chain: Mapping[str, Any]) -> list[str]:
    told = []
    for name, value in chain.items():
        if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            told += [" ".join(f"{word} {of}" for word, of in step.items()) for step in value]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            told += [f"{name} {', '.join(map(str, value))}"] if value else []
        else:
            told.append(f"{name} {value}")
    return told
