"""Words of the `rsdat data` commands: sizes, dates, failures, and the bar of what is copied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rsdat.storage.transfer_listing import Entry
    from rsdat.storage.transfer_many import Failed, Progress

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Directories with all that is below them.")
]
Urls = Annotated[list[str], typer.Argument(metavar="URL", help="Files, directories, patterns.")]

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(nbytes: int | None) -> str:
    """A number of bytes with three digits, in powers of 1000; ``-`` if it is not known."""
    if nbytes is None:
        return "-"
    value, unit = float(nbytes), UNITS[0]
    for unit in UNITS:
        if value < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def date(seconds: float | None) -> str:
    """A time here, to the minute; ``-`` if it is not known."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def entry_json(entry: Entry) -> dict[str, Any]:
    """A file or directory for scripts."""
    from rsdat.storage import shown

    return {
        "url": shown(entry.url),
        "kind": entry.kind,
        "bytes": entry.nbytes,
        "modified": entry.mtime,
        "locality": entry.locality,
    }


def print_failures(failed: Sequence[Failed], what: str) -> None:
    """Say on stderr what was not done, and why."""
    for one in failed:
        print(f"rsdat: {one.error.message}", file=sys.stderr)
        if one.error.hint:
            print(f"  → {one.error.hint}", file=sys.stderr)
    if len(failed) > 1:
        print(f"rsdat: {len(failed)} files were not {what}", file=sys.stderr)


@contextmanager
def bar(unit: str, *, silent: bool = False) -> Iterator[Callable[[int, int, str], None] | None]:
    """A progress bar on stderr, in bytes or in a unit; None where that is no terminal."""
    if silent or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as parts
    from rich.console import Console

    amounts: list[Any] = [parts.MofNCompleteColumn(), parts.TextColumn(unit)]
    if unit == "bytes":
        amounts = [parts.DownloadColumn(), parts.TransferSpeedColumn()]
    columns = (
        *(parts.BarColumn(), *amounts, parts.TimeRemainingColumn()),
        parts.TextColumn("{task.description}", markup=False),
    )
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)

        def show(done: int, total: int, words: str) -> None:
            bars.update(task, completed=done, total=total, description=words)

        yield show


@contextmanager
def copying(*, silent: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """The bar of copies: bytes, files, failures."""
    with bar("bytes", silent=silent) as show:
        if show is None:
            yield None
            return

        def tell(now: Progress) -> None:
            bad = f", {now.failed} failed" if now.failed else ""
            words = f"{now.files} of {now.total_files} files{bad}"
            show(now.nbytes, now.total_bytes, words)

        yield tell
