"""The main job, start to end, on this machine: a session, a catalog, NDVI and a composite.

Each step is a command that you can type yourself; what is there already is used again.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

OUTPUT = Path("demo-output")
RSDAT = Path(sys.executable).with_name("rsdat")
NAME = "demo"


def step(title: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)


def rsdat(*arguments: str, show: bool = True) -> str:
    """Run an rsdat command, shown as it would be typed; its output goes to the terminal."""
    if show:
        print(f"$ rsdat {shlex.join(arguments)}", flush=True)
    capture = None if show else subprocess.PIPE
    done = subprocess.run([RSDAT, *arguments], stdout=capture, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def live_session() -> str | None:
    sessions = json.loads(rsdat("ls", "local", "--json", show=False))
    return next((one["session"] for one in sessions if one["name"] == NAME), None)


def main() -> None:
    step("1  A session on this machine: JupyterLab and Dask workers in the background")
    if live_session():
        rsdat("connect", f"local/{NAME}", "--no-browser")
    else:
        workers = str(min(4, os.cpu_count() or 1))
        rsdat("launch", "--name", NAME, "--workers", workers, "--no-browser")
    session = live_session()
    if session is None:
        sys.exit("the demo's session has ended meanwhile; run `make demo` again")

    step("2  A small catalog of invented Sentinel-2 scenes")
    from rsdat.catalog.sample import make_sample_catalog

    catalog = make_sample_catalog(OUTPUT / "catalog").relative_to(Path.cwd())
    print(catalog)

    step("3  NDVI of each scene, and a cloud-free median of all, on the session's workers")
    ndvi, composite = OUTPUT / "ndvi", OUTPUT / "composite.tif"
    if ndvi.exists() and composite.exists():
        print(f"{ndvi}/ and {composite} are there from an earlier run")
    else:
        on = ("--session", session)
        rsdat("run", "ndvi", str(catalog), "--mask", "-o", f"{ndvi}/{{date}}.tif", *on)
        bands = ("--bands", "red,green,blue,nir", "--method", "median")
        rsdat("run", "composite", str(catalog), *bands, "-o", str(composite), *on)

    url = json.loads(rsdat("connect", session, "--json", show=False))["url"]
    print(
        f"""
The images      {ndvi}/, {composite}
with previews   {composite.with_suffix(".png")}
and STAC items  {composite.with_suffix(".json")}
JupyterLab      {url}

`rsdat` is at {os.path.relpath(RSDAT)}; to stop:  {os.path.relpath(RSDAT)} stop {session}"""
    )


if __name__ == "__main__":
    main()
