"""Cloud masks: Sentinel-2's scene classes and Landsat's quality bits."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
from numpy.typing import NDArray

from rsdat.arguments import checked
from rsdat.errors import ConfigError, DataError
from rsdat.raster.sources import source

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[Any]

#: Sentinel-2 classes that are masked: no data, saturated, cloud shadow, cloud (medium and high
#: probability), thin cirrus. Dark areas (2), unclassified (7) and snow (11) are kept: they are
#: ground. Codes above 11 do not exist; they are masked always.
SCL_MASKED = (0, 1, 3, 8, 9, 10)
_SCL_LAST = 11

#: Bands that say which pixels are cloud, the likeliest first.
QUALITY_BANDS = ("scl", "qa_pixel")

#: Bits of Landsat Collection 2 QA_PIXEL that are masked: fill, dilated cloud, cirrus, cloud, cloud
#: shadow. Snow (5) is kept.
QA_MASKED = (0, 1, 2, 3, 4)


def scl_invalid(classes: Array, masked: Sequence[int] = SCL_MASKED) -> NDArray[np.bool_]:
    """True where Sentinel-2's scene classification says "do not use"; any shape."""
    table = np.zeros(256, dtype=bool)
    table[list(masked)] = True
    table[_SCL_LAST + 1 :] = True
    codes = classes if classes.dtype == np.uint8 else np.clip(classes, 0, 255).astype("uint8")
    result: NDArray[np.bool_] = table[codes]
    return result


def qa_invalid(pixels: Array, bits: Sequence[int] = QA_MASKED) -> NDArray[np.bool_]:
    """True where one of these bits of Landsat's Collection 2 QA_PIXEL is set; any shape.

    Raises
    ------
    DataError
        When the numbers are not QA_PIXEL: there, "clear" (bit 6) is set exactly where neither cloud
        nor dilated cloud is. Earlier layouts (BQA) fail this.
    """
    fill = (pixels & 1) != 0
    clear = (pixels & 0b100_0000) != 0
    cloudy = (pixels & 0b1010) != 0
    if ((clear == cloudy) & ~fill).any():
        raise DataError(
            "these quality values are not Landsat Collection 2 QA_PIXEL (bit 6 contradicts bits 1 "
            "and 3)",
            hint="an older quality band (BQA) has another layout: name its bits, bits=[…]",
        )
    return bits_invalid(pixels, bits)


def bits_invalid(pixels: Array, bits: Sequence[int]) -> NDArray[np.bool_]:
    """True where one of these bits is set; any shape."""
    wanted = sum(1 << bit for bit in set(bits))
    result: NDArray[np.bool_] = (pixels & pixels.dtype.type(wanted)) != 0
    return result


@checked
def mask_clouds(
    ds: xr.Dataset,
    band: str = "scl",
    classes: Sequence[int] | None = None,
    *,
    bits: Sequence[int] | None = None,
) -> xr.Dataset:
    """The dataset with "no data" where a quality band says cloud, shadow or invalid.

    Parameters
    ----------
    ds
        What :func:`rsdat.load` gave, the quality band among its variables.
    band
        The quality band. A name with ``qa_pixel`` in it is read as Landsat's bits, any other as
        classes.
    classes
        Classes to mask. Default: Sentinel-2's 0 no data, 1 saturated, 3 cloud shadow, 8 and 9
        cloud, 10 cirrus; snow (11) is kept. Codes that Sentinel-2 does not have (12 and above) are
        masked always.
    bits
        Bits to mask, taken as they are; any layout. Default for ``qa_pixel``: 0 to 4 (fill, dilated
        cloud, cirrus, cloud, shadow), after a check that the numbers are Collection 2's.

    Returns
    -------
    Dataset
        The other variables: float ones with NaN, integers with their ``nodata`` value, where
        masked. The quality band itself is left out.
    """
    import xarray as xr

    if band not in ds:
        raise ConfigError(
            f"the dataset has no variable {band!r}; it has {', '.join(map(str, ds.data_vars))}",
            hint=f'load it as well: load(items, [..., "{band}"])',
        )
    decide, options = decision(band, classes, bits)
    masked = {
        name: xr.apply_ufunc(
            _masked,
            variable,
            ds[band],
            kwargs={"decide": decide, "options": options, "fill": fill_of(variable)},
            dask="parallelized",
            output_dtypes=[variable.dtype],
            keep_attrs="override",
        )
        for name, variable in ds.data_vars.items()
        if name != band
    }
    return ds.drop_vars(band).assign(masked)


def decision(band: str, classes: Sequence[int] | None, bits: Sequence[int] | None) -> Any:
    """The function that says which numbers of a band are masked, and its second argument."""
    if classes is not None and bits is not None:
        raise ConfigError("classes and bits exclude each other", hint="give one of them")
    if bits is not None:
        return bits_invalid, _numbers("bits", bits, 63)
    if classes is None and "qa_pixel" in band.lower():
        return qa_invalid, QA_MASKED
    if classes is None and band.lower().startswith(("bqa", "qa")):
        raise ConfigError(
            f"the layout of {band!r} is not known", hint="name the bits to mask, bits=[…]"
        )
    return scl_invalid, SCL_MASKED if classes is None else _numbers("classes", classes, 255)


def _numbers(what: str, given: Any, last: int) -> tuple[int, ...]:
    try:
        numbers = tuple(map(index, given))
    except TypeError:
        numbers = (-1,)
    if not numbers or not all(0 <= number <= last for number in numbers):
        raise ConfigError(
            f"{what} {given!r} are no numbers from 0 to {last}", hint=f"give a list: {what}=[3, 8]"
        )
    return numbers


def mask_words(band: str, decide: Any, options: Any) -> dict[str, Any]:
    """A mask as plain JSON values: its band, and which of its numbers are left out."""
    if options is None:
        return {"mask": band, "function": getattr(decide, "__name__", type(decide).__name__)}
    return {"mask": band, "classes" if decide is scl_invalid else "bits": list(options)}


def mask_text(band: str, decide: Any, options: Any) -> str:
    """A mask in a few words: its band, and what is unusual about it."""
    if options in (SCL_MASKED, QA_MASKED):
        return band
    (what, value), *_ = list(mask_words(band, decide, options).items())[1:]
    told = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{band}, {what} {told}"


def _masked(values: Array, quality: Array, *, decide: Any, options: Any, fill: float) -> Array:
    result: Array = np.where(decide(quality, options), values.dtype.type(fill), values)
    return result


def fill_of(variable: xr.DataArray) -> float:
    """What stands for "no data" in a variable."""
    if variable.dtype.kind == "f":
        return float("nan")
    return float(variable.attrs.get("nodata", 0))


def quality_band(items: Sequence[pystac.Item]) -> str:
    """The band of clouds that all items have.

    Raises
    ------
    DataError
        When they have none, or not the same.
    """
    for name in QUALITY_BANDS:
        if all(_has(item, name) for item in items):
            return name
    lacking = next(item for item in items if not any(_has(item, name) for name in QUALITY_BANDS))
    raise DataError(
        f"item {lacking.id} has no band of clouds ({' or '.join(QUALITY_BANDS)})",
        hint="name the band that it has, leave the item out, or compute without a mask (--no-mask)",
    )


def _has(item: pystac.Item, name: str) -> bool:
    try:
        source(item, name)
    except DataError:
        return False
    return True
