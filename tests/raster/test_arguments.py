"""What is public says what is wrong with an argument, and what to give instead."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import rsdat
from rsdat import chain
from rsdat.errors import ConfigError, RsdatError
from rsdat.raster.chains import Chain


def of_chain(name):
    return lambda items, value: getattr(chain(items, ["red", "nir"]), name)(value)


#: Called with items and what is wrong.
DOORS = {
    **{
        f"chain.{name}": of_chain(name)
        for name in (
            *("index", "composite", "mask_clouds", "apply", "clip", "mosaic", "evaluate"),
            *("to_xarray", "to_cog", "to_zarr", "preview", "profile", "water_mask"),
        )
    },
    "chain": lambda items, value: chain(items, value),
    "load": lambda items, value: rsdat.load(items, value),
    "index": lambda items, value: rsdat.index(value, "ndvi"),
    "index of": lambda items, value: rsdat.index(rsdat.load(items, ["red", "nir"]), value),
    "ndvi": lambda items, value: rsdat.ndvi(value),
    "mask_clouds": lambda items, value: rsdat.mask_clouds(value),
    "composite": lambda items, value: rsdat.composite(value),
    "get_asset": lambda items, value: rsdat.get_asset(value, "red"),
    "write_cog": lambda items, value: rsdat.write_cog(value, "out.tif"),
    "write_zarr": lambda items, value: rsdat.write_zarr(value, "out.zarr"),
    "open_catalog": lambda items, value: rsdat.open_catalog(value),
    "search": lambda items, value: rsdat.search(value),
    "search in": lambda items, value: rsdat.search(items[0], geometry=value),
    "make_catalog": lambda items, value: rsdat.make_catalog(value, "catalog"),
    "copy_catalog": lambda items, value: rsdat.copy_catalog(value, "copy"),
    "client": lambda items, value: rsdat.client(value),
    "get_cluster": lambda items, value: rsdat.get_cluster(value),
}

#: Those that take None.
OPTIONAL = (
    *("chain.mask_clouds", "chain.evaluate", "chain.to_xarray", "chain.water_mask"),
    *("search in", "client", "get_cluster"),
)
WRONG = [
    (door, wrong)
    for door in DOORS
    for wrong in (None, 5.5, object(), [object()])
    if wrong is not None or door not in OPTIONAL
]


@pytest.mark.parametrize(
    ("door", "wrong"), WRONG, ids=[f"{door}-{type(wrong).__name__}" for door, wrong in WRONG]
)
def test_another_kind_of_argument_is_refused(sentinel2, tmp_path, monkeypatch, door, wrong):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RsdatError) as caught:
        DOORS[door](sentinel2(dates=1), wrong)
    assert caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("call", "said", "hint"),
    [
        (lambda c: c.index(None), "None is no index", "ndvi"),
        (lambda c: c.composite(None), "composite: method=None is not a text", "'median'"),
        (lambda c: c.mask_clouds(5.5), "mask_clouds: band=5.5 is not a text or None", "a text"),
        (lambda c: c.mosaic("x"), "the period 'x' is not known", "solar_day"),
        (lambda c: c.apply(None), "None is no function", "numpy array"),
        (lambda c: c.apply(np.abs, halo="2"), "halo '2' is no number of pixels", "0, 1, 2"),
        (lambda c: c.to_cog("a.tif", tile=2.5), "tile=2.5 is not a whole number", "list"),
        (lambda c: c.explain(client="x"), "client='x' is not a Dask client", "a Dask client"),
    ],
)
def test_what_is_said(sentinel2, call, said, hint):
    with pytest.raises(ConfigError, match=said) as caught:
        call(chain(sentinel2(dates=1), ["red"]))
    assert hint in caught.value.hint


def test_all_that_is_public_checks_its_arguments():
    methods = [
        method
        for name, method in inspect.getmembers(Chain, inspect.isfunction)
        if not name.startswith("_") and name not in ("words", "then")
    ]
    functions = [getattr(rsdat, name) for name in rsdat.__all__]
    assert [one.__name__ for one in (*methods, *functions) if not hasattr(one, "__wrapped__")] == []
