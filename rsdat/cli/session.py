"""The session commands."""

import typer


def register(app: typer.Typer) -> None:
    """Add the session commands to the program."""
