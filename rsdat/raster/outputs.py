"""Where a run writes: the names of its files, and what it refuses to write over."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pystac

from rsdat.errors import ConfigError, DataError
from rsdat.storage import absolute

_SUFFIXES = (".tif", ".tiff")
# A name with one of these means a file, and not the one that would be written.
_OTHER_FILES = (".png", ".jpg", ".jpeg", ".json", ".nc", ".zarr", ".jp2", ".img", ".vrt", ".gpkg")


def output(items: Sequence[pystac.Item], out: str | os.PathLike[str]) -> Path:
    """The one file of a run; refuses names that are no GeoTIFF's and places that are taken.

    Raises
    ------
    ConfigError
        The name is empty, a directory's, or another kind of file's.
    DataError
        It, or the description to be written beside it, would replace an input or something that
        no earlier run has made.
    """
    text = os.fspath(out)
    target = Path(os.path.abspath(os.path.expanduser(text)))
    if not text.strip():
        raise ConfigError("no output is named", hint="name a file: -o composite.tif")
    if target.is_dir() or text.endswith("/"):
        raise ConfigError(
            f"output {target} is a directory", hint=f"name a file in it: {target / 'composite.tif'}"
        )
    if not text.lower().endswith(_SUFFIXES):
        raise ConfigError(
            f"output {text} does not end in .tif, and a GeoTIFF is what is written",
            hint=f"call it {target.with_suffix('.tif').name}; a preview (.png) is put beside it",
        )
    return _free(items, target)


def outputs(items: Sequence[pystac.Item], out: str | os.PathLike[str]) -> list[Path]:
    """One file for each item: ``out`` itself, files in the directory ``out``, or a pattern.

    ``{id}`` and ``{date}`` in the name are replaced. Without them, several items need a directory:
    one that exists, or a name that does not end in ``.tif``; files are then ``{id}_ndvi.tif``.
    Raises what :func:`output` raises.
    """
    text = os.fspath(out)
    if "{" in text:
        named = [_filled(text, item) for item in items]
    elif _names_directory(text):
        named = [os.path.join(text, f"{item.id}_ndvi.tif") for item in items]
    else:
        named = [text] * len(items)
    if len(set(named)) < len(named):
        raise ConfigError(
            f"{len(items)} items would be written to {len(set(named))} file(s), as {named[0]}",
            hint="give a directory, or a name with {id} or {date}",
        )
    return [output(items, name) for name in named]


def _filled(pattern: str, item: pystac.Item) -> str:
    date = f"{item.datetime:%Y-%m-%d}" if item.datetime else "{date}"
    return pattern.replace("{id}", item.id).replace("{date}", date)


def _names_directory(text: str) -> bool:
    if os.path.isdir(os.path.expanduser(text)) or text.endswith("/"):
        return True
    return bool(text.strip()) and not text.lower().endswith((*_SUFFIXES, *_OTHER_FILES))


def _free(items: Sequence[pystac.Item], target: Path) -> Path:
    used = {
        absolute(href)
        for item in items
        for href in (asset.get_absolute_href() for asset in item.assets.values())
        if href
    }
    if str(target) in used:
        raise DataError(f"output {target} is one of the inputs", hint="choose another name")
    description = target.with_suffix(".json")
    if description.exists() and not _describes_a_result(description):
        raise DataError(
            f"{description} is there, and is no description of an earlier result",
            hint="choose another name for the output: its description is put there",
        )
    return target


def _describes_a_result(path: Path) -> bool:
    try:
        return "rsdat:chain" in json.loads(path.read_text())["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
