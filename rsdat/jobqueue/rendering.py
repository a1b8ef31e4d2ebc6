"""Job scripts from the templates beside this module, one for each queue."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from rsdat.jobqueue.base import JobRequest
from rsdat.jobqueue.quoting import export, shell_command, single_line


def render(template: str, request: JobRequest, **values: Any) -> str:
    """The text of a job script.

    Parameters
    ----------
    template
        Name of a file in ``rsdat/jobqueue/templates``.
    values
        What the template needs beside name, prologue, exports and command; quoted already.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # shell, not HTML: quoting.py has done what is needed
    )
    return environment.get_template(template).render(
        name=single_line("name", request.name),
        prologue=request.prologue,
        exports=[export(name, value) for name, value in request.environment.items()],
        command=shell_command(request.command),
        **values,
    )


def _text(name: str) -> str:
    return files("rsdat.jobqueue").joinpath("templates", name).read_text(encoding="utf-8")
