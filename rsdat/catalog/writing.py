"""Writes the files of catalogs, local or remote: there complete, or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rsdat.errors import DataError, RsdatError
from rsdat.storage import is_remote, scrubbed, shown, storage_options, write_atomically

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
    import fsspec

    try:
        filesystem, path = fsspec.url_to_fs(href, **storage_options(href))
        if href.partition("://")[0] in _WHOLE:
            write(filesystem, path)
        else:
            filesystem.makedirs(filesystem._parent(path), exist_ok=True)
            temporary = f"{path}.{secrets.token_hex(4)}.part"
            write(filesystem, temporary)
            filesystem.mv(temporary, path)
    except RsdatError:
        raise
    except Exception as error:  # whatever its backend raises
        raise DataError(
            f"{shown(href)} cannot be written: {scrubbed(str(error), href)}",
            hint="check the address, the room there and your credentials for it",
        ) from error
