"""A picture of a profile: one line for each place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rsdat.errors import ConfigError, EnvironmentMissing

if TYPE_CHECKING:
    import xarray as xr

#: Places beyond this would not be told apart in a legend.
_NAMED = 12


def plot_profile(dataset: xr.Dataset, band: str | None = None, ax: Any | None = None) -> Any:
    """Draw a band of a profile over time, one line with marks for each place.

    Dates without data are gaps in a line; a thin dotted line leads over them. With the statistic
    ``std`` a band of one standard deviation lies around each line.

    Parameters
    ----------
    dataset
        What :meth:`rsdat.raster.Chain.profile` gives, with dates.
    band
        A band of the chain; default the first one.
    ax
        Axes of matplotlib to draw on; default new ones.

    Returns
    -------
    The axes.

    Raises
    ------
    EnvironmentMissing
        Without matplotlib.
    ConfigError
        The dataset has no dates, or no mean and no median of the band.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    except ImportError:
        raise EnvironmentMissing(
            "plots need matplotlib, which is not installed here",
            hint="install it: pip install matplotlib; or use profile_frame()",
        ) from None
    name, band = _drawn(dataset, band)
    if ax is None:
        _, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for place in range(dataset.sizes["place"]):
        _line(ax, dataset.isel(place=place), name, f"{band}_std")
    locator = AutoDateLocator(maxticks=10)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_ylabel(band if name == band else f"{band}, {dataset[name].attrs['statistic']}")
    ax.grid(alpha=0.3)
    if 1 < dataset.sizes["place"] <= _NAMED:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    elif dataset.sizes["place"] == 1:
        ax.set_title(str(dataset["place"].values[0]))
    return ax


def _drawn(dataset: xr.Dataset, band: str | None) -> tuple[str, str]:
    """The variable to draw, and its band."""
    if "time" not in dataset.dims:
        raise ConfigError(
            "this profile has no dates: a composite has made one image of them",
            hint="use profile_frame(), or composite by a period (by='month')",
        )
    drawable = {
        (one.attrs["band"], one.attrs["statistic"]): str(name)
        for name, one in dataset.data_vars.items()
        if one.attrs.get("statistic") in ("mean", "median")
    }
    bands = list(dict.fromkeys(name for name, _ in drawable))
    chosen = band if band is not None else next(iter(bands), None)
    if chosen is None or chosen not in bands:
        raise ConfigError(
            f"the profile has no mean or median of {band or 'any band'}"
            + (f"; it has {', '.join(bands)}" if bands else ""),
            hint='name a band of the chain, and "mean" among the statistics of profile()',
        )
    return drawable.get((chosen, "mean")) or drawable[chosen, "median"], chosen


def _line(ax: Any, place: xr.Dataset, name: str, spread: str) -> None:
    times, values = place["time"].values, place[name].values
    seen = np.isfinite(values)
    (line,) = ax.plot(
        times, values, marker="o", markersize=4, linewidth=1.5, label=str(place["place"].values)
    )
    if seen.any() and not seen.all():
        ax.plot(
            times[seen], values[seen], color=line.get_color(), linestyle=":", linewidth=1, alpha=0.6
        )
    if spread in place:
        away = place[spread].values
        ax.fill_between(
            times[seen],
            (values - away)[seen],
            (values + away)[seen],
            color=line.get_color(),
            alpha=0.15,
            linewidth=0,
        )
