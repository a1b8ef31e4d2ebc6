"""The `rsdat env` commands: the Python environment of a site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rsdat.config.models import Site
    from rsdat.environment import Difference
    from rsdat.host.base import Host

app = typer.Typer(no_args_is_help=True, help="The Python environment that a site's sessions run.")

Place = Annotated[str, typer.Argument(metavar="SITE", help="A site, or [USER@]HOST.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class _Said:
    text: str


@contextmanager
def _at(name: str, silent: bool) -> Iterator[tuple[Site, Host, Callable[[str], None]]]:
    """A site, its host, connected, and a progress line."""
    from rsdat.cli.progress import progress_line
    from rsdat.cli.sites import site_for_launch

    with progress_line(silent=silent) as line:
        site, host = site_for_launch(name, {}, line)
        assert host is not None
        yield site, host, lambda text: line(_Said(text))


@app.command()
def install(
    site: Place,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Send all packages from here; the site downloads nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a site's environment, or bring it up to date; as yourself.

    Run it again at any time: what is there already is kept. Sessions that are running keep the
    environment they were started with.
    """
    from rsdat import environment
    from rsdat.cli.output import print_json

    with _at(site, as_json) as (there, host, progress):
        done = environment.install(there, host, offline=offline, progress=progress)
    if as_json:
        print_json(
            {
                "site": there.name,
                "changed": done.changed,
                "rsdat": done.rsdat,
                "python": list(done.python),
                "environment": done.name or None,
            }
        )
    elif done.changed:
        print(f"{there.name}: rsdat {done.rsdat} is ready, run by {' '.join(done.python)}")
    elif done.name:
        print(f"{there.name}: nothing to do, rsdat {done.rsdat} is there")
    else:
        print(f"{there.name}: nothing to install, sessions run {' '.join(done.python)}")


@app.command()
def check(site: Place, as_json: Json = False) -> None:
    """Say where a site's environment differs from what is needed.

    Leaves with exit code 7 when anything does.
    """
    from rsdat import environment
    from rsdat.cli.output import print_json
    from rsdat.errors import EnvironmentMissing

    with _at(site, as_json) as (there, host, progress):
        progress(f"looking at {host.name}")
        differences = environment.check(there, host)
    if as_json:
        rows = [{"what": d.what, "expected": d.expected, "found": d.found} for d in differences]
        print_json({"site": there.name, "differences": rows})
    else:
        _print_differences(there, differences)
    if differences:
        raise typer.Exit(EnvironmentMissing.exit_code)


def _print_differences(site: Site, differences: list[Difference]) -> None:
    import sys

    from rsdat.cli.output import print_table
    from rsdat.environment import advice

    if not differences:
        print(f"{site.name}: the environment is what it should be")
        return
    print_table(
        ("what", "found", "expected"),
        [(d.what, d.found or "missing", d.expected) for d in differences],
    )
    print(f"  → {advice(site)}", file=sys.stderr)


@app.command()
def uninstall(site: Place, as_json: Json = False) -> None:
    """Remove the environment that `install` made on a site. Stop its sessions first."""
    from rsdat import environment
    from rsdat.cli.output import print_json

    with _at(site, as_json) as (there, host, progress):
        progress(f"removing the environment on {host.name}")
        removed = environment.uninstall(there, host)
    if as_json:
        print_json({"site": there.name, "removed": removed})
    else:
        said = "the environment is removed" if removed else "nothing to remove"
        print(f"{there.name}: {said}")
