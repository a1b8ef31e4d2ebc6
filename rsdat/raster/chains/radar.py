"""The methods of a chain for radar backscatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from rsdat.arguments import checked
from rsdat.errors import ConfigError
from rsdat.raster.chains.water import (
    FREQUENCY_BANDS,
    WATER,
    WaterMask,
    check_options,
    frequency_bands,
    limits_found,
    limits_given,
    the_band,
)

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain


class RadarSteps:
    """Steps of :class:`~rsdat.raster.chains.builder.Chain` for radar backscatter."""

    @checked
    def water_mask(
        self,
        band: str | None = None,
        *,
        linear: bool = True,
        threshold: float | Sequence[float] | None = None,
        **options: Any,
    ) -> Chain:
        """Open water in radar backscatter, by a limit of each scene: 1 water, 0 land.

        Its mean over dates is the frequency of water: see :meth:`water_frequency`.

        Parameters
        ----------
        band
            The band with backscatter; default the only one, or ``vv``.
        linear
            Whether its numbers are power, as in RTC and GRD collections; False where they are dB.
        threshold
            dB, one for all dates or one for each (NaN: no water). Without, the limits are found
            now, by multi-Otsu in a coarse image of each date's whole scene (from its overviews,
            beyond the chain's grid, too), so that all tiles and grids agree.
        **options
            Of how to find them: those of :func:`rsdat.raster.sar.scene_threshold`. A date on which
            no limit is found has no water; with ``otherwise`` it gets that limit.

        Returns
        -------
        Chain
            With the band ``water``: 1, 0, NaN where there is no data.

        Raises
        ------
        ConfigError
            The numbers are of the other kind than ``linear`` says; thresholds and dates differ.
        DataError
            A scene cannot be read.
        """
        chain = cast("Chain", self)
        band = the_band(chain.bands, band)
        WaterMask(band, (), linear).after(chain.axis)  # refused before scenes are read
        if threshold is not None:
            dates = 0 if chain.times is None else len(chain.times)
            limits = limits_given(threshold, dates, options)
        else:
            check_options(options)
            limits = limits_found(chain.plan, band, linear, options)
        return chain.then(WaterMask(band, limits, linear))

    @checked
    def water_frequency(
        self, *, by: str | None = None, candidate: float = 0.1, persistent: float = 0.9
    ) -> Chain:
        """How often a pixel was water (after :meth:`water_mask`), and its class.

        Parameters
        ----------
        by
            A period as in :meth:`composite`; default all dates.
        candidate, persistent
            The frequencies from which a pixel is candidate flood, and persistent water.

        Returns
        -------
        Chain
            With the bands ``water_frequency`` (water / valid observations) and ``water_class``:
            2 persistent, 1 candidate flood, 0 other. NaN where no date has data.
        """
        chain = cast("Chain", self)
        if chain.bands != (WATER,):
            raise ConfigError(
                f"water_frequency needs the band {WATER!r} alone; the chain has "
                f"{', '.join(chain.bands)} here",
                hint="call water_mask() first",
            )
        if not 0 <= candidate <= persistent <= 1:
            raise ConfigError(
                f"candidate {candidate} and persistent {persistent} are no frequencies in order",
                hint="give 0 <= candidate <= persistent <= 1, such as 0.1 and 0.9",
            )
        return chain.composite("mean", by=by).apply(
            frequency_bands,
            bands_out=FREQUENCY_BANDS,
            candidate=candidate,
            persistent=persistent,
        )
