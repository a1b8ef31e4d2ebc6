"""``dcache://``: dCache doors, and any other WebDAV door, as an fsspec filesystem.

``fsspec`` finds the filesystem through the package's entry points; importing this package loads
nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsdat.storage.dcache.filesystem import (
        DavFileSystem,
        DavsFileSystem,
        DCacheFileSystem,
    )

__all__ = ["DCacheFileSystem", "DavFileSystem", "DavsFileSystem"]


def __getattr__(name: str) -> Any:
    # fsspec and aiohttp together take a third of a second to import.
    if name in __all__:
        from rsdat.storage.dcache import filesystem

        return getattr(filesystem, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
