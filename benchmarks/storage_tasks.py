"""What `benchmarks/storage.py` times, run in a fresh interpreter for each figure.

``storage_tasks.py TASK LIBRARY`` reads its options as JSON from the standard input and prints a
line of JSON: seconds by name, and the process's peak of memory. Nothing of rsdat is imported for
the other library.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

BLOCK = 4 << 20
RANGE = 512 * 1000
MEMORY = 256 << 20


def filesystem(library: str, options: dict[str, Any]) -> Any:
    """The filesystem of a library on the benchmark's door."""
    if library == "dcachefs":
        from dcachefs import dCacheFileSystem

        return dCacheFileSystem(
            api_url=options["api"], webdav_url=options["webdav"], token=options["token"]
        )
    from rsdat.storage.dcache import DCacheFileSystem

    return DCacheFileSystem(
        webdav=options["webdav"], api=options["api"], token_file=options["token_file"]
    )


seconds: dict[str, float] = {}


@contextmanager
def timed(name: str) -> Any:
    """Note how long a block took."""
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def write(fs: Any, options: dict[str, Any]) -> None:
    """A file that is written block by block."""
    data = os.urandom(BLOCK)
    with timed("write"), fs.open("/up/w", "wb") as stream:
        for _ in range(options["size"] // BLOCK):
            stream.write(data)


def put(fs: Any, options: dict[str, Any]) -> None:
    """A file of this machine."""
    with timed("put"):
        fs.put_file(options["file"], "/up/p")


def files(fs: Any, options: dict[str, Any]) -> None:
    """A thousand small files: listed, asked about one by one and at one time, removed."""
    with timed("ls"):
        names = fs.ls("/files", detail=False)
    assert len(names) == 1000, len(names)
    with timed("info, one after the other"):
        found = [fs.info(name) for name in names]
    assert [one["name"] for one in found] == names
    # What was remembered has ended, so that the next figure stands for itself.
    time.sleep(1.5)
    options["between"]()

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(fs._info(name) for name in names))

    with timed("info, at one time"):
        asyncio.run_coroutine_threadsafe(all_of_them(), fs.loop).result()
    options["between"]()
    with timed("rm -r"):
        fs.rm("/files", recursive=True)


def ranges(fs: Any, options: dict[str, Any]) -> None:
    """A hundred ranges of one file: by one call, in threads, alone, through an open file."""
    chosen = random.Random(1)
    starts = [chosen.randrange(options["cog"] - RANGE) for _ in range(100)]
    # A machine may take longer to give a page for the first time than a transfer to fill it.
    bytearray(b"\1") * MEMORY

    def read(start: int) -> bytes:
        return bytes(fs.cat_file("/cog", start, start + RANGE))

    def check(found: list[bytes]) -> None:
        assert [len(one) for one in found] == [RANGE] * 100
        options["between"]()

    with timed("cat_ranges, at first"):
        found = fs.cat_ranges(["/cog"] * 100, starts, [start + RANGE for start in starts])
    check(found)
    with timed("cat_ranges, again"):
        found = fs.cat_ranges(["/cog"] * 100, starts, [start + RANGE for start in starts])
    check(found)
    with timed("cat_file in 16 threads"), ThreadPoolExecutor(16) as pool:
        found = list(pool.map(read, starts))
    check(found)
    with timed("cat_file one after the other"):
        found = [read(start) for start in starts]
    check(found)
    with timed("seek and read of an open file"), fs.open("/cog") as file:
        found = [file.seek(start) and file.read(RANGE) for start in starts]
    assert [len(one) for one in found] == [RANGE] * 100


def zarr(fs: Any, options: dict[str, Any]) -> None:
    """An array of 2 × 2 chunks, written and read."""
    import numpy as np
    import xarray as xr

    array = xr.DataArray(np.arange(10_000.0).reshape(100, 100), dims=("y", "x"), name="a")
    chunks = {"a": {"chunks": (50, 50)}}
    with timed("zarr write"):
        array.to_dataset().to_zarr(fs.get_mapper("/z/a.zarr"), mode="w", encoding=chunks)
    options["between"]()
    with timed("zarr read"):
        # Without Dask, which only one of the environments has.
        back = xr.open_zarr(fs.get_mapper("/z/a.zarr"), chunks=None).a.values
    assert np.array_equal(back, array.values)


def main() -> None:
    """Run one task."""
    task, library = sys.argv[1:3]
    options = json.loads(sys.stdin.readline())
    # What the door has logged until now is asked for by who runs this.
    options["between"] = lambda: (print(json.dumps("between"), flush=True), sys.stdin.readline())
    os.chdir(tempfile.gettempdir())
    fs = filesystem(library, options)
    fs.exists("/")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    globals()[task](fs, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak": peak * 1024, "before": before * 1024}))


if __name__ == "__main__":
    main()
