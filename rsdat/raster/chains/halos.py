"""How far functions look beyond a block: what is refused, and what it costs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from odc.geo.geobox import GeoBox

from rsdat.errors import ConfigError, DataError

#: A halo of so many pixels costs little, however small the grid is.
_LITTLE = 1024
#: Pixels read for one of a tile, from which on it is said.
_MANY = 4


def check_halo(halo: int, geobox: GeoBox) -> None:
    """Refuse a halo that reaches beyond a grid from each of its pixels.

    Raises
    ------
    ConfigError
        It is in another unit, most likely.
    """
    rows, columns = geobox.shape
    if halo > max(_LITTLE, rows, columns):
        raise ConfigError(
            f"a halo of {halo} pixels is larger than the grid of {rows} × {columns} pixels",
            hint="give the radius of the function in pixels, not in metres: 2 for one of 5 × 5",
        )


def tell_costly_halo(halo: int, tile: tuple[int, int]) -> None:
    """Warn where a halo has each tile read many times its pixels."""
    rows, columns = tile
    times = (rows + 2 * halo) * (columns + 2 * halo) / (rows * columns)
    if times >= _MANY:
        warnings.warn(
            f"with a halo of {halo} pixels, {times:.0f} times the pixels of each tile of "
            f"{rows} × {columns} are read and held: take a smaller one, or larger tiles",
            stacklevel=4,  # of Chain.explain()
        )


@contextmanager
def memory_for(halo: int, geobox: GeoBox) -> Iterator[None]:
    """Say that it is the halo, where it is, that makes a block too large for the memory.

    Raises
    ------
    DataError
    """
    try:
        yield
    except MemoryError:
        rows, columns = geobox.shape
        wide = rows + 2 * halo, columns + 2 * halo
        if wide[0] * wide[1] < 2 * rows * columns:
            raise
        raise DataError(
            f"the halo of {halo} pixels makes {wide[0]} × {wide[1]} of a block of "
            f"{rows} × {columns} pixels, and that does not fit into memory",
            hint="apply() with the radius that the function needs, in pixels: 2 for one of 5 × 5",
        ) from None
