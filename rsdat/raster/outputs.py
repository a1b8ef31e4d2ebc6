"""Where a run writes: the names of its files, and what it refuses to write over."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pystac

from rsdat.errors import ConfigError
from rsdat.raster.provenance import Beside, check_free
from rsdat.storage import absolute, is_remote, shown

_FILES = (".tif", ".tiff")
_SUFFIXES = (*_FILES, ".zarr")
# A name with one of these means a file, and not the one that would be written.
_OTHER_FILES = (".png", ".jpg", ".jpeg", ".json", ".nc", ".jp2", ".img", ".vrt", ".gpkg")


def is_store(out: str | os.PathLike[str]) -> bool:
    """Whether a name is a Zarr store's."""
    return os.fspath(out).rstrip("/").lower().endswith(".zarr")


def output(items: Sequence[pystac.Item], out: str | os.PathLike[str]) -> str:
    """The one output of a run; refuses names that mean nothing else and places that are taken.

    Raises
    ------
    ConfigError
        The name is empty, a directory's, or another kind of file's; or a GeoTIFF is to be written
        to a remote address.
    DataError
        It, or the description and the picture to be written beside it, would replace an input or
        something that no earlier run has made.
    """
    text = os.fspath(out)
    if not text.strip():
        raise ConfigError("no output is named", hint="name a file: -o composite.tif")
    target = absolute(text).rstrip("/")
    if not is_store(text):
        _check_file(text, target)
    check_free(items, target, Beside(item=True, preview=True))
    return target


def _check_file(text: str, target: str) -> None:
    name = os.path.splitext(os.path.basename(target))[0]
    if os.path.isdir(target) or text.endswith("/"):
        raise ConfigError(
            f"output {target} is a directory", hint=f"name a file in it: {target}/composite.tif"
        )
    if not text.lower().endswith(_FILES):
        raise ConfigError(
            f"output {shown(text)} does not end in .tif, and a GeoTIFF is what is written "
            "(or a Zarr store, .zarr)",
            hint=f"call it {name}.tif; a preview (.png) is put beside it",
        )
    if is_remote(target):
        raise ConfigError(
            f"output {shown(target)}: a GeoTIFF is written to a file system only",
            hint=f"write {name}.zarr there, or a local file",
        )


def outputs(
    items: Sequence[pystac.Item], out: str | os.PathLike[str], name: str = "ndvi"
) -> list[str]:
    """One output for each item: ``out`` itself, files in the directory ``out``, or a pattern.

    ``{id}`` and ``{date}`` in the name are replaced. Without them, several items need a directory:
    one that exists, or a name that does not end in ``.tif``; files are then ``{id}_ndvi.tif``.
    Raises what :func:`output` raises.
    """
    dates = [f"{item.datetime:%Y-%m-%d}" if item.datetime else "{date}" for item in items]
    named = [
        _named(out, date, item.id, f"{item.id}_{name}.tif")
        for item, date in zip(items, dates, strict=True)
    ]
    return _apart(items, named, f"{len(items)} items", "{id} or {date}")


def outputs_by_date(
    items: Sequence[pystac.Item], out: str | os.PathLike[str], dates: Sequence[np.datetime64]
) -> list[str]:
    """One output for each date of a composite, named like those of :func:`outputs`."""
    days = [str(date.astype("datetime64[D]")) for date in dates]
    named = [_named(out, day, "{id}", f"composite_{day}.tif") for day in days]
    return _apart(items, named, f"{len(days)} dates", "{date}, or a Zarr store (.zarr)")


def _apart(items: Sequence[pystac.Item], named: list[str], what: str, with_: str) -> list[str]:
    if len(set(named)) < len(named):
        raise ConfigError(
            f"{what} would be written to {len(set(named))} file(s), as {named[0]}",
            hint=f"give a directory, or a name with {with_}",
        )
    return [output(items, name) for name in named]


def _named(out: str | os.PathLike[str], date: str, item: str, file: str) -> str:
    text = os.fspath(out)
    if "{" in text:
        return text.replace("{id}", item).replace("{date}", date)
    return os.path.join(text, file) if _names_directory(text) else text


def _names_directory(text: str) -> bool:
    if is_store(text):
        return False
    if os.path.isdir(os.path.expanduser(text)) or text.endswith("/"):
        return True
    return bool(text.strip()) and not text.lower().endswith((*_SUFFIXES, *_OTHER_FILES))
