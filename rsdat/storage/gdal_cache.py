"""What GDAL keeps of remote files for a whole process: told to forget it when it may be old.

GDAL remembers a file's size, its first bytes, and that there is none, until the process ends: a
refusal would outlive the token that had expired, and a file that was replaced would be read with
its old header. Told never to remember (``CPL_VSIL_CURL_NON_CACHED``), it asks for all of it again,
in three requests, for each thread's handle. So it remembers, and forgets by
``VSICurlPartialClearCache`` (https://gdal.org/api/cpl.html), which rasterio does not pass on.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from rsdat.storage.gdal import NEVER_REMEMBER

#: Files of which it is known since when GDAL remembers them, before the old ones are left out.
_MANY = 10_000


@cache
def _clear() -> Callable[[bytes], None] | None:
    """GDAL's function, from the library that rasterio is linked with; None: it is not found."""
    import rasterio._env

    try:
        # The symbols of a module's own libraries are found through it.
        function = ctypes.CDLL(rasterio._env.__file__).VSICurlPartialClearCache
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = [ctypes.c_char_p], None
    return function


def remembering(options: Mapping[str, Any]) -> dict[str, Any]:
    """GDAL's options without the one never to remember, where it can be told to forget."""
    forgets = _clear() is not None
    return {key: one for key, one in options.items() if not (forgets and key == NEVER_REMEMBER)}


def forget(path: str) -> None:
    """Have GDAL forget a remote file, of which :func:`~rsdat.storage.gdal.gdal_path` is the name.

    To be called with the file's settings: of S3, they tell the address.
    """
    if (clear := _clear()) is not None:
        clear((path if path.startswith("/vsi") else f"/vsicurl/{path}").encode())


class Remembered:
    """Since when GDAL remembers which remote file; what is older than it may be is forgotten."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def since(self, path: str, now: float, oldest: float) -> float:
        """When GDAL began to remember a file: now, where that was before ``oldest`` or never.

        To be called with the file's settings, before it is opened.
        """
        with self._lock:
            if (began := self._since.get(path, oldest)) > oldest:
                return began
            if len(self._since) > _MANY:
                self._since = {one: since for one, since in self._since.items() if since > oldest}
            forget(path)
            self._since[path] = now
            return now

    def drop(self, path: str) -> None:
        """A file has failed: the next time, all of it is asked for."""
        with self._lock:
            self._since.pop(path, None)

    def clear(self) -> None:
        """The next time, all of every file is asked for."""
        with self._lock:
            self._since.clear()
