"""The `rsdat data` commands that look: ls, cat, du, locality."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rsdat.cli.data_words import Json, Recursive, Urls

if TYPE_CHECKING:
    from rsdat.storage.transfer_listing import Entry


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (ls, cat, du, locality):
        app.command()(command)


def ls(
    urls: Urls,
    long: Annotated[
        bool, typer.Option("--long", "-l", help="Sizes, times, and where dCache has the data.")
    ] = False,
    recursive: Recursive = False,
    as_json: Json = False,
) -> None:
    """List files and directories.

    Quote patterns, so that the shell leaves them alone: 'dcache://door/data/2024*/*.tif'. A name
    that exists is that name, whatever signs are in it.
    """
    from rsdat.cli.data_words import entry_json
    from rsdat.cli.output import print_json
    from rsdat.storage.transfer_listing import expand

    long = long or as_json
    groups: list[tuple[Entry | None, list[Entry]]] = []
    for url in urls:
        found = expand(url)
        files = [one for one in found if not one.is_directory]
        if files:
            groups.append((None, files))
        above = [one for one in found if one.is_directory]
        groups += [(directory, _listed(directory, recursive, long)) for directory in above]
    if as_json:
        print_json([entry_json(one) for _, entries in groups for one in entries])
        return
    for number, (top, entries) in enumerate(groups):
        if top is not None and len(groups) > 1:
            print(("\n" if number else "") + f"{_shown(top)}:")
        _print(top, entries, long)


def _listed(directory: Entry, recursive: bool, locality: bool) -> list[Entry]:
    from rsdat.storage.transfer_listing import children, files_below

    return files_below(directory) if recursive else children(directory, locality=locality)


def _print(directory: Entry | None, entries: list[Entry], long: bool) -> None:
    from rsdat.cli.data_words import date, size

    cut = len(directory.url.rstrip("/")) + 1 if directory is not None else 0
    names = [_shown(one)[cut:] + "/" * one.is_directory for one in entries]
    if not long:
        print(*names, sep="\n", end="\n" if names else "")
        return
    rows = [
        (size(one.nbytes), date(one.mtime), one.locality or "-", name)
        for one, name in zip(entries, names, strict=True)
    ]
    if all(row[2] == "-" for row in rows):
        rows = [(first, second, "", name) for first, second, _, name in rows]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for sized, dated, where, name in rows:
        middle = f"{where.ljust(widths[2])}  " if widths[2] else ""
        print(f"{sized.rjust(widths[0])}  {dated.ljust(widths[1])}  {middle}{name}")


def _shown(entry: Entry) -> str:
    from rsdat.storage import shown

    return shown(entry.url)


def cat(urls: Urls) -> None:
    """Write files to the standard output, one after the other."""
    from rsdat.errors import DataError
    from rsdat.storage.transfer import pour
    from rsdat.storage.transfer_listing import expand

    for url in urls:
        for entry in expand(url):
            if entry.is_directory:
                raise DataError(f"{_shown(entry)} is a directory", hint="name its files: DIR/*")
            for block in pour(entry.url):
                sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def du(urls: Urls, as_json: Json = False) -> None:
    """Say how many bytes and files lie below directories."""
    from rsdat.cli.data_words import size
    from rsdat.cli.output import print_json
    from rsdat.storage.transfer_listing import expand, only_files

    rows: list[tuple[str, int, int]] = []
    for url in urls:
        for entry in expand(url):
            files = only_files([entry], recursive=True)
            total = sum(one.nbytes or 0 for one in files)
            rows.append((_shown(entry), total, len(files)))
    if as_json:
        print_json([dict(zip(("url", "bytes", "files"), row, strict=True)) for row in rows])
        return
    for place, total, count in rows:
        print(f"{size(total):>8}  {count} file(s)  {place}")


def locality(urls: Urls, recursive: Recursive = False, as_json: Json = False) -> None:
    """Say where dCache has the data of files.

    ONLINE: on disk; NEARLINE: on tape only (rsdat data stage brings it); ONLINE_AND_NEARLINE: both;
    UNAVAILABLE may pass, LOST does not.
    """
    from rsdat.cli.output import print_json
    from rsdat.storage import shown
    from rsdat.storage.transfer_listing import expand, localities, only_files

    files = only_files([one for url in urls for one in expand(url)], recursive)
    found = localities(files)
    if as_json:
        print_json({shown(url): word for url, word in found.items()})
        return
    for url, word in found.items():
        print(f"{word:<19}  {shown(url)}")
