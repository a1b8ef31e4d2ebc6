"""Which Python a site's jobs run, and how a command is run as a job of that site would run it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsdat.config.models import Site

#: Runs "$@" with a leading ``~/`` of each word expanded: a Host passes words as they are, and the
#: laptop does not know the home directory there.
_EXPAND = """\
for word do
  shift
  case $word in "~/"*) word=$HOME/${word#"~/"} ;; esac
  set -- "$@" "$word"
done
exec "$@"
"""


def environments(site: Site) -> str:
    """The directory below which this site's environments lie (``~/`` not expanded)."""
    return f"{site.directory.rstrip('/')}/environments"


def interpreter(site: Site) -> tuple[str, ...]:
    """The words that start the site's Python in a job; arguments follow them.

    A leading ``~/`` stands for the user's home where the job runs; the job script expands it.
    In an image, Python is ``python`` unless ``environment.python`` names another one there.
    """
    environment = site.environment
    if environment.container:
        container = environment.container
        binds = [word for bind in container.binds for word in ("--bind", bind)]
        return (
            container.runtime,
            "exec",
            *binds,
            *container.arguments,
            container.image,
            environment.python or "python",
        )
    if site.queue == "local":
        # A local session runs in the environment that launches it.
        return (environment.python or sys.executable,)
    return (environment.python or f"{environments(site)}/default/bin/python",)


def on_site(site: Site, argv: Sequence[str]) -> list[str]:
    """``argv`` as it is run on the site's login host: after the prologue, with ``~/`` expanded.

    The prologue is the admin's own shell text, run by a login bash as in a job; what it prints
    goes to stderr, so that the output is the command's alone.
    """
    if not site.environment.prologue:
        return ["sh", "-c", _EXPAND, "rsdat", *argv]
    prologue = "\n".join(("{", *site.environment.prologue, "} >&2"))
    return ["bash", "-lc", f"{prologue}\n{_EXPAND}", "rsdat", *argv]
