"""Writes the files of catalogs, local or remote: there complete, or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rsdat.catalog.servers import Bridge
from rsdat.errors import DataError, RsdatError
from rsdat.storage import is_remote, scrubbed, shown, write_atomically
from rsdat.storage.transfer_disks import make_directories
from rsdat.storage.transfer_places import place_of

#: Where a file is there when it is complete, with the directories above it: doors take a failed
#: upload back, buckets show whole objects.
_WHOLE = ("dcache", "davs", "dav", "s3", "s3a", "memory")


def write_json(href: str, content: Mapping[str, Any]) -> None:
    """Write a STAC file.

    Raises
    ------
    DataError
        It cannot be written.
    """
    data = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode()
    if is_remote(href):
        _remote(href, lambda filesystem, path: filesystem.pipe_file(path, data))
    else:
        write_atomically(href, data)


def put_file(file: Path, href: str) -> None:
    """Bring a local file to a place, under its name only when it is complete there.

    Raises
    ------
    DataError
        It cannot be written.
    """
    if is_remote(href):
        _remote(href, lambda filesystem, path: filesystem.put_file(str(file), path))
        return
    target = Path(href)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            copy = Path(place, target.name)
            shutil.copyfile(file, copy)
            copy.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}", hint="choose another directory"
        ) from error


def _remote(href: str, write: Callable[[Any, str], Any]) -> None:
    def once() -> None:
        place = place_of(href)
        if href.partition("://")[0] in _WHOLE:
            write(place.fs, place.path)
            return
        make_directories(place.fs, place.path.rpartition("/")[0])
        temporary = f"{place.path}.{secrets.token_hex(4)}.part"
        try:
            write(place.fs, temporary)
            place.fs.mv(temporary, place.path)
        except BaseException:
            with suppress(Exception):
                place.fs.rm_file(temporary)
            raise

    try:
        Bridge().over(href, once)
    except RsdatError:
        raise
    except Exception as error:  # whatever its backend raises
        raise DataError(
            f"{shown(href)} cannot be written: {scrubbed(str(error), href)}",
            hint="check the address, the room there and your credentials for it",
        ) from error
