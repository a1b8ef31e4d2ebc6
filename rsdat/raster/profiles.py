"""Profiles over time at points and polygons: a chain's pixels there, as numbers for each date."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError
from rsdat.raster.chains.plan import Plan
from rsdat.raster.chains.sizes import blocks_of, bytes_per_pixel, tile_edge
from rsdat.raster.files import header
from rsdat.raster.image import Skipped, Span
from rsdat.raster.profile_pixels import Sampler, blocks
from rsdat.raster.profile_places import Place, Target, as_point, locate, places_of
from rsdat.raster.profile_plot import plot_profile
from rsdat.raster.profile_sums import STATISTICS, Sums
from rsdat.raster.progress import Progress, Report, reporter
from rsdat.raster.skips import warn_of
from rsdat.raster.tiles import compute, current_client

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from rsdat.raster.chains.builder import Chain

__all__ = ["plot_profile", "profile", "profile_frame"]

#: Edge, in pixels, of the squares whose small places are computed together, where they cannot be
#: blocks of the files.
_CELL = 512
#: Largest edge of a polygon whose median is computed: its values are needed together.
_WHOLE = 2048


def profile(
    chain: Chain,
    places: Any,
    statistics: Sequence[str] = ("mean", "count", "valid_fraction"),
    client: Any | None = None,
    progress: Report | bool | None = None,
) -> xr.Dataset:
    """Statistics of a chain's pixels at places; see :meth:`rsdat.raster.Chain.profile`."""
    wanted = _checked(statistics)
    named = places_of(places)
    plan = chain.plan
    targets, outside = _located(named, plan)
    if "median" in wanted:
        _refuse_large(named, targets)
    times = plan.axis.times
    count = 1 if times is None else len(times)
    sums = Sums((len(named), count, len(plan.axis.bands)), wanted)
    run = _Run(plan, wanted, client or current_client(), reporter(progress, "profile"))
    skipped = dict.fromkeys(chain.skipped) | run.add(targets, sums)
    small = [number for number in targets if not sums.pixels[number]]
    points = {number: as_point(targets[number], plan.geobox) for number in small}
    skipped |= run.add({number: one for number, one in points.items() if one}, sums)
    outside += [named[number].name for number, one in points.items() if one is None]
    cut = [
        named[number].name
        for number, target in targets.items()
        if target.cut and sums.pixels[number]
    ]
    return _dataset(named, sums, plan, statistics, _notes(outside, cut, skipped))


def profile_frame(dataset: xr.Dataset, *, empty: bool = False) -> pd.DataFrame:
    """A profile as a table: one row for each place and date.

    Parameters
    ----------
    dataset
        What :meth:`rsdat.raster.Chain.profile` gives.
    empty
        Keep the rows of dates on which nothing was seen of a place.

    Returns
    -------
    DataFrame with the columns ``place``, ``time`` (UTC; not after a composite), ``lon``, ``lat``,
    ``pixels`` and one for each variable; ``.to_csv(path, index=False)`` writes it.
    """
    variables = list(map(str, dataset.data_vars))
    frame = dataset.to_dataframe(dim_order=list(_dims(dataset))).reset_index()
    frame = frame[[*_dims(dataset), "lon", "lat", "pixels", *variables]]
    if not empty:
        numbers = frame[variables]
        counts = [
            name for name in variables if dataset[name].attrs.get("statistic") in _PLAIN_NUMBERS
        ]
        seen = numbers.notna().drop(columns=counts).any(axis=1) | (numbers[counts] > 0).any(axis=1)
        frame = frame[seen].reset_index(drop=True)
    return frame


# Statistics that are zero, and not missing, where nothing was seen.
_PLAIN_NUMBERS = ("count", "valid_fraction")


def _dims(dataset: xr.Dataset) -> tuple[str, ...]:
    return ("place", "time") if "time" in dataset.dims else ("place",)


def _checked(statistics: Sequence[str]) -> frozenset[str]:
    if isinstance(statistics, str) or not statistics:
        raise ConfigError(
            f"statistics {statistics!r} is no list of names", hint='give some, as ["mean", "std"]'
        )
    unknown = [name for name in statistics if name not in STATISTICS]
    if unknown:
        raise ConfigError(
            f"the statistic {unknown[0]!r} is not known", hint=f"use {', '.join(STATISTICS)}"
        )
    return frozenset(statistics)


def _located(named: Sequence[Place], plan: Plan) -> tuple[dict[int, Target], list[str]]:
    """The places on the grid, by their number; and the names of those that no item meets."""
    targets: dict[int, Target] = {}
    outside: list[str] = []
    for number, place in enumerate(named):
        target = locate(place, plan.geobox)
        if target is not None and plan.reader.stack.meeting(plan.geobox[_span(target.window)]):
            targets[number] = target
        else:
            outside.append(place.name)
    if not targets:
        box = plan.geobox.geographic_extent.boundingbox
        raise DataError(
            f"all {len(named)} places lie outside the items and the chain's grid, which covers "
            f"{box.left:.5g},{box.bottom:.5g},{box.right:.5g},{box.top:.5g}",
            hint="places are (longitude, latitude) in degrees; search with a bbox around them",
        )
    return targets, outside


def _refuse_large(named: Sequence[Place], targets: Mapping[int, Target]) -> None:
    for number, target in targets.items():
        if max(target.size) > _WHOLE:
            rows, columns = target.size
            raise ConfigError(
                f"a median needs all values at once, and the place {named[number].name} has "
                f"{rows} × {columns} pixels; at most {_WHOLE} × {_WHOLE} are taken",
                hint="leave median out, cut the polygon, or give the chain a coarser resolution",
            )


def _span(window: tuple[int, int, int, int]) -> Span:
    top, bottom, left, right = window
    return slice(top, bottom), slice(left, right)


class _Run:
    """Computes blocks side by side, and says how far it is."""

    def __init__(
        self, plan: Plan, wanted: frozenset[str], client: Any, progress: Report | None
    ) -> None:
        self._plan, self._wanted = plan, wanted
        self._client, self._progress = client, progress
        self._cell, self._tile = _edges(plan)
        self._started = time.monotonic()
        self._done = self._total = self._bytes = 0

    def add(self, targets: Mapping[int, Target], sums: Sums) -> dict[Skipped, None]:
        """Compute the blocks of some places; gives what could not be read."""
        whole = _WHOLE if "median" in self._wanted else 0
        found = blocks(targets, self._cell, self._tile, whole)
        shapes = {number: target.shape for number, target in targets.items()}
        sampler = Sampler(self._plan, shapes, found, self._wanted)
        self._total += len(found)
        skipped: dict[Skipped, None] = {}
        for done in compute(sampler, [_span(window) for window in found], _as_is, self._client):
            sums.add(done.result)
            skipped |= dict.fromkeys(done.skipped)
            self._report(done.span)
        return skipped

    def _report(self, span: Span) -> None:
        axis = self._plan.axis
        dates = 1 if axis.times is None else len(axis.times)
        pixels = (span[0].stop - span[0].start) * (span[1].stop - span[1].start)
        self._done += 1
        self._bytes += pixels * dates * len(axis.bands) * 4
        if self._progress is not None:
            seconds = time.monotonic() - self._started
            self._progress(Progress(self._done, self._total, self._bytes, seconds))


def _as_is(span: Span, values: NDArray[Any]) -> NDArray[Any]:
    return values


def _edges(plan: Plan) -> tuple[int, int]:
    """Edges of the squares for small places and of the pieces of large ones."""
    head = header(plan.reader.stack.sources[0][0])
    aligned = blocks_of(plan, head)
    # The dates are looked at one after the other: only one of them is held.
    dates = 1 if plan.axis.times is None else len(plan.axis.times)
    others = (dates - 1) * len(plan.axis.bands) * np.dtype(plan.encoding.dtype).itemsize
    tile = tile_edge(bytes_per_pixel(plan, head.dtype) - others, aligned)
    return min(tile, max(aligned) if aligned else _CELL), tile


def _notes(
    outside: Sequence[str], cut: Sequence[str], skipped: Mapping[Skipped, None]
) -> dict[str, list[str]]:
    """Attributes that name what is missing; warns of it."""
    if outside:
        more = f" and {len(outside) - 5} more" if len(outside) > 5 else ""
        warnings.warn(
            f"outside the items or the chain's grid: {', '.join(outside[:5])}{more}",
            stacklevel=5,
        )
    warn_of(skipped, stacklevel=5)
    unread = [f"{one.item} {one.asset}: {one.reason}" for one in skipped]
    notes = {"outside": list(outside), "cut": list(cut), "skipped": unread}
    return {name: texts for name, texts in notes.items() if texts}


def _dataset(
    named: Sequence[Place],
    sums: Sums,
    plan: Plan,
    statistics: Sequence[str],
    notes: Mapping[str, list[str]],
) -> xr.Dataset:
    import xarray as xr

    axis = plan.axis
    middles = np.array([place.middle() for place in named])
    coordinates: dict[str, Any] = {
        "place": np.array([place.name for place in named], dtype=object),
        "lon": ("place", middles[:, 0], {"units": "degrees_east"}),
        "lat": ("place", middles[:, 1], {"units": "degrees_north"}),
        "pixels": ("place", sums.pixels),
    }
    dims: tuple[str, ...] = ("place",)
    if axis.times is not None:
        coordinates["time"] = axis.times
        dims = ("place", "time")
    variables: dict[str, Any] = {}
    results = {statistic: sums.result(statistic) for statistic in dict.fromkeys(statistics)}
    for number, band in enumerate(axis.bands):
        for statistic, values in results.items():
            name = band if statistic == "mean" else f"{band}_{statistic}"
            one = values[:, :, number] if axis.times is not None else values[:, 0, number]
            variables[name] = (dims, one, {"band": band, "statistic": statistic})
    return xr.Dataset(variables, coordinates, dict(notes))
