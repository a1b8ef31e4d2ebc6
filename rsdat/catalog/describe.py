"""A STAC item beside a result: what it shows, where, from which inputs, and how it was made."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pystac
import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from rsdat import __version__
from rsdat.storage import write_atomically

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
# Declared only where its fields are used.
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"


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
    with rasterio.open(file) as opened:
        crs = CRS(opened.crs.to_wkt())
        geobox = GeoBox(opened.shape, opened.transform, crs)
        bands = [
            _band(opened, index, name or f"band {index + 1}")
            for index, name in enumerate(opened.descriptions)
        ]
    scaled = any(key.startswith("raster:") for band in bands for key in band)
    footprint = geobox.extent.to_crs("EPSG:4326")
    bounds = footprint.boundingbox
    item = pystac.Item(
        id=file.stem,
        geometry=footprint.json,
        bbox=[bounds.left, bounds.bottom, bounds.right, bounds.top],
        properties={
            **_grid(geobox, crs),
            "processing:software": {"rsdat": __version__},
            "processing:lineage": _sentence(inputs, chain),
            "rsdat:chain": dict(chain),
            **(properties or {}),
        },
        stac_extensions=[*_EXTENSIONS, *([_RASTER] if scaled else [])],
        **_times(inputs),
    )
    item.add_asset(
        "data",
        pystac.Asset(
            file.name,
            media_type=pystac.MediaType.COG,
            roles=["data"],
            extra_fields={"bands": bands},
        ),
    )
    if preview is not None:
        name = os.path.relpath(os.path.abspath(preview), file.parent)
        item.add_asset("preview", pystac.Asset(name, media_type="image/png", roles=["overview"]))
    for one in inputs:
        link = one.get_self_href()
        item.add_link(pystac.Link("derived_from", link or one.id, "application/geo+json", one.id))
    content = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    return write_atomically(file.with_suffix(".json"), content.encode())


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


def _grid(geobox: GeoBox, crs: CRS) -> dict[str, Any]:
    transform = geobox.transform
    place: dict[str, Any] = (
        {"proj:code": f"EPSG:{crs.epsg}"}
        if crs.epsg
        else {"proj:code": None, "proj:wkt2": crs.to_wkt()}
    )
    return {
        **place,
        "proj:shape": [geobox.height, geobox.width],
        "proj:transform": [
            transform.a,
            transform.b,
            transform.c,
            transform.d,
            transform.e,
            transform.f,
        ],
    }


def _band(opened: Any, index: int, name: str) -> dict[str, Any]:
    band: dict[str, Any] = {"name": name, "data_type": opened.dtypes[index]}
    nodata = opened.nodatavals[index]
    if nodata is not None:
        band["nodata"] = "nan" if nodata != nodata else nodata
    if (opened.scales[index], opened.offsets[index]) != (1.0, 0.0):
        band["raster:scale"] = opened.scales[index]
        band["raster:offset"] = opened.offsets[index]
    return band


def _sentence(inputs: Sequence[pystac.Item], chain: Mapping[str, Any]) -> str:
    steps = ", ".join(f"{name} {value}" for name, value in chain.items())
    return f"{steps}; from {len(inputs)} item{'s' if len(inputs) != 1 else ''}"
