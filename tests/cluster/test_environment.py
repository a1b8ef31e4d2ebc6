"""``rsdat env`` on the virtual cluster: over ssh, as an ordinary user, without network there."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.cluster

#: A directory of these tests' own: the environment that the other tests share stays as it is.
OWN = ".rsdat-test-env"


@pytest.fixture(scope="module", autouse=True)
def cleaned(virtual_cluster) -> Iterator[None]:
    yield
    virtual_cluster.ssh("rm", "-rf", OWN, timeout=300)


@pytest.fixture
def own(rsdat):
    """``rsdat`` on a laptop whose site keeps its environments in :data:`OWN`, installed."""
    rsdat.environment["RSDAT_DIRECTORY"] = f"~/{OWN}"
    rsdat("env", "install", "virtual", "--offline", check=True, timeout=280)
    return rsdat


def ask(cluster, program: str) -> str:
    """What the environment's Python prints, in a job."""
    python = f"/home/researcher/{OWN}/environments/default/bin/python"
    argv = ("srun", "-Q", "-p", "main", "-A", "research", "--chdir", "/", python, "-c", program)
    return cluster.run("login", *argv, user="researcher").stdout.strip()


def names(cluster) -> set[str]:
    directory = cluster.home() / OWN / "environments"
    return {path.name for path in directory.iterdir()}


def test_what_a_session_needs_is_there_in_a_job(own, virtual_cluster) -> None:
    program = (
        "import socket, sys, rsdat.cli, dask, rasterio, xarray, jupyterlab, dask_labextension;"
        "print(socket.gethostname(), sys.prefix, rsdat.__file__)"
    )
    host, prefix, file = ask(virtual_cluster, program).split()
    assert host in virtual_cluster.nodes
    assert file.startswith(prefix)
    assert "/default/" not in prefix  # a session keeps its environment when another is installed


def test_again_there_is_nothing_to_do(own) -> None:
    done = json.loads(own("env", "install", "virtual", "--offline", "--json", check=True).stdout)
    assert done["changed"] is False
    assert done["python"] == [f"~/{OWN}/environments/default/bin/python"]
    checked = own("env", "check", "virtual", "--json", check=True)
    assert json.loads(checked.stdout) == {"site": "virtual", "differences": []}


def test_no_wheels_and_no_cache_are_left(own, virtual_cluster) -> None:
    assert not names(virtual_cluster) & {"wheels", "uv-cache", "requirements.lock"}


def test_check_says_what_differs(own, virtual_cluster) -> None:
    (packages,) = (virtual_cluster.home() / OWN / "environments").glob("packages-*/lib/*/site-*")
    (info,) = packages.glob("zict-*.dist-info")
    hidden = info.with_name("hidden")
    info.rename(hidden)
    try:
        done = own("env", "check", "virtual")
        assert done.returncode == 7
        assert "zict" in done.stdout
        assert "missing" in done.stdout
        assert "rsdat env install virtual" in done.stderr
        differences = json.loads(own("env", "check", "virtual", "--json").stdout)["differences"]
        assert [(d["what"], d["found"]) for d in differences] == [("zict", None)]
    finally:
        hidden.rename(info)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_install_leaves_the_old_one_working(own, virtual_cluster, how) -> None:
    before = ask(virtual_cluster, "import sys; print(sys.prefix)")
    # The same Python by another name: all is made anew.
    own.environment["RSDAT_ENVIRONMENT__BASE_PYTHON"] = "/usr/bin/python3.11"
    program = own.popen("env", "install", "virtual", "--offline")
    for line in program.stderr:
        if line.startswith("installing packages"):
            program.send_signal(how)
            break
    program.communicate(timeout=60)
    assert program.returncode != 0
    assert ask(virtual_cluster, "import sys, rasterio, rsdat.cli; print(sys.prefix)") == before
    # The next installation waits for what may still run there, and clears up after it.
    del own.environment["RSDAT_ENVIRONMENT__BASE_PYTHON"]
    own("env", "install", "virtual", "--offline", check=True)
    own("env", "check", "virtual", check=True)


def test_a_full_home_is_said_to_be_full(rsdat, virtual_cluster) -> None:
    rsdat.environment["RSDAT_CONNECTION__HOST"] = virtual_cluster.facts["aliases"]["cramped"]
    done = rsdat("env", "install", "virtual", "--offline", timeout=280)
    assert done.returncode == 7
    assert "no space left for the environment" in done.stderr
    assert "make room" in done.stderr


def test_uninstall(own, virtual_cluster) -> None:
    assert "removed" in own("env", "uninstall", "virtual", check=True).stdout
    assert not (virtual_cluster.home() / OWN / "environments").exists()
    done = own("env", "check", "virtual", "--json")
    assert done.returncode == 7
    assert json.loads(done.stdout)["differences"][0]["what"] == "environment"
    assert "nothing to remove" in own("env", "uninstall", "virtual", check=True).stdout
