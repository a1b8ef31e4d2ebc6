"""Reading the layers of a block: the mask first, then the bands, ahead of time where it is far."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.layers import Layer
from rsdat.raster.chains.stack import Stack
from rsdat.raster.chains.steps import where
from rsdat.raster.image import Skipped
from rsdat.raster.reading import Stored, read_mask, read_stored
from rsdat.raster.sources import Source
from rsdat.raster.waiting import pool
from rsdat.storage import is_remote

Array = NDArray[Any]

#: Items read ahead of their use where a request takes longer than the decoding. Each holds one
#: item's block.
AHEAD = 8


@dataclass(frozen=True, eq=False)
class Mask:
    """Which stored numbers of a quality band mean "do not use"."""

    band: str
    decide: Callable[..., Any]
    options: Any = None

    def invalid(self, values: Array, place: str) -> Array:
        """True where a stored number of the quality band means "do not use".

        Raises
        ------
        DataError
            The numbers are not what they are taken for.
        ConfigError
            A user's function is wrong: no item is left out for that.
        """
        given = (values,) if self.options is None else (values, self.options)
        try:
            invalid = np.asarray(self.decide(*given), dtype=bool)
            if invalid.shape == values.shape:
                return invalid
            said = f"gave an array of shape {invalid.shape} for {values.shape}"
        except DataError as error:
            raise DataError(f"{place}: {error.message}", hint=error.hint) from None
        except Exception as error:
            said = f"raised {type(error).__name__}: {error}"
        # Raised outside the handler: an exception of the user's may not be one that can be pickled.
        name = getattr(self.decide, "__name__", type(self.decide).__name__)
        raise ConfigError(
            f"the mask's function {name} {said}, {place}",
            hint="it takes the quality band (y, x) and gives True where a pixel is unusable",
        )


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads blocks of a stack's items."""

    stack: Stack
    masks: tuple[Mask, ...]
    resampling: str
    skip: bool
    dtype: str
    """The type that the bands' files have, most often."""

    def layers(
        self, geobox: GeoBox, positions: Sequence[int], report: Callable[[Skipped], None]
    ) -> Iterator[Layer]:
        """The layers of a block, in the order of ``positions``; nothing of an item all masked."""
        near = set(self.stack.meeting(geobox))
        wanted = [position for position in positions if position in near]
        # A closed generator, when a composite is complete, reads no further.
        far = any(is_remote(self.stack.sources[one][0].href) for one in wanted[:1])
        run = self._ahead if far else self._in_turn
        for position, stored in run(geobox, wanted, report):
            yield self._layer(position, *stored)

    def _in_turn(self, geobox: GeoBox, wanted: list[int], report: Any) -> Iterator[Any]:
        for position in wanted:
            try:
                invalid = self._invalid(position, geobox)
                if invalid is None or not invalid.all():
                    room = self._room(position, geobox)
                    stored = [
                        self._band(one, geobox, plane)
                        for one, plane in zip(self._sources(position), room, strict=True)
                    ]
                    yield position, (room, stored, invalid)
            except DataError as error:
                report(self._skipped(position, error))

    def _ahead(self, geobox: GeoBox, wanted: list[int], report: Any) -> Iterator[Any]:
        """The same, several items at once: masks first, then the bands of what is not masked."""
        threads = pool()
        waiting = iter(wanted)
        masks: deque[tuple[int, Future[Any]]] = deque()
        bands: deque[tuple[int, Array, Any, list[Future[Any]]]] = deque()
        try:
            while True:
                while len(masks) < AHEAD and (position := next(waiting, None)) is not None:
                    masks.append((position, threads.submit(self._invalid, position, geobox)))
                while masks and (len(bands) < AHEAD and (masks[0][1].done() or not bands)):
                    position, future = masks.popleft()
                    try:
                        invalid = future.result()
                    except DataError as error:
                        report(self._skipped(position, error))
                        continue
                    if invalid is None or not invalid.all():
                        room = self._room(position, geobox)
                        asked = [
                            threads.submit(self._band, one, geobox, plane)
                            for one, plane in zip(self._sources(position), room, strict=True)
                        ]
                        bands.append((position, room, invalid, asked))
                if bands:
                    position, room, invalid, asked = bands.popleft()
                    try:
                        stored = [future.result() for future in asked]
                    except DataError as error:
                        for future in asked:
                            future.cancel()
                        report(self._skipped(position, error))
                        continue
                    yield position, (room, stored, invalid)
                elif not masks:
                    return
        finally:
            for future in [f for _, f in masks] + [f for *_, fs in bands for f in fs]:
                future.cancel()

    def _sources(self, position: int) -> Sequence[Source]:
        row = self.stack.sources[position]
        return row[: len(row) - len(self.masks)]

    def _invalid(self, position: int, geobox: GeoBox) -> Array | None:
        row = self.stack.sources[position]
        result: Array | None = None
        for mask, one in zip(self.masks, row[len(row) - len(self.masks) :], strict=True):
            place = f"item {one.item}: asset {one.asset}, at {where(geobox)}"
            invalid = read_mask(one, geobox, partial(mask.invalid, place=place))
            result = invalid if result is None else result | invalid
        return result

    def _band(self, source: Source, geobox: GeoBox, plane: Array) -> Stored:
        return read_stored(source, geobox, resampling=self.resampling, out=plane)

    def _room(self, position: int, geobox: GeoBox) -> Array:
        """Where the bands of an item are read into, so that nothing is copied."""
        return np.empty((len(self._sources(position)), *geobox.shape), self.dtype)

    def _layer(
        self, position: int, room: Array, stored: list[Stored], invalid: Array | None
    ) -> Layer:
        types = {one.values.dtype for one in stored}
        values = room
        if types != {room.dtype}:
            values = np.empty(room.shape, types.pop() if len(types) == 1 else "float32")
        for plane, one in zip(values, stored, strict=True):
            if one.values.base is not values:
                plane[...] = one.values
        missing = _united(values.shape, invalid, [one.missing for one in stored])
        numbers = tuple((one.scale, one.offset) for one in stored)
        bands = self.stack.bands[: len(stored)]
        return Layer(position, bands, values, missing, numbers)

    def _skipped(self, position: int, error: DataError) -> Skipped:
        if not self.skip:
            raise error
        row = self.stack.sources[position]
        asset = error.asset or ",".join(one.asset for one in row)
        return Skipped(row[0].item, asset, error.message)


def _united(shape: Any, invalid: Array | None, known: list[Array | None]) -> Array | None:
    """What is masked or unknown, (band, y, x); one plane for all bands where they do not differ."""
    hidden = [one for one in known if one is not None]
    if not hidden:
        return None if invalid is None else np.broadcast_to(invalid, shape)
    if len(known) == 1 and invalid is None:
        return hidden[0][None]
    result = np.empty(shape, bool)
    for plane, one in zip(result, known, strict=True):
        if one is None:
            plane[...] = False if invalid is None else invalid
        elif invalid is None:
            plane[...] = one
        else:
            np.logical_or(one, invalid, out=plane)
    return result
