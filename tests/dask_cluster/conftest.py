"""A session directory as a launch makes it, without the session's Jupyter server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from rsdat.cluster.configuration import write_dask_config
from rsdat.cluster.layout import Layout
from rsdat.cluster.security import make_credentials
from rsdat.config.models import Pool, Site

Run = Callable[..., str]


@pytest.fixture
def site() -> Site:
    pool = Pool(cores=1, memory="512MiB")
    return Site(name="here", queue="local", pools={"default": pool})


@pytest.fixture
def layout(tmp_path: Path, site: Site) -> Layout:
    """A session directory with its site."""
    directory = tmp_path / "s-1a2b"
    directory.mkdir(mode=0o700)
    (directory / "site.json").write_text(site.model_dump_json())
    return Layout(PurePosixPath(directory))


@pytest.fixture
def session(layout: Layout, site: Site) -> dict[str, str]:
    """The environment of a process in the session."""
    make_credentials(layout)
    return {**os.environ, **write_dask_config(layout, site, workers=0, environ={})}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a Python program in a process of its own: Dask reads its configuration at import."""

    def run(program: str, environment: dict[str, str], *arguments: str) -> str:
        script = tmp_path / "program.py"
        script.write_text(program)
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
