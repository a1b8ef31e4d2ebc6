"""The bar of a copy of many files: bytes, files and throughput, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsdat.storage.transfer_many import Progress


@contextmanager
def copy_bar(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """What :func:`~rsdat.storage.transfer_many.copy_many` may tell its progress to.

    None where nobody looks: for scripts, and where stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.fields[files]}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, files="")

        def show(now: Progress) -> None:
            files = f"{now.files}/{now.total_files} files"
            files += f", {now.failed} failed" if now.failed else ""
            bars.update(task, completed=now.nbytes, total=now.total_bytes, files=files)

        yield show
