"""What lies beside a finished result: its STAC item, and a picture of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pystac

from rsdat.catalog.describe import ZARR, Band, Contents, description
from rsdat.errors import DataError
from rsdat.raster.image import Image, Skipped
from rsdat.storage import absolute, is_remote, shown, write_atomically
from rsdat.storage.transfer_places import place_of

if TYPE_CHECKING:
    from rsdat.raster import cog
    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.writers import zarr

W = TypeVar("W", "cog.Written", "zarr.Written")

#: Where a STAC item says what was left out.
SKIPPED = "rsdat:skipped"


def beside(path: str | os.PathLike[str], suffix: str) -> str:
    """The place of what belongs to a result: ``out.tif`` and ``out.zarr`` have ``out.json``."""
    folder, slash, name = absolute(path).rstrip("/").rpartition("/")
    return f"{folder}{slash}{os.path.splitext(name)[0]}{suffix}"


def check_free(inputs: Sequence[pystac.Item], path: str | os.PathLike[str]) -> None:
    """Refuse a place where a result, or its item, would replace something else.

    Raises
    ------
    DataError
        It is one of the inputs; or beside it lies a description of something else.
    """
    target = absolute(path)
    name = target.rpartition("/")[2]
    hrefs = (
        asset.get_absolute_href()
        for item in inputs
        for asset in item.assets.values()
        if asset.href.endswith(name)  # making hrefs absolute takes long, of many items
    )
    if any(href and absolute(href) == target for href in hrefs):
        raise DataError(f"output {shown(target)} is one of the inputs", hint="choose another name")
    item = beside(target, ".json")
    if not is_remote(item) and os.path.lexists(item) and not _describes_a_result(item):
        raise DataError(
            f"{item} is there, and is no description of an earlier result",
            hint="choose another name for the output: its description is put there",
        )


def finish(chain: Chain, image: Image, written: W, *, describe: bool, preview: bool) -> W:
    """Put the item and the picture of a result beside it; what was written, with all left out.

    What lies there of an earlier result goes first: it is not true of the new one.
    """
    skipped = tuple(dict.fromkeys([*chain.skipped, *written.skipped]))
    place, item = absolute(written.path), beside(written.path, ".json")
    picture: str | None = beside(place, ".png")
    if is_remote(place):
        picture = None
    elif _describes_a_result(item):
        for old in (item, picture):
            with suppress(OSError):
                os.unlink(str(old))
    if picture is not None and preview:
        from rsdat.raster.preview import preview as make_preview

        make_preview(place, picture)
    if describe:
        seen = os.path.basename(picture) if picture and preview else None
        _put(item, _described(chain, image, place, skipped, seen))
    return replace(written, skipped=skipped)


def left_out(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    """What was left out as plain JSON values: one entry for each item and asset.

    ``reason`` is that of the first place where it could not be read, ``places`` how many there are.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in skipped:
        entry = {"item": one.item, "asset": one.asset, "reason": one.reason, "places": 0}
        found.setdefault((one.item, one.asset), entry)["places"] += 1
    return list(found.values())


def _described(
    chain: Chain, image: Image, place: str, skipped: tuple[Skipped, ...], preview: str | None
) -> bytes:
    stack = chain.plan.reader.stack
    inputs = [chain.items[one] for one in stack.meeting(image.geobox)]
    columns = zip(image.bands, image.scales, image.offsets, strict=True)
    bands = tuple(Band(name, image.dtype, image.nodata, *units) for name, *units in columns)
    store = place.endswith(".zarr")
    contents = Contents(image.geobox, bands, ZARR if store else str(pystac.MediaType.COG))
    properties: dict[str, Any] = {}
    if skipped:
        properties[SKIPPED] = left_out(skipped)
    return description(
        place.rstrip("/").rpartition("/")[2],
        contents,
        inputs or chain.items,
        chain.words(),
        preview=preview,
        properties=properties,
    )


def _put(place: str, content: bytes) -> None:
    if not is_remote(place):
        write_atomically(Path(place), content)
        return
    found = place_of(place)
    found.fs.pipe_file(found.path, content)


def _describes_a_result(path: str) -> bool:
    try:
        return "rsdat:chain" in json.loads(Path(path).read_text())["properties"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
