"""STAC catalogs: open, search, make, copy, describe; and a sample catalog to try things on."""

from rsdat.catalog.assets import open_asset
from rsdat.catalog.copying import CopyReport, copy_catalog
from rsdat.catalog.describe import describe_result
from rsdat.catalog.making import make_catalog
from rsdat.catalog.opening import open_catalog
from rsdat.catalog.sample import make_sample_catalog
from rsdat.catalog.searching import search

__all__ = [
    "CopyReport",
    "copy_catalog",
    "describe_result",
    "make_catalog",
    "make_sample_catalog",
    "open_asset",
    "open_catalog",
    "search",
]
