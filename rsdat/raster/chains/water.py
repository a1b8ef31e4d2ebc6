"""Open water of radar scenes in a chain: limits of whole scenes first, then the rule on tiles."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from rsdat.errors import ConfigError
from rsdat.raster.chains.composites import Composite, Mosaic, refuse_without_dates
from rsdat.raster.chains.layers import Layer
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.steps import Axis, Step, Upstream, needs
from rsdat.raster.encoding import check_number
from rsdat.raster.image import Skipped
from rsdat.raster.rules import open_water
from rsdat.raster.sar import NODATA, frequency_classes, scene_limit, scene_threshold
from rsdat.raster.tiles import cores
from rsdat.storage import is_remote

Array = NDArray[Any]

#: Names of the bands that the steps make.
WATER = "water"
FREQUENCY_BANDS = ("water_frequency", "water_class")

#: More classes than this part a histogram of one peak.
_MOST_CLASSES = 6
#: Pixels of a scene that are looked at; more do not move its histogram.
_MOST = 1_000_000
#: Scenes looked at together where they are far: their requests wait, and do not compute. Files
#: without overviews take some 60 MB each meanwhile.
_TOGETHER = 8


@dataclass(frozen=True, eq=False)
class WaterMask:
    """1 where a scene's backscatter is at or below its limit, 0 above, NaN without data."""

    band: str
    limits: tuple[float, ...]
    """dB, one for each date; NaN: no water."""
    linear: bool

    def after(self, axis: Axis) -> Axis:
        """The mask as the only band."""
        needs(axis, (self.band,), "water_mask")
        refuse_without_dates(axis, "water_mask")
        return Axis((WATER,), axis.times)

    def run(
        self, upstream: Upstream, geobox: GeoBox, axis: Axis, positions: Sequence[int]
    ) -> Iterator[Layer]:
        """Layers with the mask, each by the limit of its date."""
        place = axis.bands.index(self.band)
        for layer in upstream(geobox, positions):
            yield layer.then((WATER,), _Rule(place, self.limits[layer.index], self.linear))

    def words(self) -> dict[str, Any]:
        """The band, and the limits (None: the date has no water)."""
        limits = [None if math.isnan(limit) else round(limit, 4) for limit in self.limits]
        return {"water_mask": self.band, "linear": self.linear, "thresholds": limits}


@dataclass(frozen=True)
class _Rule:
    place: int
    limit: float
    linear: bool

    def __call__(self, values: Array) -> Array:
        one = values[self.place : self.place + 1]
        return open_water(one, threshold=self.limit, linear=self.linear)[None]


def frequency_bands(mean: Array, *, candidate: float, persistent: float) -> NDArray[np.float32]:
    """The mean of water masks (1, y, x) as frequency and class (2, y, x), NaN where none is valid.

    Classes are those of :func:`rsdat.raster.sar.frequency_classes`.
    """
    classes = frequency_classes(mean[0], candidate=candidate, persistent=persistent)
    found = np.stack([mean[0], classes.astype("float32")])
    found[1][classes == NODATA] = np.nan
    return found


def the_band(bands: Sequence[str], band: str | None) -> str:
    """The band that is meant: the one named, the only one, or VV."""
    if band is not None:
        return band
    if len(bands) == 1:
        return bands[0]
    for one in bands:
        if one.lower() == "vv":
            return one
    raise ConfigError(
        f"water_mask takes one band, and the chain has {', '.join(bands)}",
        hint=f"say which one: water_mask({bands[0]!r})",
    )


def limits_given(threshold: Any, scenes: int, options: Mapping[str, Any]) -> tuple[float, ...]:
    """Limits that a user has named: one for all dates, or one for each.

    Raises
    ------
    ConfigError
        There are more or fewer than dates; or there are options of how to find them, too.
    """
    if options:
        raise ConfigError(
            f"a threshold is given, and {next(iter(options))!r} is about finding one",
            hint="leave one of them out",
        )
    try:
        limits = np.asarray(threshold, dtype="float64")
    except (TypeError, ValueError):
        raise ConfigError(
            f"threshold {threshold!r} is no number of dB", hint="give one, or one for each date"
        ) from None
    if limits.ndim == 0:
        return (float(limits),) * scenes
    if limits.shape != (scenes,):
        raise ConfigError(
            f"the thresholds have the shape {limits.shape}, and the chain has {scenes} dates",
            hint="give one number of dB, or one for each date",
        )
    return tuple(limits.tolist())


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what is no option of :func:`rsdat.raster.sar.scene_threshold`."""
    known = list(inspect.signature(scene_threshold).parameters)[1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(
            f"water_mask has no option {unknown[0]!r}", hint=f"use {', '.join(known)}"
        )
    classes = options.get("classes", 3)
    if not isinstance(classes, int) or not 2 <= classes <= _MOST_CLASSES:
        raise ConfigError(
            f"{classes!r} classes are not possible", hint=f"use 2 to {_MOST_CLASSES}; 3 suit most"
        )
    for name, value in options.items():
        check_number(name, value)


def limits_found(
    plan: Plan, band: str, linear: bool, options: Mapping[str, Any]
) -> tuple[float, ...]:
    """The limit of each date of a plan, from a coarse image of its whole scenes.

    A few scenes are read at a time, each from its overviews.

    Raises
    ------
    DataError
        A scene cannot be read.
    ConfigError
        The numbers are dB where power was said, or the other way round.
    """
    times = plan.axis.times
    assert times is not None
    place = plan.axis.bands.index(band)

    def limit(position: int) -> float:
        return scene_limit(_sample(plan, position, place), linear=linear, **options)

    far = is_remote(plan.reader.stack.sources[0][0].href)
    threads = _TOGETHER if far else min(_TOGETHER, cores())
    with ThreadPoolExecutor(threads, thread_name_prefix="scene") as pool:
        return tuple(pool.map(limit, range(len(times))))


def scene_grid(plan: Plan, position: int) -> GeoBox:
    """A coarse grid around the whole scene (or scenes) of one date, also beyond the result's."""
    members = _members(plan.steps, position)
    bounds = plan.reader.stack.bounds[list(members)]
    left, bottom = bounds[:, :2].min(axis=0)
    right, top = bounds[:, 2:].max(axis=0)
    grid = plan.geobox
    columns, rows = zip(
        *(~grid.transform * (x, y) for x in (left, right) for y in (bottom, top)), strict=True
    )
    first = math.floor(min(rows)), math.floor(min(columns))
    height, width = math.ceil(max(rows)) - first[0], math.ceil(max(columns)) - first[1]
    step = max(1, math.ceil(math.sqrt(height * width / _MOST)))
    shape = -(-height // step), -(-width // step)
    transform = grid.transform * Affine.translation(first[1], first[0]) * Affine.scale(step)
    return GeoBox(shape, transform, grid.crs)


def _sample(plan: Plan, position: int, place: int) -> Array:
    """The band of one date on its coarse grid; empty where nothing can be seen."""
    skipped: dict[Skipped, None] = {}  # what cannot be read is told where the tiles are computed
    geobox = scene_grid(plan, position)
    for layer in plan.layers(len(plan.steps), geobox, [position], skipped.setdefault):
        values: Array = layer.computed().physical()[place]
        return values
    return np.empty((0, 0), "float32")


def _members(steps: Sequence[Step], position: int) -> set[int]:
    """The items that a date is made of."""
    members = {position}
    for step in reversed(steps):
        if isinstance(step, Composite | Mosaic):
            members = {one for member in members for one in step.groups[member]}
    return members
