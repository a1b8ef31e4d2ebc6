"""An image that can be computed tile by tile: all that a writer knows before the first pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

#: Rows and columns of a tile in its image.
Span = tuple[slice, slice]


@dataclass(frozen=True)
class Skipped:
    """A source that could not be read and was left out, where leaving out was asked for."""

    item: str
    asset: str
    reason: str


@dataclass(frozen=True)
class Computed:
    """The pixels of one tile, and what is missing from them."""

    values: NDArray[Any]
    """(band, y, x), or (time, band, y, x) where the image has times; numbers as they are stored."""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class OnDisk:
    """The other way to compute an image of many dates: they are kept on a disk meanwhile."""

    pixels: Callable[[str | None], Callable[[Span], Computed]]
    """Given the output's directory: the function of a span, which gives the same pixels."""
    bytes_per_pixel: int
    """Memory for each pixel of a tile."""
    strip: int
    """Memory of a tile besides, however large it is."""
    bytes_on_disk: int
    """Bytes on the disk for each pixel of a tile."""


@dataclass(frozen=True)
class Image:
    """A grid, bands, the meaning of the stored numbers, and the function that computes a tile.

    A value is ``stored * scale + offset``, band by band; ``nodata`` is a stored number.
    """

    geobox: GeoBox
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    pixels: Callable[[Span], Computed] | Any
    """A picklable function of a span, or a Dask or numpy array of the image's whole shape."""
    token: str
    """The same for the same computation, in every process: what a resumed run compares."""
    times: tuple[np.datetime64, ...] | None = None
    blocks: tuple[int, int] = (512, 512)
    """Rows and columns that a tile should be a multiple of, to read each source block once."""
    waits: bool = False
    """Whether tiles wait for a network: more of them are in work then than there are cores."""
    inputs: Callable[[Span], Sequence[str]] | None = None
    """Ids of the items that a tile is made of, where some may be left out."""
    bytes_per_pixel: int = 16
    """Memory that computing one output pixel takes at its peak, all dates and bands included."""
    on_disk: OnDisk | None = None
    """How it is computed with less memory, where many dates are kept."""

    def kept_on_disk(self, beside: str | None) -> Image:
        """The same image, computed with its dates on a disk, ``beside`` the output at the last."""
        assert self.on_disk is not None
        return replace(self, pixels=self.on_disk.pixels(beside))
