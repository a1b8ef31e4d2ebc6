"""``chain``: items to pixels as one small value; every step returns a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pystac
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsdat.arguments import checked
from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.composites import Composite, Mosaic, refuse_without_dates
from rsdat.raster.chains.geometry import geometry_of, longitudes
from rsdat.raster.chains.halos import check_halo
from rsdat.raster.chains.pixels import Mask
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.planning import make_plan
from rsdat.raster.chains.radar import RadarSteps
from rsdat.raster.chains.results import Results
from rsdat.raster.chains.stack import times_of, usable
from rsdat.raster.chains.steps import Apply, Axis, Clip, Index, Step, reach
from rsdat.raster.encoding import INTEGERS
from rsdat.raster.grids import Bounds, in_degrees
from rsdat.raster.grouping import groups
from rsdat.raster.image import Skipped
from rsdat.raster.indices import Index as Formula
from rsdat.raster.indices import find_index
from rsdat.raster.inputs import Items, check_request, names_of, ordered
from rsdat.raster.kernels import check_method
from rsdat.raster.masks import QUALITY_BANDS, decision, mask_words, quality_band
from rsdat.raster.sources import Source

Array = NDArray[Any]


@checked
def chain(
    items: Items,
    bands: str | Sequence[str],
    *,
    geobox: GeoBox | None = None,
    bbox: Bounds | None = None,
    resolution: float | None = None,
    crs: Any = None,
    resampling: str = "nearest",
    on_error: str = "fail",
) -> Chain:
    """A chain of steps over items: built at once, computed block by block when it is used.

    Parameters
    ----------
    items
        STAC items, as :func:`rsdat.search` gives them, a single item, or all items of a static
        catalog; sorted by time.
    bands
        Asset keys, band names or common names: ``["red", "nir"]``. What a mask needs is not named
        here.
    geobox, bbox, resolution, crs
        The grid, as in :func:`rsdat.load`.
    resampling
        ``nearest``, or another of rasterio's names.
    on_error
        ``fail``: what cannot be read ends the computation. ``skip``: it is left out, and named in
        the result's description.

    Returns
    -------
    Chain
        With all bands of all dates, as :func:`rsdat.load` has them.

    Raises
    ------
    DataError
        There are no items, or an item lacks a band.

    Examples
    --------
    >>> rsdat.chain(items, ["red", "nir"]).mask_clouds().index("ndvi").composite("median")
    """
    names = names_of(bands or ())
    check_request(names, geobox, bbox, resolution, crs, resampling)
    if on_error not in ("fail", "skip"):
        raise ConfigError(f"on_error {on_error!r} is not known", hint="use fail or skip")
    kept, sources, skipped = usable(ordered(items), names, skip=on_error == "skip")
    request = Request(geobox, bbox, resolution, crs, resampling, on_error == "skip")
    dates = times_of(kept)
    return Chain(tuple(kept), dates, names, tuple(sources), request, skipped=tuple(skipped))


@dataclass(frozen=True, eq=False)
class Request:
    """The grid that was asked for, and how sources are read onto it."""

    geobox: GeoBox | None = None
    bbox: Bounds | None = None
    resolution: float | None = None
    crs: Any = None
    resampling: str = "nearest"
    skip: bool = False


@dataclass(frozen=True, eq=False)
class Chain(RadarSteps, Results):
    """Items, bands and steps. Use :func:`chain` to begin one; each method returns a new one."""

    items: tuple[pystac.Item, ...]
    dates: NDArray[np.datetime64]
    """(item,) UTC."""
    source_bands: tuple[str, ...]
    sources: tuple[tuple[Source, ...], ...]
    request: Request
    masks: tuple[Mask, ...] = ()
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Items that were left out because they lack a band."""

    # --- steps

    @checked
    def mask_clouds(
        self,
        band: str | None = None,
        classes: Sequence[int] | None = None,
        *,
        bits: Sequence[int] | None = None,
        function: Callable[[Array], Any] | None = None,
    ) -> Chain:
        """Leave out what a quality band calls cloud, shadow or invalid.

        Parameters
        ----------
        band
            The quality band; without it ``scl`` or ``qa_pixel``, whichever the items have.
        classes, bits
            As in :func:`rsdat.mask_clouds`.
        function
            Instead of these: takes the band's stored numbers (y, x), gives True where a pixel is
            not to be used.
        """
        if self.steps:
            raise ConfigError(
                "a mask comes before the other steps", hint="call mask_clouds() right after chain()"
            )
        name, usables = self._quality(band)
        if function is not None:
            if classes is not None or bits is not None:
                raise ConfigError(
                    "function, classes and bits exclude each other", hint="give one of them"
                )
            mask = Mask(name, _callable(function))
        else:
            mask = Mask(name, *decision(name, classes, bits))
        kept, found, skipped = usables
        # By object: items of two collections may share an id.
        rows = {id(item): row for item, row in zip(self.items, self.sources, strict=True)}
        return replace(
            self,
            items=tuple(kept),
            dates=self.dates if len(kept) == len(self.items) else times_of(kept),
            sources=tuple((*rows[id(item)], *row) for item, row in zip(kept, found, strict=True)),
            masks=(*self.masks, mask),
            skipped=(*self.skipped, *skipped),
        )

    @checked
    def index(
        self,
        formula: str | Formula,
        *,
        name: str | None = None,
        keep: bool | str | Sequence[str] = False,
    ) -> Chain:
        """An index of each date, known by name (``ndvi``, ``evi`` …) or written as a formula.

        ``keep`` keeps the bands beside it, all or those named; ``name`` is the new band's.
        """
        found = find_index(formula)
        kept = keep if isinstance(keep, bool) else names_of(keep)
        return self.then(Index(found, name or found.name, kept))

    @checked
    def apply(
        self,
        function: Callable[..., Any],
        *,
        halo: int = 0,
        bands_out: Sequence[str] | str = (),
        dtype: str = "float32",
        **parameters: Any,
    ) -> Chain:
        """A function of yours on each date (after a composite: on each result).

        Parameters
        ----------
        function
            Takes float32 (band, y, x), NaN where there is no data, and ``parameters``; gives
            (bands_out, y, x), or (y, x) for one band. It runs on the workers. What it gives where
            it has seen no data at all (halo included) is left out.
        halo
            Pixels around the block that it sees as well, and whose results are cut off: a filter
            of 5 × 5 pixels needs 2. One larger than the grid is refused before anything is read;
            of one that has several times a tile's pixels read, :meth:`explain` warns.
        bands_out
            Names of the bands that it gives; without them, those that it is given.
        dtype
            ``float32``, or ``uint8``, ``int8``, ``uint16`` or ``int16`` where it gives classes or
            counts. These are stored as they are, with the highest number (of signed types the
            lowest) where it gives NaN; arrays are of this type, too, as long as no composite but
            ``first`` and ``most_recent`` comes after it.
        """
        if dtype not in ("float32", *INTEGERS):
            raise ConfigError(
                f"dtype {dtype!r} is not possible here", hint=f"use float32, {', '.join(INTEGERS)}"
            )
        if not isinstance(halo, int | np.integer) or halo < 0:
            raise ConfigError(f"halo {halo!r} is no number of pixels", hint="give 0, 1, 2, …")
        bands = names_of(bands_out)
        if len(set(bands)) < len(bands):
            raise ConfigError(
                f"a band is named twice in {', '.join(bands)}", hint="name each once: bands_out=[…]"
            )
        return self.then(Apply(_callable(function), bands, halo, parameters, dtype))

    @checked
    def mosaic(self, by: str = "solar_day") -> Chain:
        """Items of one day as one image: of overlapping ones the first valid pixel."""
        refuse_without_dates(self.axis, "mosaic")
        members, times = self._grouped(by)
        assert times is not None
        return self.then(Mosaic(members, times, by))

    @checked
    def composite(self, method: str = "median", *, by: str | None = None) -> Chain:
        """Many dates to one image, or to one for each period.

        Parameters
        ----------
        method
            ``median``, ``mean``, ``min``, ``max``, ``count`` of valid dates, ``first`` valid,
            ``most_recent``, ``p10`` (any percentile), ``medoid``, or ``max_ndvi``: the bands at the
            date of the largest NDVI, with that NDVI and the date (days since 1970) as bands.
        by
            ``day``, ``solar_day``, ``10d`` (any number), ``month``, ``season``, ``year``.
        """
        check_method(method)
        refuse_without_dates(self.axis, "composite")
        members, times = self._grouped(by)
        return self.then(Composite(method, members, times, by))

    @checked
    def clip(self, geometry: Any) -> Chain:
        """Keep what lies in a geometry: GeoJSON in degrees, or a geometry of odc-geo or shapely."""
        return self.then(Clip(geometry_of(geometry)))

    def then(self, step: Step) -> Chain:
        """One more step: what the methods above hand on to."""
        step.after(self.axis)
        return replace(self, steps=(*self.steps, step))

    # --- what it is

    @cached_property
    def axis(self) -> Axis:
        """Bands and times of the result."""
        axis = Axis(self.source_bands, self.dates)
        for step in self.steps:
            axis = step.after(axis)
        return axis

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the result."""
        return self.axis.bands

    @property
    def times(self) -> NDArray[np.datetime64] | None:
        """Times of the result (UTC); None when it is one image."""
        return self.axis.times

    @cached_property
    def plan(self) -> Plan:
        """The chain made ready for workers; opens the first item's files to know their grids.

        Raises
        ------
        DataError
            They cannot be read; or the bbox, or what is clipped to, does not meet the items.
        ConfigError
            A halo is larger than the grid.
        """
        plan = make_plan(self)
        check_halo(reach(self.steps), plan.geobox)
        for step in self.steps:
            # A grid that was given may lie beside it, as one of many that are looked at.
            given = self.request.geobox is not None
            if isinstance(step, Clip) and not given and not step.meets(plan.geobox):
                raise DataError(
                    "what is clipped to does not meet the grid, which covers "
                    f"{in_degrees(plan.geobox.boundingbox)}",
                    hint="geometries are in degrees (longitude, latitude), or name their CRS",
                )
        return plan

    @property
    def geobox(self) -> GeoBox:
        """The grid of the result."""
        return self.plan.geobox

    def words(self) -> dict[str, Any]:
        """The chain as plain JSON values."""
        asked = self.request
        grid = {
            "bbox": asked.bbox,
            "resolution": asked.resolution,
            "crs": None if asked.crs is None else str(asked.crs),
            "resampling": asked.resampling,
        }
        return {
            "bands": list(self.source_bands),
            "masks": [mask_words(one.band, one.decide, one.options) for one in self.masks],
            "steps": [step.words() for step in self.steps],
            **{name: value for name, value in grid.items() if value is not None},
        }

    def __repr__(self) -> str:
        steps = [f"mask_clouds({mask.band!r})" for mask in self.masks]
        steps += [
            f"{name}({value!r})" for step in self.steps for name, value in [_first(step.words())]
        ]
        return ".".join([f"chain({len(self.items)} items, {list(self.source_bands)})", *steps])

    # --- inside

    def _quality(self, band: str | None) -> tuple[str, Any]:
        """The quality band, and what each item has of it."""
        if band is None:
            for name in QUALITY_BANDS:
                with suppress(DataError):
                    return name, usable(self.items, (name,), skip=False)
            band = quality_band(self.items[:1] if self.request.skip else self.items)
        return band, usable(self.items, (band,), skip=self.request.skip)

    def _grouped(self, by: str | None) -> Any:
        times = self.axis.times
        assert times is not None
        places = None
        if by == "solar_day":
            if len(times) != len(self.items):
                raise ConfigError(
                    "solar days are of items, and these dates are of groups already",
                    hint="use by='day'",
                )
            places = longitudes(self.items)
        found = groups(times, by, places)
        members = tuple(one.indices for one in found)
        return members, None if by is None else np.array([one.label for one in found])


def _callable(function: Any) -> Callable[..., Any]:
    if not callable(function):
        raise ConfigError(
            f"{function!r} is no function", hint="give a function of a numpy array, without ()"
        )
    return cast("Callable[..., Any]", function)


def _first(words: Mapping[str, Any]) -> tuple[str, Any]:
    return next(iter(words.items()))
