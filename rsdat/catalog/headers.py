"""What raster files say of themselves: grid, bands, time; read from their headers, many at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from rsdat.catalog import servers
from rsdat.errors import CredentialError, DataError
from rsdat.storage import is_remote, scrubbed, shown
from rsdat.storage.transfer_places import place_of

_THREADS = 16
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GEOTIFF = "image/tiff; application=geotiff"
_REMOTE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
}
_TIME_TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME", "DATETIME", "datetime")


@dataclass(frozen=True)
class File:
    """A file in a listing. ``path`` is seen from where the listing began; times are UTC."""

    href: str
    path: str
    size: int | None = None
    changed: datetime | None = None


@dataclass(frozen=True)
class BandHeader:
    """One band; ``statistics`` are the file's own: minimum, maximum, mean, stddev."""

    description: str | None
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    unit: str | None
    statistics: dict[str, float]


@dataclass(frozen=True)
class Header:
    """The header of a raster file."""

    geobox: GeoBox
    bands: tuple[BandHeader, ...]
    media_type: str
    time: datetime | None


def files_in(place: str, endings: tuple[str, ...] = (".tif", ".tiff", ".jp2")) -> list[File]:
    """The raster files below a directory, or the one file that is named, sorted by path.

    Raises
    ------
    DataError
        There is nothing, or it cannot be listed.
    """
    found = _remote_files(place, endings) if is_remote(place) else _local_files(place, endings)
    if not found:
        raise DataError(
            f"{shown(place)} holds no raster files ({', '.join(endings)})",
            hint="give the directory of the images",
        )
    return sorted(found, key=lambda file: file.path)


def headers(
    files: Iterable[File],
) -> Iterator[tuple[File, Header | DataError]]:
    """The header of each file, or why it cannot be used; in the order of the files."""
    todo = list(files)
    threads = servers.threads((file.href for file in todo), _THREADS)
    with ThreadPoolExecutor(threads, "rsdat-headers") as pool:
        yield from zip(todo, pool.map(_tried, todo), strict=True)


def header(file: File) -> Header:
    """The header of a raster file.

    Raises
    ------
    DataError
        It cannot be opened, or has no CRS.
    """
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.session import DummySession

    from rsdat.storage import gdal, gdal_cache

    remote = is_remote(file.href)
    settings = {k: v for k, v in (_REMOTE if remote else {}).items() if k not in os.environ}
    settings = gdal_cache.remembering(settings | gdal.options(file.href))
    try:
        opening = gdal.opening(file.href)
        with rasterio.Env(DummySession(), **settings):
            if remote:
                gdal_cache.forget(opening["fp"])
            with rasterio.open(**opening) as opened:
                return _header(opened, file)
    except CredentialError:
        raise
    except (RasterioError, OSError) as error:
        refused = gdal.refusal(file.href) if remote else None
        cause = refused.words if refused else scrubbed(gdal.scrub(str(error), file.href), file.href)
        gone = not remote and not os.path.exists(file.href)
        raise DataError(
            f"{shown(file.href)} cannot be read: {'it is gone' if gone else cause}",
            hint="remove it, or leave such files out with --on-error skip",
        ) from None


def _tried(file: File) -> Header | DataError:
    try:
        return header(file)
    except DataError as error:
        return error


def _header(opened: Any, file: File) -> Header:
    if not opened.crs:
        raise DataError(
            f"{shown(file.href)} has no CRS",
            hint="a file beside it (.aux.xml, .prj) may be missing",
        )
    tags = opened.tags()
    cog = opened.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    bands = tuple(
        BandHeader(
            description=opened.descriptions[number],
            dtype=opened.dtypes[number],
            nodata=opened.nodatavals[number],
            scale=float(opened.scales[number]),
            offset=float(opened.offsets[number]),
            unit=opened.units[number] or None,
            statistics=_statistics(opened.tags(number + 1)),
        )
        for number in range(opened.count)
    )
    geobox = GeoBox(opened.shape, opened.transform, CRS(opened.crs.to_wkt()))
    media = "image/jp2" if opened.driver.startswith("JP2") else _COG if cog else _GEOTIFF
    return Header(geobox, bands, media, _time(tags))


def _statistics(tags: dict[str, str]) -> dict[str, float]:
    names = {"MINIMUM": "minimum", "MAXIMUM": "maximum", "MEAN": "mean", "STDDEV": "stddev"}
    found = {}
    for tag, name in names.items():
        try:
            found[name] = float(tags[f"STATISTICS_{tag}"])
        except (KeyError, ValueError):
            continue
    return found


def _time(tags: dict[str, str]) -> datetime | None:
    for name in _TIME_TAGS:
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", tags.get(name, "").strip())
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _local_files(place: str, endings: tuple[str, ...]) -> list[File]:
    root = Path(place)
    if root.is_file():
        return [_local(root, root.parent)]
    if not root.is_dir():
        raise DataError(f"{place} does not exist", hint="check the name")
    paths = (
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if name.lower().endswith(endings) and not name.startswith(".")
    )
    return [_local(path, root) for path in paths]


def _local(path: Path, root: Path) -> File:
    try:
        known = path.stat()
    except OSError:  # gone since it was listed: reading it will say so
        return File(str(path), path.relative_to(root).as_posix())
    changed = datetime.fromtimestamp(int(known.st_mtime), UTC)
    return File(str(path), path.relative_to(root).as_posix(), known.st_size, changed)


def _remote_files(place: str, endings: tuple[str, ...]) -> list[File]:
    try:
        opened = place_of(place)
        filesystem, root = opened.fs, opened.path
        listed: dict[str, Any] = filesystem.find(root, detail=True)
    except CredentialError:
        raise
    except Exception as error:  # whatever the backend raises
        raise DataError(
            f"{shown(place)} cannot be listed: {scrubbed(str(error), place)}",
            hint="check the address and your credentials for it; some web servers list nothing",
        ) from error
    files = []
    for name, info in listed.items():
        if not name.lower().endswith(endings):
            continue
        path = name.removeprefix(root).lstrip("/") or name.rpartition("/")[2]
        href = name if "://" in name else filesystem.unstrip_protocol(name)
        files.append(File(_of_place(href, place), path, info.get("size"), listed_time(info)))
    return files


def _of_place(href: str, place: str) -> str:
    """A listed href with the host that was asked: some filesystems leave it out."""
    scheme, _, rest = place.partition("://")
    host = rest.partition("/")[0]
    own_scheme, _, own = href.partition("://")
    if own.startswith("/"):
        return f"{scheme}://{host}{own}"
    return f"{scheme}://{own}" if own_scheme != scheme else href


def listed_time(info: dict[str, Any]) -> datetime | None:
    """When a file was changed, by what its filesystem lists; UTC, None where it does not say."""
    for name in ("mtime", "LastModified", "modified", "last_modified"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.astimezone(UTC).replace(microsecond=0)
        if isinstance(value, int | float) and value > 0:
            return datetime.fromtimestamp(int(value), UTC)
    return None
