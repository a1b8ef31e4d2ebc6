"""Opening a session's page without showing its token to the other users of the machine."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from pathlib import Path

from rsdat.host.places import state_directory
from rsdat.session.connect import Lab
from rsdat.session.files import write_atomically


def has_display() -> bool:
    """Whether a browser window can appear here."""
    return sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER")
    )


def open_browser(lab: Lab) -> bool:
    """Open JupyterLab in the user's browser; False where there is none.

    A browser's command line is visible to everyone on the machine, so it gets the name of a
    private file that leads on to the address.
    """
    if not has_display():
        return False
    page = _page(lab.session.id)
    page.parent.mkdir(mode=0o700, exist_ok=True)
    address = html.escape(lab.url, quote=True)
    write_atomically(
        page,
        "<!doctype html><title>rsdat</title>"
        f'<meta http-equiv="refresh" content="0; url={address}">'
        f'<p><a href="{address}">Open JupyterLab</a></p>\n',
    )
    return webbrowser.open(page.as_uri())


def forget_page(session: str) -> None:
    """Remove the file that led on to a session that has ended."""
    _page(session).unlink(missing_ok=True)


def _page(session: str) -> Path:
    return state_directory() / "open" / f"{session}.html"
