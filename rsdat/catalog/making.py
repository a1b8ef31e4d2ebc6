"""Makes catalogs of raster files: which files make up which item, and what their headers say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from rsdat.arguments import checked
from rsdat.catalog.assembling import VERSION, Part, item_of
from rsdat.catalog.headers import File, files_in, headers
from rsdat.catalog.hrefs import below
from rsdat.catalog.naming import Named, Pattern, read_name
from rsdat.catalog.static import (
    Listing,
    catalog_file,
    home_of,
    is_there,
    link,
    upwards,
    written_items,
)
from rsdat.catalog.writing import write_json
from rsdat.errors import DataError
from rsdat.storage import absolute, shown

OnError = Literal["raise", "skip"]


@dataclass
class Made:
    """What was done to a catalog.

    Parameters
    ----------
    catalog
        Its file.
    items, assets
        Written, in number.
    removed
        Files that were taken out, as messages.
    skipped
        What could not be used, as messages.
    notes
        What to look at, as messages.
    """

    catalog: str
    items: int = 0
    assets: int = 0
    removed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@checked
def make_catalog(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    collection: str | None = None,
    pattern: str | None = None,
    on_error: OnError = "raise",
    progress: Callable[[int], object] | None = None,
) -> Made:
    """Make a STAC catalog of the raster files below a directory.

    Grid, bands, nodata, scale and time are read from the files' headers, many at once; which files
    make up an item, and which band each is, from their names.

    Parameters
    ----------
    source
        The directory, on this machine or anywhere that fsspec lists; or one file.
    out
        The directory of the catalog, or its ``catalog.json``; must not be there yet. Hrefs are
        relative where the files lie on the same server.
    collection
        Id of the collection that holds the items; by default the name of the source's directory.
    pattern
        Form of the names, as ``{id}_{band}.tif`` or ``{id}/{date}_{band}.tif``. By default the
        usual forms are recognised: ``ID_B04.tif``, ``ID/B04.tif``, else each file is an item.
    on_error
        ``"skip"``: leave out files that cannot be used; they are listed in the answer.
    progress
        Told after each item how many there are.

    Raises
    ------
    DataError
        There is nothing to catalog, a file cannot be used, two files would be one asset, the
        catalog is there already or cannot be written.
    """
    catalog = catalog_file(out)
    if is_there(catalog):
        raise DataError(
            f"{shown(catalog)} is there already",
            hint="add to it with `rsdat catalog add`, or choose another place",
        )
    place = absolute(source)
    name = collection or _name_of(place)
    home = home_of(catalog, name)
    made = Made(catalog)
    listing = Listing(home, name)
    for item, href in written_items(
        items_of_files(place, home, name, pattern, on_error, made), home, catalog
    ):
        listing.add(item, href)
        if progress is not None:
            progress(len(listing.links))
    if not listing.links:
        raise DataError(
            f"{shown(place)}: no file can be used: {made.skipped[0]}", hint="see the other messages"
        )
    description = f"Raster files of {shown(place)}"
    content = {
        "type": "Collection",
        "id": name,
        "stac_version": VERSION,
        "description": description,
        "license": "other",
        **listing.totals.fields(),
        "links": [*upwards(home, catalog), *listing.links],
    }
    write_json(home, content)
    links = [link("root", catalog, catalog), link("child", home, catalog, name)]
    top = {"type": "Catalog", "id": name, "stac_version": VERSION, "description": description}
    write_json(catalog, {**top, "links": links})
    return made


def items_of_files(
    place: str, home: str, name: str, pattern: str | None, on_error: OnError, made: Made
) -> Iterator[tuple[dict[str, Any], str]]:
    """Items of the files below a place, each with its href; what was left out goes to ``made``."""
    grouped = _groups(files_in(place), pattern, made)
    if not grouped:
        raise DataError(f"no file of {shown(place)} has the form {pattern}", hint="correct it")
    found = headers(file for _, pairs in grouped for file, _ in pairs)
    for item, pairs in grouped:
        parts = []
        for (file, header), (_, named) in zip([next(found) for _ in pairs], pairs, strict=True):
            if isinstance(header, DataError):
                _skip(header, on_error, made)
            else:
                parts.append(Part(file, named, header))
        if not parts:
            continue
        href = below(home.rpartition("/")[0], item, f"{item}.json")
        try:
            content, doubt = item_of(parts, href, name)
        except DataError as error:
            _skip(error, on_error, made)
            continue
        made.notes += [doubt] if doubt else []
        made.items += 1
        made.assets += len(parts)
        yield content, href


def _groups(
    files: Sequence[File], pattern: str | None, made: Made
) -> list[tuple[str, list[tuple[File, Named]]]]:
    """The files of each item, by what their names say; files of another form are noted."""
    form = Pattern(pattern) if pattern else None
    named = []
    for file in files:
        name = form.read(file.path) if form else read_name(file.path)
        if name is None:
            made.skipped.append(f"{shown(file.href)} is not of the form {pattern}")
        else:
            named.append((file, name))
    named.sort(key=lambda pair: (pair[1].item, pair[0].path))
    return [(item, list(pairs)) for item, pairs in groupby(named, lambda pair: pair[1].item)]


def _skip(error: DataError, on_error: OnError, made: Made) -> None:
    if on_error == "raise":
        raise error
    made.skipped.append(error.message)


def _name_of(place: str) -> str:
    import re

    last = place.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", re.sub(r"\.(tiff?|jp2)$", "", last)).strip("-") or "images"
