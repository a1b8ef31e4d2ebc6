"""A catalog goes from a web server to a dCache door by worker jobs, and is computed on from there.

The servers run on the login host, where jobs reach them; the token lies in one file (0600) of the
researcher, and nowhere else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from rsdat.catalog import make_sample_catalog
from tests.cluster.conftest import ROOT, VC, Done, Laptop, VirtualCluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]

PYTHON = "/home/researcher/.rsdat/environments/default/bin/python"
RSDAT = "/home/researcher/.rsdat/environments/default/bin/rsdat"
PLACE = "copying"


@dataclass(frozen=True)
class Servers:
    """Where the catalog is, and where it is to go; ``token`` is of this door alone."""

    source: str
    target: str
    door: dict[str, Any]
    token: str
    read: Callable[[str], str]

    def log(self) -> list[dict[str, Any]]:
        """What the door was asked."""
        found: list[dict[str, Any]] = json.loads(self.read("log"))
        return found


@contextmanager
def on_login(cluster: VirtualCluster, *argv: str) -> Iterator[str]:
    """A program on the login host, which ends with us, and the first line that it prints."""
    process = subprocess.Popen(
        [str(VC), "run", "login", "--", "setpriv", "--pdeathsig", "TERM", *argv],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RSDAT_VC_NAME": cluster.name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{argv} ended with {process.wait()}"
        yield line
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def place(installed: VirtualCluster) -> Iterator[Path]:
    """A directory in the researcher's home, as this machine sees it."""
    home = f"/home/researcher/{PLACE}"
    installed.run("login", "rm", "-rf", home)
    installed.run("login", "mkdir", "-m", "755", home, user="researcher")
    yield installed.home() / PLACE
    installed.run("login", "rm", "-rf", home)


@pytest.fixture(scope="module")
def servers(installed: VirtualCluster, place: Path) -> Iterator[Servers]:
    make_sample_catalog(place / "source", size=512)
    address = installed.facts["addresses"]["login"]
    authority = place / "authority.pem"
    web = ("-m", "http.server", "--bind", address, "--directory", str(place / "source"), "0")
    door = ("-m", "tests.dcache", "--host", address, "--tls", "good", "--storage", "disk")
    # The checkout may lie where the hosts do not see it.
    shutil.copytree(ROOT / "tests" / "dcache", place / "code" / "tests" / "dcache")
    shutil.copy(ROOT / "tests" / "ports.py", place / "code" / "tests")
    run = ("env", f"PYTHONPATH=/home/researcher/{PLACE}/code", "PYTHONUNBUFFERED=1", PYTHON)
    with ExitStack() as stack:
        said = stack.enter_context(on_login(installed, *run, *web))
        port = said.partition(" port ")[2].split()[0]
        told = stack.enter_context(on_login(installed, *run, *door, "--ca", str(authority)))
        known = json.loads(told)
        authority.chmod(0o644)

        def read(name: str) -> str:
            program = (
                "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
            )
            argv = (PYTHON, "-c", program, f"{known['control']}/{name}")
            return installed.run("login", *argv).stdout.strip()

        host = known["webdav"].partition("://")[2]
        target = f"dcache://{host}/scenes"
        token = read("macaroon")
        yield Servers(f"http://{address}:{port}/catalog.json", target, known, token, read)


@pytest.fixture(scope="module")
def inside(
    installed: VirtualCluster, servers: Servers, place: Path
) -> Iterator[Callable[..., Done]]:
    """``rsdat`` with a session of two workers, from the login host, where no job runs.

    So what reaches a server from a node is a worker's.
    """
    token = place / "door.token"
    token.touch(mode=0o600)
    token.write_text(servers.token)
    installed.run("login", "chown", "researcher:", f"/home/researcher/{PLACE}/door.token")
    laptop = Laptop()
    host = servers.target.partition("://")[2].partition("/")[0]
    credential = {
        "token_file": f"~/{PLACE}/door.token",
        "ca_file": f"~/{PLACE}/authority.pem",
        "api": f"{servers.door['rest']}/api/v1",
    }
    laptop.configure("defaults.yaml", {"credentials": {host: credential}})
    options = ("--no-browser", "--json", "--name", "copying", "--workers", "2")
    launched = json.loads(laptop("launch", "virtual", *options, check=True).stdout)
    session = json.loads(laptop("status", launched["session"], "--json", check=True).stdout)
    variables = (f"RSDAT_SESSION={session['directory']}", "XDG_STATE_HOME=/tmp/copying")

    def run(*arguments: str, check: bool = True) -> Done:
        argv = ("env", *variables, RSDAT, *arguments)
        return installed.run("login", *argv, user="researcher", check=check, timeout=250)

    yield run
    laptop("stop", launched["session"], check=True)
    laptop.close()


def test_a_catalog_is_copied_to_the_door_by_worker_jobs(
    inside: Callable[..., Done], servers: Servers, installed: VirtualCluster
) -> None:
    copy = ("catalog", "copy", servers.source, servers.target, "--assets", "red,nir,scl", "--json")
    with hunted(installed, servers.token) as found:
        report = json.loads(inside(*copy).stdout)
    assert found == set()
    assert (len(report["copied"]), report["failed"]) == (9, [])
    assert report["place"] == "on the session's workers"
    uploads = puts(servers, ".tif")
    assert len(uploads) == 9
    assert {one["remote"] for one in uploads} <= nodes(installed)
    again = json.loads(inside(*copy).stdout)
    assert (len(again["copied"]), len(again["skipped"]), again["nbytes"]) == (0, 9, 0)
    assert len(puts(servers, ".tif")) == 9
    assert len(puts(servers, ".json")) == 5


def nodes(cluster: VirtualCluster) -> set[str]:
    """The addresses of the compute nodes."""
    return {cluster.facts["addresses"][name] for name in cluster.nodes}


def puts(servers: Servers, ending: str) -> list[dict[str, Any]]:
    """The uploads that were completed."""
    log = [one for one in servers.log() if (one["method"], one["status"]) == ("PUT", 201)]
    return [one for one in log if one["path"].endswith(ending)]


def test_a_composite_is_computed_on_the_copy_and_the_token_is_in_its_file_alone(
    inside: Callable[..., Done], servers: Servers, place: Path, installed: VirtualCluster
) -> None:
    with hunted(installed, servers.token) as found:
        done = inside(
            "run", "composite", f"{servers.target}/catalog.json", "--bands", "red,nir", "--json",
            "-o", f"/home/researcher/{PLACE}/median.tif",
        )  # fmt: skip
    assert found == set()
    assert (place / "door.token").stat().st_mode & 0o777 == 0o600
    assert json.loads(done.stdout)["computed"] == "on the session's workers"
    reads = [one for one in servers.log() if (one["origin"], one["method"]) == ("pool", "GET")]
    by_workers = {one["path"] for one in reads if one["remote"] in nodes(installed)}
    assert by_workers == {one["path"] for one in puts(servers, ".tif")}
    catalog = pystac.Catalog.from_file(str(place / "source" / "catalog.json"))
    items = sorted(catalog.get_items(recursive=True), key=lambda item: item.id)
    with rasterio.open(place / "median.tif") as composite:
        for number, band in enumerate(("red", "nir"), start=1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # pixels without a clear date
                expected = np.nanmedian([clear(item, band) for item in items], axis=0)
            np.testing.assert_allclose(composite.read(number), expected, rtol=0, atol=1e-6)


def clear(item: pystac.Item, band: str) -> np.ndarray:
    """Reflectance of one band, NaN where there is no data or cloud; nothing of ours in it."""
    with rasterio.open(item.assets[band].get_absolute_href()) as opened:
        stored = opened.read(1)
    with rasterio.open(item.assets["scl"].get_absolute_href()) as opened:
        classes = np.kron(opened.read(1), np.ones((2, 2), "uint8"))
    values = stored * np.float32(0.0001) + np.float32(-0.1)
    return np.where((stored == 0) | np.isin(classes, [0, 1, 3, 8, 9, 10]), np.nan, values)


@contextmanager
def hunted(cluster: VirtualCluster, token: str) -> Iterator[set[str]]:
    """Where a token is seen but in its file: on the hosts' disks and among all processes.

    It is looked for again and again while the block runs, and once after it: all the time among the
    processes, which may be gone in a moment, and every second on the disks, a look at which is work
    that the copy would wait for.
    """
    found: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        on_disks = 0.0
        while not ended.wait(0.02):
            found.update(_processes_with(token))
            if time.monotonic() > on_disks:
                found.update(_files_with(cluster))
                on_disks = time.monotonic() + 1

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield found
        finally:
            ended.set()
        watching.result()
    found |= _processes_with(token) | _files_with(cluster)


def _processes_with(token: str) -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):  # it has ended
                if token.encode() in (process / name).read_bytes():
                    found.add(f"{name} of {(process / 'comm').read_text().strip()}")
    return found


def _files_with(cluster: VirtualCluster) -> set[str]:
    """Files of the researcher, of the queue, and of the hosts' temporary directories."""
    home, token = "/home/researcher", f"/home/researcher/{PLACE}/door.token"
    # The door's own program knows what it asks for; the environment is installed packages.
    look = ("grep", "-rlsaF", "--exclude-dir=code", "--exclude-dir=environments", "-f", token)
    local = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/var/log", "/var/spool", "/var/lib/mysql")
    lists = [cluster.run(host, *look, *local, check=False).stdout for host in cluster.nodes]
    lists.append(cluster.run("login", *look, *local, home, check=False).stdout)
    return {line for text in lists for line in text.splitlines()} - {token}


def test_a_token_elsewhere_would_be_found(
    servers: Servers, place: Path, installed: VirtualCluster
) -> None:
    token = servers.token
    (place / "another").write_text(f"x{token}y")
    with subprocess.Popen(["sleep", "60"], env={"TOKEN": token}) as process:
        try:
            seen = _processes_with(token) | _files_with(installed)
        finally:
            process.kill()
            (place / "another").unlink()
    assert seen == {"environ of sleep", f"/home/researcher/{PLACE}/another"}
