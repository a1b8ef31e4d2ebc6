"""The `rsdat data` commands that change: cp, mv, rm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli.data_words import Json, Recursive, Urls, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsdat.storage.transfer import Copied
    from rsdat.storage.transfer_listing import Entry
    from rsdat.storage.transfer_many import Planned, Report

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE", help="Files, patterns.", callback=named)
]
Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A directory, or a new name.", callback=named)
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at one time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (cp, mv, rm):
        app.command()(command)


def cp(
    sources: Sources,
    target: Target,
    recursive: Recursive = False,
    overwrite: Annotated[
        str, typer.Option(help="What is there: never, different (default) or always replaced.")
    ] = "different",
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare by checksum, also files without one.")
    ] = False,
    verify: Annotated[
        bool, typer.Option(help="Compare what was copied with the servers' checksums.")
    ] = True,
    jobs: Jobs = 8,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy files between servers, and to and from this machine.

    It knows dcache://, davs://, s3://, sftp:// and names of files; https:// only as a source.
    A file is there complete or not at all. Equal files are skipped, and interrupted copies go on:
    run the same command again. docs/data.md says what a slash at the end means.
    """
    from rsdat.cli.data_words import copying
    from rsdat.cli.interrupts import as_interrupts
    from rsdat.errors import ConfigError
    from rsdat.storage.transfer import OVERWRITE, copy_many
    from rsdat.storage.transfer_moving import plan

    if overwrite not in OVERWRITE:
        raise ConfigError(f"--overwrite {overwrite}: no such choice", hint=", ".join(OVERWRITE))
    _check_target(target)
    if dry_run:
        _print_plan(plan(sources, target, recursive=recursive), as_json)
        return
    with as_interrupts(), copying(silent=as_json) as progress:
        planned = plan(sources, target, recursive=recursive)
        report = copy_many(
            planned,
            overwrite=overwrite,
            verify=verify,
            checksum=checksum,
            concurrency=jobs,
            progress=progress,
        )
    _print_report(report, "copied", as_json, verified=verify)


def mv(
    sources: Sources, target: Target, jobs: Jobs = 8, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Move files and directories, also between servers.

    Within one server they are renamed; else copied, compared and removed. What
    could not be copied and compared stays where it is.
    """
    from rsdat.cli.data_words import copying
    from rsdat.cli.interrupts import as_interrupts
    from rsdat.storage.transfer_listing import expand
    from rsdat.storage.transfer_moving import move_many, plan, without_empty

    _check_target(target)
    for source in sources:
        _check_no_root(source, "moved")
    planned = plan(sources, target, recursive=True, whole=True)
    if dry_run:
        _print_plan(planned, as_json)
        return
    directories = [one for source in sources for one in expand(source) if one.is_directory]
    with as_interrupts(), copying(silent=as_json) as progress:
        report = move_many(planned, concurrency=jobs, progress=progress)
    if not report.failed:
        without_empty(directories)
    # Of what was only renamed nothing was to be compared.
    _print_report(report, "moved", as_json, verified=False)


def rm(
    urls: Urls,
    recursive: Recursive = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove files, and with -r whole directories.

    It asks before it removes directories, or what a pattern matches. A name that exists is that
    name: 'x?y.tif' removes that file alone.
    """
    from rsdat.cli.data_words import bar, print_failures
    from rsdat.cli.output import print_json
    from rsdat.storage import shown
    from rsdat.storage.transfer_listing import expand
    from rsdat.storage.transfer_moving import remove

    entries = list({one.url: one for url in urls for one in expand(url)}.values())
    for one in entries:
        _check_no_root(one.url, "removed")
    _check_directories(entries, recursive)
    if dry_run:
        names = [shown(one.url) + "/" * one.is_directory for one in entries]
        print_json(names) if as_json else print(*names, sep="\n")
        return
    by_pattern = len(entries) > len(urls)
    if not yes and (by_pattern or any(one.is_directory for one in entries)):
        _ask(entries)
    with bar("removing", silent=as_json) as show:
        told = None if show is None else lambda count: show(None, f"{count} files removed")
        failed = remove(entries, recursive=recursive, progress=told)
    if as_json:
        print_json({"removed": len(entries) - len(failed), "failed": _failures(failed)})
    else:
        print_failures(failed, "removed")
    if failed:
        raise typer.Exit(failed[0].error.exit_code)


def _check_target(target: str) -> None:
    from urllib.parse import urlsplit

    from rsdat.errors import ConfigError
    from rsdat.storage import shown

    if urlsplit(target).scheme in ("http", "https"):
        raise ConfigError(
            f"{shown(target)}: nothing can be written over plain http",
            hint="write a door's address as dcache://… or davs://…",
        )


def _check_no_root(url: str, done: str) -> None:
    """Refuse the whole of a server or of this machine: what is left of DIR/$NAME without a name."""
    from urllib.parse import urlsplit

    from rsdat.errors import ConfigError
    from rsdat.storage import absolute, is_remote, shown

    place = absolute(url)
    if not (urlsplit(place).path if is_remote(place) else place).strip("/"):
        raise ConfigError(
            f"{shown(place)} is all that there is: it is not {done} as a whole",
            hint="name the directories in it",
        )


def _check_directories(entries: Sequence[Entry], recursive: bool) -> None:
    from rsdat.errors import DataError
    from rsdat.storage import shown

    for one in entries:
        if one.is_directory and not recursive:
            raise DataError(
                f"{shown(one.url)} is a directory", hint="give -r to remove all that is in it"
            )


def _ask(entries: Sequence[Entry]) -> None:
    from rsdat.cli.data_words import size
    from rsdat.errors import ConfigError
    from rsdat.storage import shown
    from rsdat.storage.transfer_listing import only_files

    files = only_files(entries, recursive=True)
    total = size(sum(one.nbytes or 0 for one in files))
    place = shown(entries[0].url) + (f" and {len(entries) - 1} more" if len(entries) > 1 else "")
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{place}: {len(files)} file(s), {total} would be removed", hint="give --yes to do it"
        )
    if not typer.confirm(f"Remove {place}: {len(files)} file(s), {total}?", err=True):
        raise typer.Exit(1)


def _print_plan(planned: Sequence[Planned], as_json: bool) -> None:
    from rsdat.cli.data_words import size
    from rsdat.cli.output import print_json
    from rsdat.storage import shown

    if as_json:
        print_json(
            [
                {"source": shown(one.source), "target": shown(one.target), "bytes": one.nbytes}
                for one in planned
            ]
        )
        return
    for one in planned:
        print(f"{size(one.nbytes):>8}  {shown(one.source)} → {shown(one.target)}")
    print(f"{len(planned)} file(s), {size(sum(one.nbytes or 0 for one in planned))}")


def _print_report(report: Report, what: str, as_json: bool, *, verified: bool) -> None:
    from rsdat.cli.data_words import print_failures, size
    from rsdat.cli.output import print_json
    from rsdat.storage import shown

    if as_json:
        print_json(
            {
                what: [
                    {
                        "source": shown(one.source),
                        "target": shown(one.target),
                        "bytes": one.nbytes,
                        "checksum": one.checksum,
                        "verified": list(one.verified),
                        "resumed_from": one.resumed_from,
                    }
                    for one in report.copied
                ],
                "skipped": [shown(one.target) for one in report.skipped],
                "failed": _failures(report.failed),
                "bytes": report.nbytes,
                "seconds": round(report.seconds, 3),
            }
        )
    else:
        print_failures(report.failed, what)
        resumed = sum(one.resumed_from > 0 for one in report.copied)
        words = [f"{len(report.copied)} file(s) {what}, {size(report.nbytes)}"]
        words += [f"{resumed} went on from an earlier try"] if resumed else []
        unsure = sum(_by_size_alone(one) for one in report.copied) if verified else 0
        words += [f"{unsure} of them compared by size alone"] if unsure else []
        words += [f"{len(report.skipped)} equal and skipped"] if report.skipped else []
        words += [f"{len(report.failed)} failed"] if report.failed else []
        print(f"{'; '.join(words)} ({report.seconds:.1f} s)")
    if report.failed:
        raise typer.Exit(report.failed[0].error.exit_code)


def _by_size_alone(one: Copied) -> bool:
    """Whether no server has told a checksum of what it sent or got."""
    from rsdat.storage import is_remote

    return not one.verified and (is_remote(one.source) or is_remote(one.target))


def _failures(failed: Any) -> list[dict[str, Any]]:
    from rsdat.storage import shown

    return [
        {
            "source": shown(one.source),
            "target": shown(one.target),
            "error": one.error.message,
            "hint": one.error.hint,
        }
        for one in failed
    ]
