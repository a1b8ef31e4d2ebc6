"""The `rsdat data` commands: data on remote servers, and the tokens for them."""

from __future__ import annotations

import typer

from rsdat.cli import data_token

app = typer.Typer(no_args_is_help=True, help="Data on remote servers, and the tokens for them.")
app.add_typer(data_token.app, name="token")
