"""Spectral indices: a table of known ones, numpy functions, and the same on xarray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsdat.arguments import checked
from rsdat.errors import ConfigError
from rsdat.raster.formula import Formula

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[Any]


@dataclass(frozen=True)
class Index:
    """One index of surface reflectances.

    Attributes
    ----------
    name
        As in :data:`INDICES`; the formula's text where it is a formula.
    formula
        What it computes.
    title, source
        What it shows, and where it was published; empty for a formula.
    difference
        The two bands of a normalised difference, (a - b) / (a + b). It is computed by
        :func:`normalised_difference`, which knows where it means nothing; None for other indices.
    """

    name: str
    formula: Formula
    title: str = ""
    source: str = ""
    difference: tuple[str, str] | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Common names of the bands that it needs."""
        return self.formula.bands

    def evaluate(self, planes: Mapping[str, Array]) -> NDArray[np.float32]:
        """The index of reflectances, an array for each of ``bands``; as :class:`Formula`'s."""
        if self.difference is None:
            return self.formula.evaluate(planes)
        self.formula.check_bands(planes)
        first, second = self.difference
        return normalised_difference(planes[first], planes[second])


def _difference(name: str, first: str, second: str, title: str, source: str) -> Index:
    formula = Formula.parse(f"({first} - {second}) / ({first} + {second})")
    return Index(name, formula, title, source, (first, second))


#: The known indices by name, of reflectances as fractions (0 to 1).
INDICES: dict[str, Index] = {
    index.name: index
    for index in (
        _difference("ndvi", "nir", "red", "vegetation", "Rouse et al. (1974)"),
        _difference("ndwi", "green", "nir", "open water", "McFeeters (1996)"),
        _difference("mndwi", "green", "swir16", "open water", "Xu (2006)"),
        _difference("ndmi", "nir", "swir16", "moisture of vegetation", "Hardisky et al. (1983)"),
        _difference("ndsi", "green", "swir16", "snow", "Hall et al. (1995)"),
        _difference("nbr", "nir", "swir22", "burnt areas", "Key and Benson (2006)"),
        _difference("ndre", "nir", "rededge1", "chlorophyll", "Barnes et al. (2000)"),
        Index(
            "evi",
            Formula.parse("2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)"),
            "vegetation, also dense",
            "Huete et al. (2002)",
        ),
        Index(
            "savi",
            Formula.parse("1.5 * (nir - red) / (nir + red + 0.5)"),
            "vegetation over bright soil",
            "Huete (1988), L = 0.5",
        ),
    )
}


def find_index(what: str | Index) -> Index:
    """The index of this name, in any case, or of this formula.

    Raises
    ------
    ConfigError
        When it is neither a known name nor a formula; a single word has to be a name.
    """
    if isinstance(what, Index):
        return what
    if not isinstance(what, str):
        raise ConfigError(
            f"{what!r} is no index",
            hint=f"give a name ({', '.join(INDICES)}) or a formula, (nir - red) / (nir + red)",
        )
    known = INDICES.get(what.strip().lower())
    if known is not None:
        return known
    if what.strip().isidentifier():
        raise ConfigError(
            f"index {what.strip()!r} is not known",
            hint=f"use one of {', '.join(INDICES)}, or a formula such as (nir - red) / (nir + red)",
        )
    formula = Formula.parse(what)
    return Index(formula.text, formula)


def normalised_difference(first: Array, second: Array) -> NDArray[np.float32]:
    """(first - second) / (first + second) of reflectances; float32 in [-1, 1], any shape.

    NaN where a band is NaN, and where the sum is not positive: an offset can make dark surfaces
    negative, and their quotient means nothing. Quotients beyond ±1 (one band negative) are clipped.
    """
    total = np.add(first, second, dtype="float32")
    result: NDArray[np.float32] = np.subtract(first, second, dtype="float32")
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(result, total, out=result)
    # A NaN sum has made the quotient NaN already; where nothing is left to do, nothing is written:
    # 0.7 ns a pixel instead of 2.7 where a third of them is masked.
    undefined = total <= 0
    if undefined.any():
        result[undefined] = np.nan
    return result.clip(-1, 1, out=result)


def ndvi_of(red: Array, nir: Array) -> NDArray[np.float32]:
    """NDVI of reflectances, Rouse et al. (1974): :func:`normalised_difference` of nir and red."""
    return normalised_difference(nir, red)


def physical(values: Array, scale: float, offset: float, nodata: float | None) -> Array:
    """Stored integers as float32 in physical units, NaN where there is no data."""
    if values.dtype.kind == "f":
        return values
    result = values.astype("float32")
    if scale != 1.0:
        result *= np.float32(scale)
    if offset:
        result += np.float32(offset)
    if nodata is not None:
        # 0.0 would be compared in float64; a nodata with a fraction, or NaN, equals no integer.
        stored = int(nodata) if float(nodata).is_integer() else nodata
        result[values == stored] = np.nan
    return result


@checked
def index(ds: xr.Dataset, what: str | Index, **names: str) -> xr.DataArray:
    """A spectral index of a dataset, lazily.

    Parameters
    ----------
    ds
        What :func:`rsdat.load` gave, masked or not, reflectances or stored integers.
    what
        A name (``ndvi``, ``evi``, … see :data:`INDICES`) or a formula of variables, as
        :meth:`rsdat.raster.formula.Formula.parse` takes it.
    **names
        Variables that are called otherwise than the index calls its bands: ``nir="B08"``.

    Returns
    -------
    DataArray, float32, NaN where there is no data or no value; a normalised difference lies in
    [-1, 1]. Named like the index; ``index`` where it is a formula, which the attributes tell.

    Raises
    ------
    ConfigError
        When the index is not known, the formula is wrong, or the dataset lacks a variable.
    """
    import xarray as xr

    wanted = find_index(what)
    variables = {band: names.get(band, band) for band in wanted.bands}
    _check_variables(ds, wanted, variables, names)
    result: xr.DataArray = xr.apply_ufunc(
        _evaluated,
        *(ds[name] for name in variables.values()),
        kwargs={
            "what": wanted,
            "numbers": [numbers_of(ds[name]) for name in variables.values()],
        },
        dask="parallelized",
        output_dtypes=["float32"],
        keep_attrs="override",  # those of the coordinates hold the CRS
    )
    known = wanted.name in INDICES
    # All of them: a scale of the bands left there would be taken for the index's.
    result.attrs = {
        "long_name": wanted.name.upper() if known else wanted.name,
        "formula": wanted.formula.text,
        "units": "1",
        "nodata": float("nan"),
        "grid_mapping": "spatial_ref",
    }
    return result.rename(wanted.name if known else "index")


@checked
def ndvi(ds: xr.Dataset, red: str = "red", nir: str = "nir") -> xr.DataArray:
    """Normalised difference vegetation index of a dataset, lazily: ``index(ds, "ndvi")``.

    Parameters
    ----------
    ds
        What :func:`rsdat.load` gave, masked or not, reflectances or stored integers.
    red, nir
        Names of the two variables.

    Returns
    -------
    DataArray, float32 in [-1, 1], NaN where there is no data; named ``ndvi``.
    """
    return index(ds, "ndvi", red=red, nir=nir)


def _check_variables(
    ds: xr.Dataset, wanted: Index, variables: Mapping[str, str], names: Mapping[str, str]
) -> None:
    unknown = [name for name in names if name not in wanted.bands]
    if unknown:
        raise ConfigError(
            f"index {wanted.name} has no band {unknown[0]!r}", hint=f"it has {wanted.bands}"
        )
    missing = [name for name in variables.values() if name not in ds]
    if missing:
        example = ", ".join(f"{band}=…" for band in wanted.bands)
        raise ConfigError(
            f"the dataset has no variable {missing[0]!r}; it has "
            f"{', '.join(map(str, ds.data_vars)) or '(none)'}",
            hint=f"load it as well, or say which variables are meant: {example}",
        )


def numbers_of(variable: xr.DataArray) -> tuple[float, float, float | None]:
    """Scale, offset and nodata of a variable of stored integers."""
    attributes = variable.attrs
    return (
        float(attributes.get("scale", 1.0)),
        float(attributes.get("offset", 0.0)),
        attributes.get("nodata"),
    )


def _evaluated(*planes: Array, what: Index, numbers: Any) -> NDArray[np.float32]:
    return what.evaluate(
        {
            band: physical(plane, *calibration)
            for band, plane, calibration in zip(what.bands, planes, numbers, strict=True)
        }
    )
