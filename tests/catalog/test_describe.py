"""The STAC item beside a result: valid by STAC's own schema, and true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation.local_validator import LocalValidator

from rsdat.catalog import describe_result, make_sample_catalog, search


def image(path: Path, scale: float) -> Path:
    transform = rasterio.transform.from_origin(680_000, 5_800_000, 10, 10)
    profile = {"driver": "GTiff", "count": 1, "height": 8, "width": 8, "dtype": "int16"}
    with rasterio.open(
        path, "w", crs="EPSG:32631", transform=transform, nodata=-32768, **profile
    ) as opened:
        opened.write(np.zeros((1, 8, 8), "int16"))
        opened.scales = (scale,)
        opened.descriptions = ("ndvi",)
    return path


@pytest.mark.filterwarnings("ignore:.*LocalValidator.*:DeprecationWarning")
@pytest.mark.parametrize("scale", [1.0, 0.0001])
def test_the_item_is_valid_and_declares_the_extensions_it_uses(tmp_path: Path, scale: float):
    inputs = search(make_sample_catalog(tmp_path / "sample", size=64))
    path = image(tmp_path / "out.tif", scale)
    item = describe_result(path, inputs, {"index": "ndvi", "bbox": (5.6, 52.2, 5.7, 52.3)})
    content = json.loads(item.read_text())
    assert list(LocalValidator().item_validator().iter_errors(content)) == []
    declared = " ".join(content["stac_extensions"])
    for prefix, name in (("raster:", "/raster/"), ("proj:", "/projection/")):
        assert (f'"{prefix}' in item.read_text()) == (name in declared)
    assert content["properties"]["start_datetime"].startswith("2025-05-14")
    assert content["properties"]["end_datetime"].startswith("2025-07-28")


def test_it_is_a_catalog_entry_that_loads_again(tmp_path: Path):
    inputs = search(make_sample_catalog(tmp_path / "sample", size=64), limit=1)
    item = describe_result(image(tmp_path / "out.tif", 0.0001), inputs, {"index": "ndvi"})
    again = pystac.Item.from_file(str(item))
    assert again.datetime == inputs[0].datetime
    assert Path(again.assets["data"].get_absolute_href() or "") == tmp_path / "out.tif"
