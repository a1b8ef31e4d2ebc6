"""``get_asset``: rasters as xarray, text as text, others as bytes; and what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr

from rsdat import get_asset
from rsdat.catalog import open_asset
from rsdat.errors import ConfigError, DataError
from tests.catalog.catalogs import item, raster
from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, ends, short_clock

__all__ = ["ends", "person", "short_clock"]


def with_assets(**assets: dict[str, Any]) -> pystac.Item:
    return pystac.Item.from_dict({**item("scene"), "assets": assets})


def test_a_raster_is_lazy_and_as_it_is_stored(tmp_path: Path) -> None:
    file = raster(tmp_path / "a.tif", count=2, descriptions=("red", "nir"), scale=(0.1, -1))
    found = get_asset(with_assets(data={"href": str(file)}), "data", chunks=10)
    assert isinstance(found, xr.DataArray)
    assert found.dims == ("band", "y", "x")
    assert found.shape == (2, 16, 32)
    assert found.chunks == ((2,), (10, 6), (10, 10, 10, 2))
    assert found.dtype == np.uint16
    assert list(found["band"].values) == ["red", "nir"]
    assert (found.attrs["nodata"], found.attrs["scale"], found.attrs["offset"]) == (0, 0.1, -1)
    assert found.odc.crs.epsg == 32631
    file.unlink()
    with pytest.raises(DataError, match=r"scene.*data.*a\.tif"):
        found.compute()


@pytest.mark.parametrize("scheme", ["dcache", "https"])
def test_a_raster_at_a_door_is_read_with_its_credential(
    scheme: str, ends: Ends, tmp_path: Path
) -> None:
    data = raster(tmp_path / "a.tif").read_bytes()
    href = ends.url(scheme, "a.tif")
    ends.write(href, data)
    found = get_asset(with_assets(red={"href": href}), "red")
    assert int(found.sum()) == 32 * 16


def test_text_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<é/>")
    (tmp_path / "m.bin").write_bytes(b"\x00\x01")
    (tmp_path / "m").write_text("{}")
    found = with_assets(
        xml={"href": str(tmp_path / "m.xml")},
        data={"href": str(tmp_path / "m.bin")},
        json={"href": str(tmp_path / "m"), "type": "application/json"},
        png={"href": str(tmp_path / "m.xml"), "type": "image/png"},
    )
    assert get_asset(found, "xml") == "<é/>"
    assert get_asset(found, "data") == b"\x00\x01"
    assert get_asset(found, "json") == "{}"
    assert get_asset(found, "png") == "<é/>".encode()
    with open_asset(found, "data") as stream:
        assert stream.read(1) == b"\x00"


def test_zarr_here_and_at_a_door(ends: Ends) -> None:
    data = xr.Dataset({"red": (("y", "x"), np.arange(6).reshape(2, 3))})
    place = ends.url("local", "a.zarr")
    data.to_zarr(place, zarr_format=3, consolidated=False)
    for file in Path(place).rglob("*"):
        if file.is_file():
            ends.write(ends.url("dcache", f"a.zarr/{file.relative_to(place)}"), file.read_bytes())
    for href in (place, ends.url("dcache", "a.zarr")):
        found = get_asset(with_assets(cube={"href": href}), "cube")
        assert found["red"].chunks is not None
        assert int(found["red"].sum()) == 15


def test_an_unknown_key_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="item scene has no asset 'blue'") as caught:
        get_asset(with_assets(red={"href": "x"}, nir={"href": "y"}), "blue")
    assert caught.value.hint == "it has nir, red"


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("/nowhere/a.txt", "does not exist"),
        ("./a.txt", "relative href"),
        ("/nowhere/a.bin", "exist"),
    ],
)
def test_what_is_not_there_is_told_with_item_and_asset(href: str, words: str) -> None:
    with pytest.raises(DataError, match=f"item scene.*asset meta.*{words}"):
        get_asset(with_assets(meta={"href": href}), "meta")


def test_parts_of_a_raster_are_a_number(tmp_path: Path) -> None:
    found = with_assets(red={"href": str(raster(tmp_path / "a.tif"))})
    with pytest.raises(ConfigError, match="chunks"):
        get_asset(found, "red", chunks="auto")


def test_netcdf_without_a_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_dataset(*_: Any, **__: Any) -> Any:
        raise ValueError("unrecognized engine 'h5netcdf' must be one of your download engines")

    monkeypatch.setattr(xr, "open_dataset", open_dataset)
    (tmp_path / "a.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match="cannot be read") as caught:
        get_asset(with_assets(cube={"href": str(tmp_path / "a.nc")}), "cube")
    assert "h5netcdf" in str(caught.value.hint)
