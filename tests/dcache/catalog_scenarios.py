"""What a user of a STAC library does with catalogs at a door, written once for every library.

Run by ``run_scenarios.py``; nothing of the tests is imported here.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

Options = dict[str, Any]


class Stac2dcache:
    """The release's documented way: normalise the links, copy asset by asset, save."""

    def __init__(self, options: Options) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import stac2dcache
        from dcachefs import dCacheFileSystem
        from stac2dcache import utils

        # Its processes would each start an interpreter; what they run is the same in threads.
        utils.ProcessPoolExecutor = lambda max_workers, mp_context: ThreadPoolExecutor(1)
        self._utils = utils
        self._door = dCacheFileSystem(
            api_url=options["api"],
            webdav_url=options["webdav"],
            token=options["token"],
            block_size=0,
            skip_instance_cache=True,
        )
        self._io = stac2dcache.configure_stac_io(self._door)

    def copy(self, source: str, target: str, assets: list[str], **more: Any) -> None:
        import fsspec

        catalog = self._open(source)
        catalog.normalize_hrefs(target)
        places = [
            self._door if address.startswith("dcache:") else fsspec.filesystem("file")
            for address in (source, target)
        ]
        self._utils.copy_asset(
            catalog,
            assets[0] if len(assets) == 1 else assets,
            update_catalog=True,
            filesystem_from=places[0],
            filesystem_to=places[1],
            **more,
        )
        catalog.save("SELF_CONTAINED", stac_io=self._io_of(target))

    def workers(self) -> Any:
        return nullcontext()

    def asset(self, source: str, item: str, key: str) -> Any:
        return self._utils.get_asset(self._open(source), key, item, filesystem=self._door)

    def _open(self, address: str) -> Any:
        import pystac

        return pystac.Catalog.from_file(address, stac_io=self._io_of(address))

    def _io_of(self, address: str) -> Any:
        from pystac.stac_io import DefaultStacIO

        return self._io if address.startswith("dcache:") else DefaultStacIO()


class Rsdat:
    """Our own; the token's file is named by the configuration."""

    def __init__(self, options: Options) -> None:
        os.environ["RSDAT_CONFIG_DIR"] = options["configuration"]

    def copy(self, source: str, target: str, assets: list[str], **more: Any) -> None:
        import rsdat

        rsdat.copy_catalog(source, target, assets=assets, **more)

    def workers(self) -> Any:
        from distributed import Client

        return Client(
            processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
        )

    def asset(self, source: str, item: str, key: str) -> Any:
        import rsdat

        return rsdat.get_asset(rsdat.search(source, ids=item)[0], key)


LIBRARIES = {"stac2dcache": Stac2dcache, "rsdat": Rsdat}


def a_catalog_is_copied(library: Any, options: Options) -> None:
    library.copy(options["source"], options["target"], ["red"])


def two_assets_are_copied_at_once(library: Any, options: Options) -> None:
    library.copy(options["source"], options["target"], ["red", "nir"])


def a_catalog_is_copied_twice(library: Any, options: Options) -> None:
    for _ in range(2):
        library.copy(options["source"], options["target"], ["red"])


def a_catalog_is_copied_onto_itself(library: Any, options: Options) -> None:
    with tempfile.TemporaryDirectory() as directory:
        library.copy(options["source"], directory, ["red"])
        library.copy(f"{directory}/catalog.json", directory, ["red"])
        sizes = {file.stat().st_size for file in Path(directory).rglob("*.tif")}
        assert sizes == {4000}, f"sizes are {sizes}"


def nothing_half_written_remains(library: Any, options: Options) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            library.copy(options["source"], directory, ["red"])
        except Exception as error:
            print(error)
        sizes = {file.stat().st_size for file in Path(directory).rglob("*.tif")}
        assert sizes <= {4000}, f"sizes are {sizes}"


def a_broken_download_is_gone_on_with(library: Any, options: Options) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(2):
            try:
                library.copy(options["source"], directory, ["red"])
            except Exception as error:
                print(error)


def dask_workers_copy(library: Any, options: Options) -> None:
    with library.workers() as client:
        library.copy(options["source"], options["target"], ["red"], client=client)


def a_raster_is_opened(library: Any, options: Options) -> None:
    assert library.asset(options["source"], "i0", "red").shape == (1, 1024, 1024)


def an_unknown_item_is_named(library: Any, options: Options) -> None:
    message = "no error"
    try:
        library.asset(options["source"], "unknown-item", "red")
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    assert "unknown-item" in message, message


def pystac_reads_as_before(library: Any, options: Options) -> None:
    from pystac.stac_io import StacIO

    name = type(StacIO.default()).__module__
    assert name.startswith("pystac."), f"pystac's default is now of {name}"
