"""What lies beside a finished result: its STAC item, and a picture of it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac

from rsdat.catalog.describe import ZARR, Band, Contents, description
from rsdat.errors import DataError
from rsdat.raster.image import Image, Skipped
from rsdat.raster.preview import pictured, preview
from rsdat.raster.skips import left_out
from rsdat.storage import absolute, followed, is_remote, shown, write_atomically
from rsdat.storage.transfer_places import place_of

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain
    from rsdat.raster.writers.written import Written

#: Where a STAC item says what was left out.
SKIPPED = "rsdat:skipped"


@dataclass(frozen=True)
class Beside:
    """What is wanted beside a result."""

    item: bool
    preview: bool


def beside(path: str | os.PathLike[str], suffix: str) -> str:
    """The place of what belongs to a result: ``o.json`` of ``o.tif``; of stores ``o.zarr.json``."""
    place = absolute(path).rstrip("/")
    stem, kind = os.path.splitext(place)
    return f"{stem if kind.lower() in ('.tif', '.tiff') else place}{suffix}"


def check_free(inputs: Sequence[pystac.Item], path: str | os.PathLike[str], wanted: Beside) -> None:
    """Refuse a place where a result, or what is ``wanted`` beside it, would replace something else.

    Raises
    ------
    DataError
        It is one of the inputs; or beside it lies a description or a picture of something else.
    """
    target = absolute(path)
    name = target.rpartition("/")[2]
    if _is_input(inputs, target):
        raise DataError(f"output {shown(target)} is one of the inputs", hint="choose another name")
    if is_remote(target):
        return
    if wanted.item:
        item = beside(target, ".json")
        _check_replaceable(item, _described_result(item), name, "description", "describes")
    if wanted.preview:
        picture = beside(target, ".png")
        _check_replaceable(picture, pictured(picture), name, "picture", "shows")


def _check_replaceable(place: str, of: str | None, name: str, kind: str, verb: str) -> None:
    """Refuse to replace what lies beside a result, unless it is of it, or of one that is gone."""
    if not os.path.lexists(place):
        return
    if of is None:
        raise DataError(
            f"{place} is there, and is no {kind} of an earlier result",
            hint=f"move it away, or choose another name for the output: its {kind} is put there",
        )
    if of != name and os.path.lexists(os.path.join(os.path.dirname(place), of)):
        raise DataError(
            f"{place} {verb} {of}, which lies beside it",
            hint=f"choose another name for the output than {name}: its {kind} is put there",
        )


def _is_input(inputs: Sequence[pystac.Item], target: str) -> bool:
    """Whether a place is an asset of an input, by whatever links each is reached."""
    end = _real(target)
    names = tuple({place.rpartition("/")[2] for place in (target, end)})
    hrefs = (
        asset.get_absolute_href()
        for item in inputs
        for asset in item.assets.values()
        if asset.href.endswith(names)  # making hrefs absolute takes long, of many items
    )
    return any(href and _real(absolute(href)) == end for href in hrefs)


def _real(place: str) -> str:
    return place if is_remote(place) else os.path.realpath(place)


def finish(chain: Chain, image: Image, written: Written, wanted: Beside) -> Written:
    """Put the item and the picture of a result beside it; what was written, with all left out.

    What lies there of an earlier result goes first: it is not true of the new one.

    Raises
    ------
    DataError
        One of them cannot be written; the result itself is complete.
    """
    skipped = tuple(dict.fromkeys([*chain.skipped, *written.skipped]))
    place, item = absolute(written.path), beside(written.path, ".json")
    picture = None if is_remote(place) else beside(place, ".png")
    if picture is not None:
        for name in {place, followed(place)}:
            _remove_earlier(name)
    if not wanted.preview:
        picture = None
    try:
        if picture is not None:
            preview(place, picture)
        if wanted.item:
            _put(item, _described(chain, image, written, skipped, picture))
    except OSError as error:
        what = "its description or its picture" if picture else "its description"
        raise DataError(
            f"{shown(place)} is complete, and {what} cannot be written: {error.strerror or error}",
            hint="make room, or see to it that you may write there, and run again",
        ) from error
    return replace(written, skipped=skipped, item=item if wanted.item else None, preview=picture)


def inputs_of(chain: Chain, unread: Collection[str]) -> list[pystac.Item]:
    """The items that a result was made from: those on its grid of which anything was read."""
    meeting = chain.plan.reader.stack.meeting(chain.geobox)
    return [chain.items[one] for one in meeting if chain.items[one].id not in unread]


def _described(
    chain: Chain, image: Image, written: Written, skipped: tuple[Skipped, ...], preview: str | None
) -> bytes:
    place, inputs = absolute(written.path), inputs_of(chain, written.unread)
    columns = zip(image.bands, image.scales, image.offsets, strict=True)
    bands = tuple(Band(name, image.dtype, image.nodata, *units) for name, *units in columns)
    store = is_remote(place) or os.path.isdir(place)
    contents = Contents(image.geobox, bands, ZARR if store else str(pystac.MediaType.COG))
    properties: dict[str, Any] = {}
    if skipped:
        properties[SKIPPED] = left_out(skipped)
    return description(
        place.rstrip("/").rpartition("/")[2],
        contents,
        inputs or chain.items,
        chain.words(),
        preview=None if preview is None else os.path.basename(preview),
        properties=properties,
    )


def _put(place: str, content: bytes) -> None:
    if not is_remote(place):
        write_atomically(Path(place), content)
        return
    found = place_of(place)
    found.fs.pipe_file(found.path, content)


def _remove_earlier(place: str) -> None:
    """Remove the item and the picture of the result that had this name before."""
    item, picture = beside(place, ".json"), beside(place, ".png")
    for old, of in ((item, _described_result(item)), (picture, pictured(picture))):
        if of == os.path.basename(place):
            with suppress(OSError):
                os.unlink(old)


def _described_result(path: str) -> str | None:
    """The file or store that an item of ours describes; None where it is no such item."""
    try:
        item = json.loads(Path(path).read_text())
        return str(item["assets"]["data"]["href"]) if "rsdat:chain" in item["properties"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
