"""pystac's reader over this project's storage: for our own calls only, pystac's default stays."""

from __future__ import annotations

import os
from typing import Any

from pystac.stac_io import DefaultStacIO

from rsdat.storage import read_text


class StorageIO(DefaultStacIO):
    """Reads what :mod:`rsdat.storage` reads: local paths, https, and every fsspec filesystem."""

    def read_text_from_href(self, href: str) -> str:
        """Read a STAC file. Raises :class:`~rsdat.errors.DataError`."""
        return read_text(href)

    def read_text(self, source: str | os.PathLike[str], *args: Any, **kwargs: Any) -> str:
        """Read a STAC file. Raises :class:`~rsdat.errors.DataError`."""
        return read_text(os.fspath(source))
