"""GDAL's settings for reading files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.session import DummySession

from rsdat.storage import gdal, is_remote
from rsdat.storage.gdal_cache import remembering

_EVERYWHERE = {
    # The blocks we want are read once, in order: a large cache only keeps what is not asked again.
    "GDAL_CACHEMAX": 64,
    "GDAL_NUM_THREADS": 1,
}
# Not for local files: EMPTY_DIR would hide the .aux.xml beside them.
_REMOTE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    # Without these a server that falls silent holds a worker for ever.
    "GDAL_HTTP_CONNECTTIMEOUT": 15,
    "GDAL_HTTP_LOW_SPEED_TIME": 60,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "VSI_CACHE": True,
}


@contextmanager
def settings(href: str | None = None, *, remembered: bool = False) -> Iterator[None]:
    """GDAL's settings for reading a file; what the user has set in the environment stands.

    Only what belongs to the credential of a remote file does not give way.

    Parameters
    ----------
    remembered
        Whether GDAL may keep what it knows of a remote file, for other handles of the process:
        whoever says so has it forget (:mod:`rsdat.storage.gdal_cache`).
    """
    remote = href is not None and is_remote(href)
    wanted = {**_EVERYWHERE, **(_REMOTE if remote else {})}
    wanted = {key: value for key, value in wanted.items() if key not in os.environ}
    if href is not None:
        wanted |= gdal.options(href)
    if remembered:
        wanted = remembering(wanted)
    # Not rasterio's own session: it would copy AWS keys of the environment into the settings.
    with rasterio.Env(DummySession(), **wanted):
        yield
