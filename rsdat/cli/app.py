"""The rsdat program: its commands, and how errors become one clear message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from rsdat.errors import HostError, RsdatError

app = typer.Typer(
    name="rsdat",
    help="JupyterLab and Dask on a cluster in one line; satellite images to composites in a few.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _options(
    shown: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks.", envvar="RSDAT_DEBUG")
    ] = False,
) -> None:
    if debug:
        os.environ["RSDAT_DEBUG"] = "1"


@app.command()
def version() -> None:
    """Print the version."""
    from rsdat import __version__

    typer.echo(f"rsdat {__version__}")


def _register() -> None:
    from rsdat.cli import catalog, data, env, run, session, site

    session.register(app)
    app.add_typer(site.app, name="site")
    app.add_typer(env.app, name="env")
    app.add_typer(run.app, name="run")
    app.add_typer(catalog.app, name="catalog")
    app.add_typer(data.app, name="data")


def main() -> None:
    """Run the program; the entry point of the ``rsdat`` command."""
    _register()
    try:
        app()
    except RsdatError as error:
        if os.environ.get("RSDAT_DEBUG"):
            raise
        _fail(error)
    except BrokenPipeError:
        # The reader of our output (head, less) has left: nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except TimeoutError as error:
        _fail(HostError(str(error) or "a command took too long", hint="Try again in a while."))
    except Exception as error:
        if os.environ.get("RSDAT_DEBUG"):
            raise
        kind = type(error).__name__
        _fail(
            RsdatError(
                f"unexpected {kind}: {error}",
                hint="This is a fault of rsdat; `rsdat --debug …` shows where it happened.",
            )
        )


def _fail(error: RsdatError) -> None:
    from rsdat.cli.output import report_error

    report_error(error)
    sys.exit(error.exit_code)
