"""Zarr stores at servers: written, gone on with and read with what ``credentials`` says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr

from rsdat import chain
from rsdat.errors import ConfigError, RsdatError
from rsdat.raster.writers.zarr import write_image
from rsdat.storage import read_text, storage_options
from tests.raster.writers.test_zarr import Recorded, image, numbers
from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, all_ends, ends, short_clock

__all__ = ["all_ends", "ends", "person", "short_clock"]

LAYOUT = {"chunk": 16, "shard": 32}


@pytest.mark.parametrize("protocol", ["s3", "dcache", "davs"])
def test_a_store_is_gone_on_with_and_read(all_ends: Ends, protocol: str) -> None:
    address, values = all_ends.url(protocol, "out.zarr"), numbers((1, 96, 64))

    def stop(progress: Any) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(image(values), address, progress=stop, **LAYOUT)
    whole = Recorded(values)
    written = write_image(image(values, pixels=whole), address, **LAYOUT)
    assert len(whole.asked) == written.tiles - written.kept == 1
    options = storage_options(address)
    for group, expected in (("0", values), ("2", values[:, ::4, ::4])):
        with xr.open_zarr(
            address, group=group, storage_options=options, mask_and_scale=False
        ) as ds:
            pixels = ds[next(name for name in ds.data_vars if name != "spatial_ref")].values
        np.testing.assert_array_equal(pixels, expected[0])
    with pytest.raises(ConfigError, match="already"):
        write_image(image(values + 1, token="other"), address, **LAYOUT)
    place = [one for one in all_ends.door.paths("/") if ".parts" in one]
    assert place == []


def test_a_chain_writes_its_store_and_its_item(all_ends: Ends, sentinel2: Any) -> None:
    address = all_ends.url("s3", "ndvi.zarr")
    made = chain(sentinel2(), ["red", "nir"]).index("ndvi").composite("max")
    made.to_zarr(address, dtype="int16")
    item = pystac.Item.from_dict(json.loads(read_text(all_ends.url("s3", "ndvi.zarr.json"))))
    assert "rsdat:chain" in item.properties
    with xr.open_zarr(address, group="0", storage_options=storage_options(address)) as ds:
        np.testing.assert_allclose(ds.ndvi.values, made.evaluate().squeeze(), atol=1e-4)


def test_what_refuses_says_so_in_its_own_words(all_ends: Ends) -> None:
    values = numbers((1, 32, 32))
    for protocol in ("sftp", "https"):
        with pytest.raises(ConfigError, match=f"not written over {protocol}"):
            write_image(image(values), all_ends.url(protocol, "x.zarr"))
    all_ends.door.allow("read-only", ["DOWNLOAD", "READ_METADATA", "LIST"])
    (all_ends.home / "token").write_text("read-only")
    with pytest.raises(PermissionError, match="credential") as caught:
        write_image(image(values), all_ends.url("dcache", "x.zarr"))
    assert isinstance(caught.value, RsdatError)
    (all_ends.home / "token").unlink()
    with pytest.raises(PermissionError, match="~/token does not exist") as caught:
        write_image(image(values), all_ends.url("davs", "x.zarr"))
    assert "mode 0600" in str(getattr(caught.value, "hint", ""))
