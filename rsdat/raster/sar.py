"""Open water in radar backscatter: a mask for each scene, and how often water was seen.

Smooth water throws the radar's beam away and is dark; most land is 5 to 15 dB brighter. The limit
between the two moves with wind, incidence angle and sensor, so that it is found anew for each
scene, in the histogram of the whole scene; a single tile may show nothing but water or land.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError
from rsdat.raster.indices import numbers_of, physical

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[Any]

#: Classes of a water mask.
LAND, WATER, NODATA = 0, 1, 255

#: Classes of water frequency: seldom or never, candidate flood, persistent.
OTHER, CANDIDATE_FLOOD, PERSISTENT = 0, 1, 2

#: The histogram: backscatter between these, in steps of 0.25 dB.
_LOW, _HIGH, _STEP = -40.0, 10.0, 0.25
#: Fewer valid pixels make a histogram in which noise looks like peaks.
_FEWEST = 1000
#: Pixels of one scene that are looked at; more do not move the histogram.
_MOST = 1_000_000
#: The smoothing of the histogram before peaks are sought, in dB: with 0.75 the valleys of noise
#: with one peak stay above 0.97 from 1000 pixels on, and a real scene's at 0.84; with 1 dB the
#: latter rises to 0.875, with 0.5 dB the former falls to 0.83.
_WIDTH = 0.75


def to_db(linear: Array, nodata: float | None = None) -> NDArray[np.float32]:
    """Backscatter as power to decibel, 10 · log10; float32, any shape.

    NaN where the value is ``nodata``, NaN, zero or negative (noise removal makes such).
    """
    values = physical(linear, 1.0, 0.0, nodata).astype("float32", copy=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float32] = np.log10(values)
    result *= np.float32(10)
    result[~(values > 0)] = np.nan
    return result


def scene_threshold(
    sample: Array,
    *,
    classes: int = 3,
    highest: float = -14.0,
    deepest: float = 0.9,
    otherwise: float = float("nan"),
) -> float:
    """The backscatter, in dB, below which a scene is water; by multi-Otsu (Liao et al. 2001).

    Parameters
    ----------
    sample
        dB, any shape: the whole scene, an overview of it, or pixels from all over it. Not a tile:
        its histogram may hold one class only. NaN is left out.
    classes
        Classes that multi-Otsu separates. 3 are water, land, and what lies between (wet or bare
        soil, roughened water). 4 find smaller shares of water.
    highest
        A limit above this is not taken for water's. For VV; VH is about 6 dB darker.
    deepest
        How deep the valley between water and land has to be: the smoothed histogram at its lowest
        point between two peaks, divided by the lower of the peaks, is at most this.
    otherwise
        What is given when no limit passes; NaN means that the scene has no water. For an area that
        can be all water, give a fixed limit, such as -17 for VV.

    Returns
    -------
    One of multi-Otsu's thresholds, or ``otherwise``.

    Notes
    -----
    Multi-Otsu finds thresholds in any histogram, also where there is only land. A threshold counts
    as water's when it lies between two peaks with a valley between them, and is not above
    ``highest``; of several the one in the deepest valley is taken.
    """
    values = np.asarray(sample, dtype="float32").reshape(-1)
    values = values[:: max(1, -(-values.size // _MOST))]
    values = values[np.isfinite(values)]
    if values.size < _FEWEST:
        return otherwise
    edges = np.arange(_LOW, _HIGH + _STEP, _STEP)
    counts, _ = np.histogram(np.clip(values, _LOW, _HIGH), bins=edges)
    centres = (edges[1:] + edges[:-1]) / 2
    if np.count_nonzero(counts) <= classes:
        return otherwise
    smooth = _smoothed(counts)
    depths = {
        threshold: _valley(smooth, int(np.searchsorted(centres, threshold)))
        for threshold in multi_otsu(counts, centres, classes)
        if threshold <= highest
    }
    best = min(depths, key=lambda threshold: depths[threshold], default=None)
    return otherwise if best is None or depths[best] > deepest else best


def multi_otsu(counts: Array, centres: Array, classes: int) -> list[float]:
    """The limits that part a histogram into classes of the least variance (Liao et al. 2001).

    Parameters
    ----------
    counts, centres
        (bin,) numbers of pixels, and the bins' middles.
    classes
        How many; at least as many bins hold pixels.

    Returns
    -------
    ``classes - 1`` middles in ascending order: the highest bin of each class but the last.
    """
    # scikit-image has this as well; it would bring scipy, which makes each worker 60 MB larger.
    weights = np.concatenate([[0.0], np.cumsum(counts, dtype="float64")])
    sums = np.concatenate([[0.0], np.cumsum(counts * centres, dtype="float64")])
    weight, total = weights[None, :] - weights[:, None], sums[None, :] - sums[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        # gain[i, j]: what the bins from i up to j add to the variance between the classes.
        gain = np.where(weight > 0, total**2 / weight, 0.0)
    gain[np.tri(len(gain), dtype=bool)] = -np.inf  # a class has a bin at least
    best, choices = gain[0], []
    for _ in range(classes - 1):
        candidates = best[:, None] + gain
        choices.append(candidates.argmax(axis=0))
        best = candidates.max(axis=0)
    ends = [len(counts)]
    for choice in reversed(choices):
        ends.append(int(choice[ends[-1]]))
    return [float(centres[end - 1]) for end in sorted(ends[1:])]


def _smoothed(counts: Array) -> Array:
    reach = int(4 * _WIDTH / _STEP)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP / _WIDTH) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same")


def _valley(smooth: Array, place: int) -> float:
    """The lowest point between the highest peaks on both sides, as a part of the lower one."""
    if not 0 < place < len(smooth):
        return 1.0
    left = int(np.argmax(smooth[:place]))
    right = place + int(np.argmax(smooth[place:]))
    return float(smooth[left : right + 1].min() / min(smooth[left], smooth[right]))


def water_mask(db: Array, threshold: float) -> NDArray[np.uint8]:
    """1 water (dB at or below the threshold), 0 land, 255 no data; uint8, any shape.

    ``threshold`` is :func:`scene_threshold`'s of the whole scene; with NaN there is no water.
    """
    mask = (db <= threshold).astype("uint8")
    mask[np.isnan(db)] = NODATA
    return mask


def frequency_of(masks: Iterable[Array]) -> NDArray[np.float32]:
    """Water / valid observations of water masks (time, y, x); float32 (y, x), NaN where none.

    Any iterable of masks (y, x), at least one; they are not held together.
    """
    counted: NDArray[Any] | None = None
    for mask in masks:
        if counted is None:
            counted = np.zeros((2, *mask.shape), "uint16")
        counted[0] += mask == WATER
        counted[1] += mask != NODATA
    if counted is None:
        raise DataError("there is no water mask to count", hint="give one date at least")
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float32] = np.divide(counted[0], counted[1], dtype="float32")
    return result


def frequency_classes(
    frequency: Array, *, candidate: float = 0.1, persistent: float = 0.9
) -> NDArray[np.uint8]:
    """2 persistent water, 1 candidate flood, 0 other, 255 no data; uint8, any shape.

    Persistent from a frequency of ``persistent`` on, candidate flood from ``candidate`` on.
    """
    # As float32, like the frequencies: 9 of 10 observations are persistent.
    found = (frequency >= np.float32(candidate)).astype("uint8")
    found[frequency >= np.float32(persistent)] = PERSISTENT
    found[np.isnan(frequency)] = NODATA
    return found


def water_frequency(
    stack: xr.Dataset | xr.DataArray,
    *,
    linear: bool = True,
    band: str = "vv",
    sample: xr.DataArray | None = None,
    **options: Any,
) -> xr.Dataset:
    """How often each pixel was water, over the dates of a stack; lazily.

    Parameters
    ----------
    stack
        Backscatter (time, y, x), as :func:`rsdat.load` gives it; of a Dataset the variable named
        by ``band``.
    linear
        Whether the numbers are power, as in RTC and GRD collections; False where they are dB.
    sample
        The same dates on a coarse grid, from ``load(…, resolution=…)``: it is read from the files'
        overviews, which have less speckle, too. Without, the stack itself is read once, now, and
        thinned.
    **options
        Those of :func:`scene_threshold`.

    Returns
    -------
    Dataset with ``water_frequency`` (float32, 0 to 1, NaN where no date has data), ``water_class``
    (uint8 of :func:`frequency_classes`) and ``threshold`` (time; dB, NaN where a date has none).

    Notes
    -----
    The thresholds are computed when this is called, each from its whole scene. They have to be
    known before the first tile can be finished, and a lazy graph of both would hold all scenes in
    memory meanwhile.
    """
    import xarray as xr

    values = _variable(stack, band)
    coarse = _thinned(values) if sample is None else _variable(sample, band)
    if coarse.sizes["time"] != values.sizes["time"]:
        raise ConfigError(
            f"the sample has {coarse.sizes['time']} dates, the stack {values.sizes['time']}",
            hint="load the sample from the same items, with another resolution",
        )
    limits = _thresholds(coarse, linear, options)
    threshold = xr.DataArray(limits, dims="time", coords={"time": values["time"]})
    if values.chunks is not None:
        values = values.chunk({"time": -1})
    frequency = xr.apply_ufunc(
        _frequency,
        values,
        input_core_dims=[["time"]],
        kwargs={"limits": limits, "linear": linear, "numbers": numbers_of(values)},
        dask="parallelized",
        output_dtypes=["float32"],
    )
    classified = xr.apply_ufunc(
        frequency_classes, frequency, dask="parallelized", output_dtypes=["uint8"]
    )
    frequency.attrs = {"units": "1", "nodata": float("nan"), "grid_mapping": "spatial_ref"}
    classified.attrs = {"nodata": NODATA, "grid_mapping": "spatial_ref"}
    threshold.attrs = {"units": "dB"}
    return xr.Dataset(
        {"water_frequency": frequency, "water_class": classified, "threshold": threshold}
    )


def _variable(stack: xr.Dataset | xr.DataArray, band: str) -> xr.DataArray:
    import xarray as xr

    if isinstance(stack, xr.Dataset):
        if band not in stack:
            raise ConfigError(
                f"the dataset has no variable {band!r}; it has {', '.join(map(str, stack))}",
                hint="say which one is meant: water_frequency(ds, band=…)",
            )
        stack = stack[band]
    if set(stack.dims) != {"time", "y", "x"}:
        raise ConfigError(
            f"backscatter over time is needed, (time, y, x); this is {stack.dims}",
            hint="load more than one item",
        )
    return stack.transpose("time", "y", "x")


def _thinned(values: xr.DataArray) -> xr.DataArray:
    step = max(1, int(np.sqrt(values.sizes["y"] * values.sizes["x"] / _MOST)))
    return values[:, ::step, ::step]


def _thresholds(coarse: xr.DataArray, linear: bool, options: dict[str, Any]) -> list[float]:
    numbers = numbers_of(coarse)
    limits = []
    # One date after the other: many scenes at once would not fit, and each is read in parallel.
    for position in range(coarse.sizes["time"]):
        values = physical(coarse[position].to_numpy(), *numbers)
        limits.append(scene_limit(values, linear=linear, **options))
    return limits


def scene_limit(values: Array, *, linear: bool, **options: Any) -> float:
    """:func:`scene_threshold` of backscatter as it is stored: as power, or in dB.

    Raises
    ------
    ConfigError
        The numbers are of the other kind.
    """
    _check_unit(values, linear)
    return scene_threshold(to_db(values) if linear else values, **options)


def _check_unit(values: Array, linear: bool) -> None:
    known = values[np.isfinite(values)]
    if known.size and linear and np.median(known) < 0:
        raise ConfigError(
            "these numbers are negative: backscatter in dB, not power",
            hint="say so: linear=False",
        )
    if known.size and not linear and known.min() >= 0:
        raise ConfigError(
            "none of these numbers is negative: backscatter as power, not in dB",
            hint="say so: linear=True",
        )


def _frequency(
    values: Array, *, limits: list[float], linear: bool, numbers: Any
) -> NDArray[np.float32]:
    # apply_ufunc moves time to the end.
    layers = (physical(values[..., position], *numbers) for position in range(len(limits)))
    return frequency_of(
        water_mask(to_db(layer) if linear else layer, limit)
        for layer, limit in zip(layers, limits, strict=True)
    )
