"""Whole runs: items to finished files with a preview and a STAC item of the result, by chains."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pystac

from rsdat.errors import DataError
from rsdat.raster.chains import Chain, chain
from rsdat.raster.chains.geometry import longitudes
from rsdat.raster.chains.stack import times_of
from rsdat.raster.estimate import Estimate, explain, together
from rsdat.raster.grids import Bounds
from rsdat.raster.grouping import check_period, groups
from rsdat.raster.image import Skipped
from rsdat.raster.indices import INDICES, find_index
from rsdat.raster.kernels import check_method
from rsdat.raster.outputs import is_store, output, outputs, outputs_by_date
from rsdat.raster.progress import Report
from rsdat.raster.provenance import inputs_of
from rsdat.raster.skips import NothingRead

#: Outputs of a run that are looked at to estimate all of it.
_SAMPLED = 8


@dataclass(frozen=True)
class Reading:
    """What is read of the items, and on which pixels; None leaves it to them."""

    bbox: Bounds | None = None
    resolution: float | None = None
    crs: str | None = None
    resampling: str = "nearest"
    clip: Any = None
    """A geometry: only what lies in it is kept."""
    mask: bool = False
    mask_band: str | None = None
    """The band of clouds; None: the one that the items have."""
    skip: bool = False
    """Leave out what cannot be read, and say so."""

    def chain(self, items: Sequence[pystac.Item], bands: Sequence[str], geobox: Any) -> Chain:
        """The beginning of a chain; on this grid, where it is known."""
        grid: dict[str, Any] = {"geobox": geobox}
        if geobox is None:
            grid = {"bbox": self.bbox, "resolution": self.resolution, "crs": self.crs}
        on_error = "skip" if self.skip else "fail"
        begun = chain(items, list(bands), resampling=self.resampling, on_error=on_error, **grid)
        return begun.mask_clouds(self.mask_band) if self.mask else begun

    def end(self, computed: Chain) -> Chain:
        """The chain, cut to the geometry: last, so that no tile outside it is computed."""
        return computed if self.clip is None else computed.clip(self.clip)


@dataclass(frozen=True)
class Storage:
    """How results are stored, and how they are made."""

    dtype: str | None = None
    compress: str = "zstd"
    memory: int | None = None
    resume: bool = True


@dataclass(frozen=True)
class Job:
    """One output of a run."""

    path: str
    name: str
    """For the progress bar."""
    chain: Chain


@dataclass(frozen=True)
class Run:
    """What is to be computed, and what was left out of it already."""

    jobs: tuple[Job, ...]
    skipped: tuple[Skipped, ...] = ()
    skip: bool = False


@dataclass(frozen=True)
class Result:
    """The files of one job, and what they were made from."""

    path: str
    preview: str | None
    item: str
    inputs: tuple[str, ...]
    bytes: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Results:
    """What a run has made; ``skipped`` are items of which nothing was made."""

    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...]


def index_run(
    items: Sequence[pystac.Item],
    out: str | os.PathLike[str],
    *,
    index: str = "ndvi",
    reading: Reading | None = None,
) -> Run:
    """An index of each item, a COG each; of all items one Zarr store, with times."""
    wanted, reading = find_index(index), reading or Reading()
    name = wanted.name if wanted.name in INDICES else "index"

    def one(some: Sequence[pystac.Item]) -> Chain:
        begun = reading.chain(some, wanted.bands, None)
        return reading.end(begun.index(index, name=name))

    if is_store(out) and "{" not in os.fspath(out):
        path = output(items, out)
        return Run((Job(path, os.path.basename(path), one(items)),), (), reading.skip)
    jobs, skipped = [], []
    for item, path in zip(items, outputs(items, out, name), strict=True):
        try:
            jobs.append(Job(path, item.id, one([item])))
        except DataError as error:
            skipped.append(_skipped(error, item, wanted.bands, reading.skip))
            if len(skipped) == len(items):
                raise
    return Run(tuple(jobs), tuple(skipped), reading.skip)


def check_composite(method: str, index: str | None, by: str | None = None) -> None:
    """Refuse an unknown method, index or period, before anything is opened."""
    check_method(method)
    check_period(by)
    if index is not None:
        find_index(index)


def composite_run(
    items: Sequence[pystac.Item],
    out: str | os.PathLike[str],
    *,
    method: str = "median",
    bands: Sequence[str] = (),
    index: str | None = None,
    by: str | None = None,
    reading: Reading | None = None,
) -> Run:
    """A composite of all items: of bands, of an index of each date, or both in that order.

    ``by`` a period, there is one COG for each that has items, or one Zarr store with times.
    """
    check_composite(method, index, by)
    reading = reading or Reading(mask=True)
    wanted = find_index(index) if index else None
    kept = tuple(bands) or (() if wanted else ("red", "nir"))
    needed = dict.fromkeys([*kept, *(wanted.bands if wanted else ())])

    def made(some: Sequence[pystac.Item], by: str | None, geobox: Any = None) -> Chain:
        begun = reading.chain(some, list(needed), geobox)
        if wanted is not None:
            name = wanted.name if wanted.name in INDICES else "index"
            begun = begun.index(wanted.name, name=name, keep=kept)
        return reading.end(begun.composite(method, by=by))

    if by is None or is_store(out):
        path = output(items, out)
        return Run((Job(path, os.path.basename(path), made(items, by)),), (), reading.skip)
    whole = made(items, by)
    kept_items = whole.items
    places = longitudes(kept_items) if by == "solar_day" else None
    found = groups(times_of(kept_items), by, places)
    paths = outputs_by_date(kept_items, out, [one.label for one in found])
    jobs = [
        Job(
            path,
            str(one.label.astype("datetime64[D]")),
            made([kept_items[index] for index in one.indices], None, whole.geobox),
        )
        for path, one in zip(paths, found, strict=True)
    ]
    return Run(tuple(jobs), whole.skipped, reading.skip)


def estimate(run: Run, storage: Storage) -> Estimate:
    """What a run will take; of many outputs a few are looked at."""
    step = -(-len(run.jobs) // _SAMPLED)
    found = []
    for job in run.jobs[::step]:
        try:
            found.append(
                explain(
                    job.chain,
                    dtype=storage.dtype,
                    memory=storage.memory,
                    zarr=is_store(job.path),
                    beside=os.path.dirname(os.path.abspath(job.path)),
                )
            )
        except DataError as error:
            last = error
            if not run.skip:
                raise
    if not found:
        raise last
    return together(found, len(run.jobs))


def compute(run: Run, storage: Storage, progress: Callable[[str], Report] | None = None) -> Results:
    """Compute and write all outputs; ``progress`` is asked for one counter for each.

    Raises
    ------
    DataError
        An output cannot be written; or an item cannot be read, and is not to be skipped, or no
        other is left.
    """
    results: list[Result] = []
    skipped = list(run.skipped)
    for job in run.jobs:
        one = job.chain
        try:
            _ = one.plan  # opens files; what fails after it is rarely the item's fault
        except DataError as error:
            wrong = error
        else:
            try:
                results.append(_made(job, storage, progress(job.name) if progress else None))
                continue
            except NothingRead as error:
                wrong = error
        skipped.append(_skipped(wrong, one.items[0], one.source_bands, run.skip))
        if not results and job is run.jobs[-1]:
            raise wrong
    return Results(tuple(results), tuple(skipped))


def _made(job: Job, storage: Storage, counter: Report | None) -> Result:
    write = job.chain.to_zarr if is_store(job.path) else job.chain.to_cog
    written = write(
        job.path,
        dtype=storage.dtype,
        memory=storage.memory,
        compress=storage.compress,
        resume=storage.resume,
        preview=True,
        progress=counter,
    )
    inputs = tuple(item.id for item in inputs_of(job.chain, written.unread))
    return Result(
        job.path,
        written.preview,
        str(written.item),
        inputs,
        written.bytes,
        written.skipped,
    )


def _skipped(error: DataError, item: pystac.Item, bands: Sequence[str], allowed: bool) -> Skipped:
    if not allowed:
        raise error
    return Skipped(item.id, error.asset or ",".join(bands), error.message)
