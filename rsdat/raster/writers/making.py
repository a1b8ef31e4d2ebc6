"""What happens to a tile where it is computed: its blocks, its overviews', and its part file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError
from rsdat.raster.image import Computed, Span
from rsdat.raster.tiles import place
from rsdat.raster.writers.encode import Codec, blocks
from rsdat.raster.writers.overviews import halve
from rsdat.raster.writers.parts import Part, pack, raw_pixels, store
from rsdat.raster.writers.pyramid import Pass
from rsdat.raster.writers.workroom import cannot_write, reachable


@dataclass(frozen=True)
class Making:
    """How the parts of an image are made; picklable, sent to each worker once."""

    bands: int
    codec: Codec
    method: str
    nodata: float | None
    target: str
    """The output, for messages."""
    directory: str
    mark: str
    work: str
    """A digest of the work: a late task of other work, on a worker, cannot write into this one."""

    def name(self, step: Pass, span: Span) -> str:
        """The name of a tile's part file."""
        return f"{self.work}-{step.first}+{step.encoded}-{span[0].start}-{span[1].start}.part"


@dataclass(frozen=True)
class MakePart:
    """Turns the pixels of a tile into its part file."""

    making: Making
    step: Pass

    def __call__(self, span: Span, values: NDArray[Any]) -> Part:
        """Encode, reduce and store; where the directory is out of reach, hand the bytes on.

        Raises
        ------
        DataError
            The pixels are not what was announced, or the disk is full.
        """
        making, step = self.making, self.step
        values = self._checked(span, values)
        made: list[bytes] = []
        for level in range(step.encoded):
            if level:
                values = halve(values, making.nodata, making.method)
            for band in values:
                made += blocks(band, making.codec)
        raw = b""
        if step.rest is not None:
            if step.encoded:
                values = halve(values, making.nodata, making.method)
            raw = values.tobytes()
        part = pack(making.name(step, span), made, raw)
        if not reachable(making.directory, making.mark):
            return part
        try:
            return store(part, making.directory)
        except OSError as error:
            cause = error.strerror or str(error)
        # Raised outside the handler: the context of an exception does not travel from a worker.
        raise cannot_write(Path(making.target), cause)

    def _checked(self, span: Span, values: NDArray[Any]) -> NDArray[Any]:
        dtype = np.dtype(self.making.codec.dtype)
        expected = (self.making.bands, *(part.stop - part.start for part in span))
        if values.shape == expected[1:] and self.making.bands == 1:
            values = values[None]
        if values.shape != expected or values.dtype != dtype:
            raise DataError(
                f"{place(span)}: computed were {values.dtype} of shape {values.shape}, "
                f"announced were {dtype} of {expected}",
                hint="correct the function of the tiles, or the bands and dtype of the image",
            )
        return values


@dataclass(frozen=True)
class Rest:
    """The pixels that a pass handed on, from its part files: a function of a span."""

    making: Making
    step: Pass
    parts: Mapping[tuple[int, int], Part]

    def __call__(self, span: Span) -> Computed:
        """Pixels of the level that was handed on."""
        assert self.step.rest is not None
        edges = self.step.at(self.step.rest)
        shape = [part.stop - part.start for part in span]
        values = np.empty((self.making.bands, *shape), self.making.codec.dtype)
        for row in _meeting(edges[0], span[0]):
            for column in _meeting(edges[1], span[1]):
                own = (slice(*edges[0][row : row + 2]), slice(*edges[1][column : column + 2]))
                part = self.parts[self.step.rows[row], self.step.columns[column]]
                piece = raw_pixels(
                    part,
                    self.making.directory,
                    self.making.codec.dtype,
                    (self.making.bands, *(side.stop - side.start for side in own)),
                )
                into, out_of = zip(*map(_shared, span, own), strict=True)
                values[:, *into] = piece[:, *out_of]
        return Computed(values)


def _meeting(edges: tuple[int, ...], wanted: slice) -> range:
    """Which of the intervals between edges meet the wanted one."""
    first = int(np.searchsorted(edges, wanted.start, side="right")) - 1
    return range(first, int(np.searchsorted(edges, wanted.stop, side="left")))


def _shared(wanted: slice, own: slice) -> tuple[slice, slice]:
    """What two intervals share, seen from each."""
    start, stop = max(wanted.start, own.start), min(wanted.stop, own.stop)
    return (
        slice(start - wanted.start, stop - wanted.start),
        slice(start - own.start, stop - own.start),
    )
