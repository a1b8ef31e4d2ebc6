"""The commands: parse, call, print. No logic lives here."""

from rsdat.cli.app import main

__all__ = ["main"]
