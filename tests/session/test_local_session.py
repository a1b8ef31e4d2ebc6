"""The same durable session on this machine, without a queue: launch, connect, scale, stop."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import Kernel, Server

RSDAT = Path(sys.executable).with_name("rsdat")


class Person:
    """Somebody with an empty home on this machine."""

    def __init__(self, home: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RSDAT_", "XDG_"))}
        self.environment = {**kept, "HOME": str(home)}

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [RSDAT, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        if check:
            assert done.returncode == 0, f"{done.args}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    person = Person(tmp_path_factory.mktemp("home"))
    yield person
    person("stop", "--all")


@pytest.fixture(scope="module")
def session(person: Person) -> dict[str, Any]:
    body: dict[str, Any] = person.json("launch", "--no-browser", "--name", "here")
    return body


def test_launch_without_arguments_is_a_session_on_this_machine(
    person: Person, session: dict[str, Any]
) -> None:
    assert session["url"].startswith("http://127.0.0.1:")
    assert Server(session["url"]).request("GET", "api/status")["kernels"] == 0
    directory = Path(session["directory"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.parent.parent == Path(person.environment["HOME"]) / ".rsdat"


def test_connect_gives_the_same_address(person: Person, session: dict[str, Any]) -> None:
    assert person.json("connect")["url"] == session["url"]
    assert person.json("connect", session["session"])["url"] == session["url"]


def test_a_plain_client_in_a_notebook_connects_and_computes_over_tls(
    session: dict[str, Any],
) -> None:
    server = Server(session["url"])
    kernel = Kernel(server, server.request("POST", "api/kernels", {})["id"], 240)
    done = kernel.execute(
        "import rsdat\n"
        "from dask.distributed import Client\n"
        "rsdat.get_cluster().scale(1)\n"
        "client = Client()\n"
        "client.wait_for_workers(1)\n"
        "print(client.scheduler.address, client.submit(sum, [1, 2]).result())\n"
        "print(rsdat.client().scheduler.address)\n"
    )
    words = done.text.split()
    assert words[0].startswith("tls://127.0.0.1:")
    assert words[1] == "3"
    assert words[2] == words[0]


def test_the_readmes_python_runs_in_a_session(session: dict[str, Any], tmp_path: Path) -> None:
    from rsdat.catalog.sample import make_sample_catalog

    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    make_sample_catalog(tmp_path / "catalog", size=256)
    program = program.replace("catalog.json", "catalog/catalog.json").replace(
        "scale(4)", "scale(1)"
    )
    server = Server(session["url"])
    kernel = Kernel(server, server.request("POST", "api/kernels", {})["id"], 240)
    kernel.execute(f"import os; os.chdir({str(tmp_path)!r})")
    kernel.execute(program)
    assert (tmp_path / "greenest.tif").stat().st_size > 0


def test_scale_and_status(person: Person, session: dict[str, Any]) -> None:
    person("scale", "2", "here")
    deadline = time.monotonic() + 180
    # A scheduler that is busy with two new workers may not answer in time: then it says nothing.
    while len((person.json("status", "here")["cluster"] or {"workers": ()})["workers"]) != 2:
        assert time.monotonic() < deadline
    while "2 connected" not in (text := person("status", "here").stdout):
        assert time.monotonic() < deadline
    assert "/proxy/" in text


def test_run_computes_on_the_sessions_workers(
    person: Person, session: dict[str, Any], tmp_path: Path
) -> None:
    from rsdat.catalog.sample import make_sample_catalog

    person("scale", "1", "here")
    catalog = make_sample_catalog(tmp_path / "catalog", size=256)
    out = tmp_path / "composite.tif"
    body = person.json(
        "run", "composite", str(catalog), "-o", str(out), "--session", session["session"]
    )
    assert body["computed"] == "on the session's workers"
    assert out.exists()


def test_a_killed_head_is_told(person: Person, tmp_path: Path) -> None:
    body = person.json("launch", "--no-browser", "--name", "dies")
    ready = json.loads((Path(body["directory"]) / "ready.json").read_text())
    os.kill(ready["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 120
    # Until its job has noticed, it is a session that does not answer.
    while "has ended" not in (done := person("connect", body["session"], check=False)).stderr:
        assert "Traceback" not in done.stderr
        assert time.monotonic() < deadline, done.stderr
    assert done.returncode == 6
    assert "Traceback" not in done.stderr


def test_stop_ends_all_processes_and_is_harmless_twice(person: Person) -> None:
    body = person.json("launch", "--no-browser", "--name", "brief", "--workers", "1")
    person("stop", "brief")
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert body["directory"].encode() not in process.read_bytes(), process
        except OSError:
            continue
    assert "ended already" in person("stop", body["session"]).stdout
    assert person("connect", body["session"], check=False).returncode == 6


def test_stop_all_without_sessions_says_so(tmp_path: Path) -> None:
    done = Person(tmp_path)("stop", "--all")
    assert (done.stdout, done.stderr) == ("", "No sessions to stop.\n")
