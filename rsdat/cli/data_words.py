"""Words of the `rsdat data` commands: sizes, dates, failures, and the bar of what is copied."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rsdat.storage.transfer_listing import Entry
    from rsdat.storage.transfer_many import Failed, Progress


def named(value: Any) -> Any:
    """Names as they were typed. An empty one, of a variable that is not set, is refused.

    It would mean the directory that we are in.
    """
    if value == "" or (isinstance(value, list | tuple) and "" in value):
        raise typer.BadParameter("a name is empty")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Directories with all that is below them.")
]
Urls = Annotated[
    list[str],
    typer.Argument(metavar="URL", help="Files, directories, patterns.", callback=named),
]

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


def period_of(text: str, option: str) -> timedelta:
    """A duration as people write it, or the part of ISO 8601 that has no months.

    Raises
    ------
    ConfigError
        It is none.
    """
    import re

    from rsdat.config.units import parse_walltime
    from rsdat.errors import ConfigError

    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", text.upper())
    if match and any(match.groups()):
        days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    try:
        return parse_walltime(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no duration", hint="as PT12H, P7D, 12h or 7d"
        ) from None


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


#: Told how much is done, from 0 to 1 (None: nobody knows yet), and that in words.
Show = Callable[[float | None, str], None]


@contextmanager
def bar(begin: str, *, silent: bool = False) -> Iterator[Show | None]:
    """A bar with words on stderr, on one line however narrow; None where that is no terminal.

    Parameters
    ----------
    begin
        The words as long as nothing is known.
    """
    if silent or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as parts
    from rich.console import Console
    from rich.table import Column

    line = Column(no_wrap=True, overflow="ellipsis")
    columns = (
        parts.BarColumn(bar_width=None, table_column=Column(ratio=1)),
        parts.TextColumn("{task.description}", markup=False, table_column=line),
    )
    with parts.Progress(
        *columns, console=Console(stderr=True), transient=True, expand=True
    ) as bars:
        task = bars.add_task(begin, total=None)

        def show(share: float | None, words: str) -> None:
            total = None if share is None else 1.0
            bars.update(task, completed=share or 0.0, total=total, description=words)

        yield show


@contextmanager
def copying(*, silent: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """The bar of copies: files, bytes, throughput and time left, failures."""
    with bar("looking what there is to do", silent=silent) as show:
        if show is None:
            yield None
            return
        began: float | None = None

        def tell(now: Progress) -> None:
            nonlocal began
            began = began or time.monotonic()  # what was looked at before is no part of it
            show(*progress_words(now, time.monotonic() - began))

        yield tell


def progress_words(now: Progress, seconds: float) -> tuple[float | None, str]:
    """How far copies are, from 0 to 1, and in words: the first ones count most.

    Parameters
    ----------
    seconds
        Since they began.
    """
    words = [f"{now.files} of {now.total_files} files"]
    words += [f"{now.failed} failed"] if now.failed else []
    if not now.total_bytes:
        share = now.files / now.total_files if now.total_files else None
        return share, ", ".join([*words, size(now.nbytes)])
    words.append(f"{size(now.nbytes)} of {size(now.total_bytes)}")
    if now.nbytes and seconds >= 0.5:  # the first moment tells nothing yet
        left = round((now.total_bytes - now.nbytes) / now.nbytes * seconds)
        words += [f"{size(round(now.nbytes / seconds))}/s", f"{timedelta(seconds=left)} left"]
    return now.nbytes / now.total_bytes, ", ".join(words)
