"""The `rsdat site` commands: list, show, check, draft and render the sites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rsdat.config import Origin, Problem
    from rsdat.config.models import Connection

app = typer.Typer(no_args_is_help=True, help="The sites: list, show, check, draft, render.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `rsdat site list` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command("list")
def list_sites(as_json: Json = False) -> None:
    """List the sites and the files they come from."""
    from rsdat.cli.output import print_json, print_table
    from rsdat.config import site_names

    entries = site_names()
    if as_json:
        print_json(
            [
                {
                    "name": entry.name,
                    "description": entry.description,
                    "files": [
                        {"layer": layer.name.lower(), "path": path} for layer, path in entry.files
                    ],
                }
                for entry in entries
            ]
        )
        return
    print_table(
        ["SITE", "FROM", "DESCRIPTION"],
        [
            [e.name, "+".join(layer.name.lower() for layer, _ in e.files), e.description]
            for e in entries
        ],
    )


@app.command()
def show(
    name: Name,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value came from.")] = False,
    as_json: Json = False,
) -> None:
    """Show a site with all its layers merged."""
    from rsdat.cli.output import print_json
    from rsdat.config import load_site
    from rsdat.config.show import site_text

    loaded = load_site(name)
    if as_json:
        body: dict[str, Any] = {"site": loaded.site.model_dump(mode="json")}
        if origin:
            body["origins"] = {key: _origin_json(came) for key, came in loaded.origins.items()}
        print_json(body)
        return
    print(site_text(loaded, origin=origin), end="")


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A site's YAML file.")],
    as_json: Json = False,
) -> None:
    """Check a site's file; with problems, leave with exit code 3."""
    from rsdat import config
    from rsdat.cli.output import print_json
    from rsdat.errors import ConfigError

    problems = config.lint(file)
    if as_json:
        print_json({"file": file, "problems": [_problem_json(problem) for problem in problems]})
    elif not problems:
        print(f"{file}: correct")
    for problem in () if as_json else problems:
        print(problem)
    if problems:
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def init(
    host: Annotated[
        str | None,
        typer.Argument(
            metavar="[USER@]HOST", help="A login host or a site; this machine by default."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the file here; its name becomes the site's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draft a site's file from what its queue says.

    The draft is printed, or written with --output; read it before you trust it.
    """
    import platform

    from rsdat.cli.output import print_json
    from rsdat.config.draft import DRAFT_COMMAND, draft_site, draft_yaml, parse_facts, site_name
    from rsdat.errors import ConfigError
    from rsdat.host import open_host

    if output is not None and output.exists():
        raise ConfigError(f"{output}: there is such a file already", hint="name another --output")
    connection = _connection(host)
    machine = open_host(connection, name=host)
    machine.connect(interactive=sys.stdin.isatty())
    facts = parse_facts(machine.run(DRAFT_COMMAND, timeout=120, check=False).stdout)
    name = output.stem if output else site_name(host or platform.node())
    text = draft_yaml(name, connection, facts)
    if output is not None:
        _write(output, text)
    if as_json:
        site = draft_site(name, connection, facts)
        print_json({"site": site, "file": output, "yaml": text})
    elif output is None:
        print(text, end="")
    else:
        print(f"{output}: drafted; read its comments, then `rsdat site lint {output}`")


@app.command()
def render(name: Name, as_json: Json = False) -> None:
    """Print the job scripts exactly as they are submitted.

    The head's, and that of one worker per pool.
    """
    from rsdat.cli.output import print_json
    from rsdat.cluster import worker_script
    from rsdat.config import load_site
    from rsdat.session.launch import head_script

    site = load_site(name).site
    head = head_script(site)
    workers = {pool: worker_script(site, pool) for pool in site.pools}
    if as_json:
        print_json({"head": head, "workers": workers})
        return
    print(f"### head job of {site.name}\n{head}", end="")
    for pool, script in workers.items():
        print(f"\n### worker job of pool {pool}\n{script}", end="")


def _connection(host: str | None) -> Connection | str | None:
    """How to reach what was named: a known site as its file says, else an ssh host."""
    from rsdat.config import SiteNotFound, load_site

    if host is None:
        return None
    try:
        return load_site(host).site.connection
    except SiteNotFound:
        return host


def _write(path: Path, text: str) -> None:
    from rsdat.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}", hint="name another --output"
        ) from error


def _origin_json(origin: Origin) -> dict[str, Any]:
    return {
        "layer": origin.layer.name.lower(),
        "place": origin.place or None,
        "line": origin.line,
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        **_origin_json(problem.origin),
        "key": problem.key or None,
        "message": problem.message,
        "suggestion": problem.suggestion,
    }
