"""Uploads of unknown size for doors that take none: kept on a local disk until the size is known.

XRootD loses its place in an upload that comes in chunks: it looks for their headers beyond what has
arrived, and answers 400 to data that is right (seen with 5.5, where two of three files of 40 MB
failed; https://github.com/xrootd/xrootd/pull/2102). With a size announced it takes everything.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import FileIO
from typing import Any

from rsdat.storage.dcache.checksums import Buffer
from rsdat.storage.dcache.errors import DoorError
from rsdat.storage.dcache.writing import LocalFile, Source


class Spooled(LocalFile):
    """An open file without a name, which can be sent again like any other."""

    def __init__(self, file: Any, path: str, names: tuple[str, ...]) -> None:
        self._file = file
        super().__init__(path, names, size=os.fstat(file.fileno()).st_size)

    def _open(self) -> FileIO:
        self._file.seek(0)
        return open(os.dup(self._file.fileno()), "rb", buffering=0)


@asynccontextmanager
async def spooled(source: Source, path: str, names: tuple[str, ...]) -> AsyncIterator[Source]:
    """Everything that a source has, in a file without a name that is gone at the end.

    Parameters
    ----------
    path
        The upload's target, for messages.
    names
        The checksums to compute.

    Raises
    ------
    DoorError
        The disk is full, or cannot be written.
    """
    try:
        file = tempfile.TemporaryFile(prefix="rsdat-", buffering=0)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _unkept(path, error) from error
    with file:
        async for block in source.blocks():
            writing = asyncio.ensure_future(asyncio.to_thread(_write, file.fileno(), block))
            try:
                await asyncio.shield(writing)
            except OSError as error:
                raise _unkept(path, error) from error
            finally:
                # The file may be closed only when nobody writes it.
                if not writing.done():
                    await asyncio.wait({writing})
        yield Spooled(file, path, names)


def _write(descriptor: int, block: Buffer) -> None:
    rest = memoryview(block).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _unkept(path: str, error: OSError) -> DoorError:
    directory = tempfile.tempdir or "a temporary directory"
    return DoorError(
        f"cannot keep {path} in {directory} until its size is known, which its door wants to be "
        f"told before the data: {error.strerror}",
        hint="open the file with size=…, or set TMPDIR to a directory with more room",
        path=path,
        code=error.errno,
    )
