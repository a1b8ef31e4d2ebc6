"""The cluster of a local session with real clients, over TLS, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest
import yaml

from rsdat.cluster.configuration import write_dask_config
from rsdat.cluster.layout import Layout
from rsdat.cluster.security import make_credentials
from rsdat.config.models import Pool, Site

# A cluster in this process; what a kernel does runs in `kernel`, a child with the session's
# environment, as a notebook's.
PROGRAM = """
import asyncio, contextlib, io, json, os, subprocess, sys, textwrap

async def child(program, **extra):
    environment = {k: v for k, v in {**os.environ, **extra}.items() if v != ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()

async def kernel(program, **extra):
    code, out, err = await child(program, **extra)
    assert code == 0, err
    return out.strip()

async def main():
    from rsdat.cluster import LocalCluster
    async with LocalCluster(asynchronous=True) as cluster:
        cluster.scale(1)
        await cluster
        BODY

if __name__ == "__main__":
    asyncio.run(main())
"""


def program(body: str) -> str:
    lines = body.strip().splitlines()
    return PROGRAM.replace("BODY", "\n        ".join(line.rstrip() for line in lines))


# One cluster for all that leave it as it is: it is told what to run, line by line, and answers.
ON_REQUEST = """
loop = asyncio.get_running_loop()
while line := await loop.run_in_executor(None, sys.stdin.readline):
    names = {**globals(), "cluster": cluster}
    exec("async def body():\\n" + textwrap.indent(json.loads(line), "    "), names)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        await names["body"]()
    print(json.dumps(said.getvalue()), flush=True)
"""


def without_malloc(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that a worker started within this process has left there."""
    return {k: v for k, v in environment.items() if not k.startswith("MALLOC_")}


class Running:
    """A session's cluster that runs, in a process of its own."""

    def __init__(self, layout: Layout, process: subprocess.Popen[str], log: Path) -> None:
        self.layout = layout
        self._process = process
        self._log = log

    def __call__(self, body: str) -> str:
        """Run a piece of a program in it; returns what that printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(body)}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()
        said: str = json.loads(answer)
        return said


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    site = Site(name="here", queue="local", pools={"default": Pool(cores=1, memory="512MiB")})
    layout = Layout(PurePosixPath(home / "s-1a2b"))
    Path(layout.directory).mkdir(mode=0o700)
    Path(layout.site).write_text(site.model_dump_json())
    make_credentials(layout)
    (home / "program.py").write_text(program(ON_REQUEST))
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, home / "program.py"],
            env=without_malloc(os.environ) | write_dask_config(layout, site, workers=0, environ={}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Running(layout, process, home / "log")
        process.communicate(timeout=120)


def test_a_plain_client_computes_over_tls(running) -> None:
    said = running("""
print(await kernel(
    "from dask.distributed import Client\\n"
    "c = Client(); print(c.scheduler.address, c.submit(lambda: 6 * 7).result())"))
""")
    address, answer = said.split()
    assert address.startswith("tls://127.0.0.1:")
    assert answer == "42"
    # A new kernel reads the address from the session's configuration.
    config = yaml.safe_load((Path(running.layout.dask) / "rsdat.yaml").read_text())
    assert config["scheduler-address"] == address


def test_workers_keep_freed_memory_for_the_next_tile(running, run, session) -> None:
    asked = """
print(await kernel(
    "from dask.distributed import Client\\n"
    "import os\\n"
    "names = 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'OMP_NUM_THREADS'\\n"
    "print(*Client().submit(lambda: [os.environ.get(name) for name in names]).result())"))
"""
    assert running(asked).split() == ["33554432", "67108864", "1"]
    own = {**without_malloc(session), "MALLOC_TRIM_THRESHOLD_": "1000000"}
    assert run(program(asked), own).split() == ["33554432", "1000000", "1"]


def test_the_sessions_client_connects_from_an_old_kernel_and_from_a_shell(running) -> None:
    said = running("""
home = os.path.dirname(os.environ["RSDAT_SESSION"])
ask = "import rsdat; print(rsdat.client(DIR).submit(sum, [1, 2]).result())"
directory = repr(os.environ["RSDAT_SESSION"])
print(await kernel(ask.replace("DIR", "")))
# A shell outside the session: no configuration, no variable.
print(await kernel(ask.replace("DIR", directory), DASK_CONFIG="", RSDAT_SESSION=""))
os.makedirs(home + "/.rsdat/sessions")
os.symlink(os.environ["RSDAT_SESSION"], home + "/.rsdat/sessions/s-1a2b")
# A session that was killed, and has left an address where nobody listens.
os.makedirs(home + "/.rsdat/sessions/s-dead/dask")
with open(home + "/.rsdat/sessions/s-dead/dask/rsdat.yaml", "w") as file:
    file.write("scheduler-address: tls://127.0.0.1:1")
print(await kernel(ask.replace("DIR", ""), DASK_CONFIG="", RSDAT_SESSION="", HOME=home))
""")
    assert said.split() == ["3", "3", "3"]


def test_the_notebooks_client_is_one_and_the_same(running) -> None:
    said = running('print(await kernel("import rsdat; print(rsdat.client() is rsdat.client())"))')
    assert said.strip() == "True"


def test_a_client_without_certificates_is_refused(running) -> None:
    said = running("""
code, out, err = await child(
    "import sys\\n"
    "from dask.distributed import Client\\n"
    "print(Client(sys.argv[1], timeout=3))".replace("sys.argv[1]", repr(cluster.scheduler_address)),
    DASK_CONFIG="", RSDAT_SESSION="")
print(code, "TLS" in err or "ssl" in err.lower())
code, out, err = await child(
    "from dask.distributed import Client\\n"
    "print(Client(ADDRESS, timeout=3))".replace(
        "ADDRESS", repr(cluster.scheduler_address.replace("tls", "tcp"))),
    DASK_CONFIG="", RSDAT_SESSION="")
print(code)
""")
    assert said.split() == ["1", "True", "1"]


def test_a_certificate_of_another_session_is_refused(running, tmp_path) -> None:
    other = Layout(PurePosixPath(tmp_path / "other"))
    Path(other.directory).mkdir()
    make_credentials(other)
    config = yaml.safe_load((Path(running.layout.dask) / "rsdat.yaml").read_text())
    (Path(other.directory) / "dask").mkdir()
    text = yaml.safe_dump(config).replace(str(running.layout.directory), str(other.directory))
    (Path(other.dask) / "rsdat.yaml").write_text(text)
    said = running(f"""
code, out, err = await child(
    "from dask.distributed import Client; Client(ADDRESS, timeout=3)".replace(
        "ADDRESS", repr(cluster.scheduler_address)), DASK_CONFIG={str(other.dask)!r})
print(code)
""")
    assert said.split() == ["1"]


def test_readiness_is_a_client_that_was_accepted(running) -> None:
    said = running("""
from rsdat.cluster import cluster_accepts_client
from rsdat.cluster.clients import find_session
print(await cluster_accepts_client(find_session()) == cluster.scheduler_address)
""")
    assert said.strip() == "True"


def test_nothing_of_it_listens_beyond_loopback(running) -> None:
    said = running("""
import contextlib, psutil
me = psutil.Process()
for process in [me, *me.children(recursive=True)]:
    # One that has just ended listens nowhere.
    with contextlib.suppress(psutil.NoSuchProcess):
        for connection in process.net_connections("tcp"):
            if connection.status == "LISTEN":
                print(connection.laddr.ip)
""")
    assert set(said.split()) == {"127.0.0.1"}


def test_the_dashboard_is_behind_jupyters_proxy(running) -> None:
    said = running("""
print(cluster.dashboard_link, cluster.scheduler.http_server.port)
""")
    link, port = said.split()
    assert link == f"/proxy/{port}/status"


def test_limits_are_named_when_they_are_exceeded(run, layout, site, session) -> None:
    limited = json.loads(site.model_dump_json()) | {"limits": {"workers": 2}}
    Path(layout.site).write_text(json.dumps(limited))
    said = run(
        program("""
from rsdat.errors import ConfigError
for ask in (lambda: cluster.scale(3), lambda: cluster.scale(1, pool="big"),
            lambda: cluster.adapt(minimum=0, maximum=9), lambda: cluster.scale(-1)):
    try:
        ask()
    except ConfigError as error:
        print(error.message)
"""),
        session,
    )
    assert said.splitlines() == [
        "3 workers are more than site here allows (2)",
        "site here has no worker pool 'big'",
        "9 workers are more than site here allows (2)",
        "a number of workers cannot be negative",
    ]


def test_a_dead_scheduler_is_a_clear_error(run, session, layout) -> None:
    run(program("pass"), session)
    said = run(
        """
import rsdat
from rsdat.errors import SessionError
try:
    rsdat.client(timeout=1)
except SessionError as error:
    print(error.message, "/", error.hint)
""",
        session,
    )
    assert "the Dask scheduler of session s-1a2b at tls://127.0.0.1:" in said
    assert "does not answer" in said
    assert "rsdat status s-1a2b" in said


def test_a_cluster_that_cannot_start_is_an_error_and_not_a_wait_for_ever(
    run, session, layout
) -> None:
    Path(layout.site).unlink()
    said = run(
        """
import asyncio
async def main():
    from dask_labextension.manager import manager
    from rsdat.cluster import extension
    extension._mend_manager()
    try:
        await asyncio.wait_for(manager, 120)
    except Exception as error:
        print(error)
asyncio.run(main())
""",
        session,
    )
    assert said.strip() == f"there is no session in {layout.directory}: site.json is missing"


@pytest.mark.parametrize("given", [True, False])
def test_no_session_is_a_clear_error(run, tmp_path, given: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("RSDAT_SESSION",)}
    argument = repr(str(tmp_path / "gone")) if given else ""
    said = run(
        f"""
import rsdat
from rsdat.errors import SessionError
try:
    rsdat.client({argument})
except SessionError as error:
    print(error.message)
""",
        environment | {"HOME": str(tmp_path)},
    )
    gone = f"there is no session in {tmp_path / 'gone'}"
    assert said.strip() == (gone if given else "there is no running session on this machine")
