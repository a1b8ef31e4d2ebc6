"""Clients of others understand the door: it is not only right by this project's own reading."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from tests.dcache.door import Door
from tests.servers.programs import require

NAMES = ["a b#é.txt", "日本%25?.txt", "q&a+.txt"]


def test_rclone_copies_from_and_to_the_door(door: Door, tmp_path: Path) -> None:
    program = require("rclone", "rclone")
    for name in NAMES:
        door.put(f"/d/{name}", name.encode())
    login = ["--webdav-url", door.webdav, "--webdav-bearer-token", door.token]
    for source, target in ((":webdav:d", str(tmp_path)), (str(tmp_path), ":webdav:e/f")):
        argv = [program, "copy", source, target, *login, "--config", "/dev/null"]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(NAMES)
    assert [door.read(f"/e/f/{name}") for name in NAMES] == [name.encode() for name in NAMES]
    assert not any(request.authorized for request in door.requests("pool"))


def test_gdal_reads_ranges_through_the_redirect(door: Door) -> None:
    pixels = np.arange(512 * 512, dtype="uint32").reshape(1, 512, 512)
    profile = {
        "driver": "GTiff",
        "width": 512,
        "height": 512,
        "count": 1,
        "dtype": "uint32",
        "transform": from_origin(0, 0, 10, 10),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as image:
            image.write(pixels)
        door.put("/d/a b+é.tif", memory.read())
    address = "/vsicurl/" + door.webdav + quote("/d/a b+é.tif")
    login = f"Authorization: Bearer {door.token}"
    settings = {
        "GDAL_HTTP_HEADERS": login,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        # By default the header follows a redirect to the same host.
        "CPL_VSIL_CURL_AUTHORIZATION_HEADER_ALLOWED_IF_REDIRECT": "NO",
    }
    with rasterio.Env(**settings):  # noqa: SIM117
        with rasterio.open(address) as image:
            assert (image.read() == pixels).all()
    served = door.requests("pool")
    assert {request.status for request in served} == {206}
    assert not any(request.authorized for request in served)
