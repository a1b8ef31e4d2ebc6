"""Rules on several bands, for :meth:`apply` of a chain: (band, y, x) in, a plane of 1 and 0 out.

Thresholds of optical bands are reflectances as fractions, as chains hand them out. Published
thresholds in stored numbers of Sentinel-2 are these times 10000, for numbers to which nothing was
added; since processing baseline 04.00, 1000 is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import DataError
from rsdat.raster.sar import NODATA, to_db, water_mask

Array = NDArray[Any]

#: The bands that the rules take, in this order, as common names.
STUBBLE_BANDS = ("red", "rededge2", "nir", "swir16")
WATER_BANDS = ("vv",)
CLOUD_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")

#: Half a stored number of Sentinel-2. Rules on whole numbers are decided between two of them, where
#: the rounding of reflectances to float32 has no say: B04 < 1000 is red < 0.09995.
_HALF = 0.5e-4


def stubble_burning(
    bands: Array,
    *,
    red_below: float = 0.1,
    rededge2_below: float = 0.12,
    nir_below: float = 0.12,
    swir16_above: float = 0.05,
    swir16_below: float = 0.16,
) -> NDArray[np.float32]:
    """Fields on which stubble was burnt: dark in red and near infrared, less so at 1.6 µm.

    Parameters
    ----------
    bands
        Reflectances (band, y, x) of Sentinel-2: red (B04), rededge2 (B06), nir (B08), swir16
        (B11); :data:`STUBBLE_BANDS`. NaN where there is no data.
    red_below, rededge2_below, nir_below, swir16_above, swir16_below
        In stored numbers: B04 < 1000, B06 < 1200, B08 < 1200, 500 < B11 < 1600.

    Returns
    -------
    float32 (y, x): 1 burnt, 0 not, NaN where a band has no data.
    """
    red, rededge2, nir, swir16 = _planes(bands, STUBBLE_BANDS)
    found = _below(red, red_below - _HALF) & _below(rededge2, rededge2_below - _HALF)
    found &= _below(nir, nir_below - _HALF) & _below(swir16, swir16_below - _HALF)
    found &= _above(swir16, swir16_above + _HALF)
    return _marked(found, bands)


def potential_clouds(
    bands: Array,
    *,
    swir22_above: float = 0.03,
    ndsi_below: float = 0.8,
    ndvi_below: float = 0.8,
    whiteness_below: float = 0.7,
    haze_above: float = 0.08,
    nir_to_swir16_above: float = 0.75,
) -> NDArray[np.float32]:
    """Pixels that may be cloud: bright, white, neither snow nor leaves.

    The potential cloud pixels of Fmask: Zhu and Woodcock (2012), Remote Sensing of Environment
    118, equations 1 to 4; without the test of temperature, as Zhu, Wang and Woodcock (2015) use
    them for Sentinel-2, which has no thermal band.

    Parameters
    ----------
    bands
        Reflectances (band, y, x): blue (B02), green (B03), red (B04), nir (B08), swir16 (B11),
        swir22 (B12) of Sentinel-2; :data:`CLOUD_BANDS`. NaN where there is no data.
    swir22_above, ndsi_below, ndvi_below
        Basic test: bright, not snow, not vegetation.
    whiteness_below
        Sum of the visible bands' distances from their mean, in parts of the mean.
    haze_above
        blue - 0.5 red: clouds and haze brighten blue most.
    nir_to_swir16_above
        nir / swir16: bare rock and sand are brighter at 1.6 µm.

    Returns
    -------
    float32 (y, x): 1 may be cloud, 0 clear, NaN where a band has no data.

    Notes
    -----
    A first pass that misses little and takes bright roofs, bare soil and beaches for cloud as well;
    the scene's statistics that Fmask goes on with are not part of a rule for single pixels. The
    thresholds are published for reflectance at the top of the atmosphere (Level-1C). On Level-2A,
    whose blue has lost its haze, thin cloud is missed more often; its own classes (SCL) know more.
    """
    blue, green, red, nir, swir16, swir22 = _planes(bands, CLOUD_BANDS)
    found = _above(swir22, swir22_above)
    # Quotients as products: nothing is divided by zero. Two spare planes are written again and
    # again: fresh ones for each step take longer than the arithmetic.
    left, right = np.empty((2, *blue.shape), "float32")
    for first, second, limit in ((green, swir16, ndsi_below), (nir, red, ndvi_below)):
        np.multiply(first, np.float32(1 - limit), out=left)
        np.multiply(second, np.float32(1 + limit), out=right)
        found &= left < right
    np.multiply(swir16, np.float32(nir_to_swir16_above), out=left)
    found &= nir > left
    np.multiply(red, np.float32(0.5), out=left)
    np.subtract(blue, left, out=left)
    found &= _above(left, haze_above)
    found &= _white(blue, green, red, whiteness_below)
    return _marked(found, bands)


def _white(blue: Array, green: Array, red: Array, limit: float) -> NDArray[np.bool_]:
    """Whether the distances from the mean add up to less than this part of the mean."""
    mean = np.add(blue, green)
    mean += red
    mean /= np.float32(3)
    total, spare = np.zeros_like(mean), np.empty_like(mean)
    for plane in (blue, green, red):
        np.subtract(plane, mean, out=spare)
        total += np.abs(spare, out=spare)
    mean *= np.float32(limit)
    result: NDArray[np.bool_] = total < mean
    return result


def open_water(bands: Array, *, threshold: float, linear: bool = True) -> NDArray[np.float32]:
    """Open water in radar backscatter, by the limit of its scene.

    Parameters
    ----------
    bands
        Backscatter (band, y, x) of one polarisation; :data:`WATER_BANDS`. NaN where there is no
        data.
    threshold
        dB, from :func:`rsdat.raster.sar.scene_threshold` of the whole scene; NaN: no water.
    linear
        Whether the numbers are power; False where they are dB.

    Returns
    -------
    float32 (y, x): 1 water, 0 land, NaN where there is no data. Its mean over dates is the
    frequency of water.
    """
    (plane,) = _planes(bands, WATER_BANDS)
    mask = water_mask(to_db(plane) if linear else plane, threshold)
    result = mask.astype("float32")
    result[mask == NODATA] = np.nan
    return result


def _planes(bands: Array, names: tuple[str, ...]) -> tuple[Array, ...]:
    if bands.ndim != 3 or len(bands) != len(names):
        raise DataError(
            f"the rule takes {len(names)} bands as (band, y, x); this has the shape {bands.shape}",
            hint=f"give the bands in this order: {', '.join(names)}",
        )
    return tuple(bands)


def _below(plane: Array, limit: float) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = plane < np.float32(limit)
    return result


def _above(plane: Array, limit: float) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = plane > np.float32(limit)
    return result


def _marked(found: NDArray[np.bool_], bands: Array) -> NDArray[np.float32]:
    result = found.astype("float32")
    result[np.isnan(bands).any(axis=0)] = np.nan
    return result
