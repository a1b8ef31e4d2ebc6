"""The `rsdat data` commands: data on remote servers, and the tokens for them."""

from __future__ import annotations

import typer

from rsdat.cli import data_cp, data_ls, data_stage, data_token

app = typer.Typer(no_args_is_help=True, help="Data on remote servers, and the tokens for them.")
for _commands in (data_ls, data_cp, data_stage):
    _commands.register(app)
app.add_typer(data_token.app, name="token")
