"""The session's cluster through a real Jupyter server: the lab extension's interface and ours."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsdat.cluster import rest
from rsdat.cluster.handle import get_cluster
from rsdat.cluster.layout import Layout
from rsdat.errors import ConfigError, SessionError

TOKEN = "not-a-secret-in-a-test"


def eventually(what: str, ready: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return answer


@pytest.fixture
def server(
    session: dict[str, str], layout: Layout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A Jupyter server on a unix socket, with the session's cluster; its base for REST."""
    runtime = tmp_path_factory.mktemp("j")
    socket = runtime / "s"
    Path(layout.token).write_text(TOKEN)
    Path(layout.ready).write_text(json.dumps({"node": "here", "socket": str(socket)}))
    extensions = ("dask_labextension", "jupyter_server_proxy", "rsdat.cluster.extension")
    log = Path(layout.log).open("w")  # noqa: SIM115  (closed below)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            f"--ServerApp.sock={socket}",
            *(f"--ServerApp.jpserver_extensions={name}=True" for name in extensions),
        ],
        env=session
        | {"JUPYTER_TOKEN_FILE": str(layout.token), "JUPYTER_RUNTIME_DIR": str(runtime)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    base = rest.socket_base(str(socket))

    def answers() -> bool:
        assert process.poll() is None, Path(layout.log).read_text()
        try:
            return bool(rest.list_clusters(base, TOKEN))
        except SessionError:
            return False

    try:
        eventually("the server", answers)
        yield base
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def pool(base: str) -> dict[str, Any]:
    answer: dict[str, Any] = rest.status(base, TOKEN)["pools"]["default"]
    return answer


def test_panel_command_line_and_notebook_act_on_one_cluster(server: str, layout: Layout) -> None:
    (cluster,) = rest.list_clusters(server, TOKEN)
    assert cluster["name"] == layout.id

    # The command line.
    assert rest.scale(server, TOKEN, 1)["pools"]["default"]["wanted"] == 1
    eventually("one worker", lambda: pool(server)["running"] == 1)
    # A notebook.
    handle = get_cluster(str(layout.directory))
    assert [worker["threads"] for worker in handle.workers] == [1]
    assert layout.id in repr(handle)
    assert handle.dashboard_link in handle._repr_html_()
    handle.adapt(0, 2)
    assert rest.list_clusters(server, TOKEN)[0]["adapt"] == {"minimum": 0, "maximum": 2}
    # The panel: a number ends adaptive scaling.
    path = f"dask/clusters/{cluster['id']}"
    assert "adapt" not in rest.request(server, TOKEN, "PATCH", path, {"workers": 0})
    assert rest.status(server, TOKEN)["adapt"] is None
    eventually("no worker", lambda: pool(server)["running"] == 0)
    # What the panel's dashboard check asks for.
    plots = f"{handle.dashboard_link.strip('/').removesuffix('status')}individual-plots.json"

    def shown() -> bool:
        try:
            return "Individual Task Stream" in rest.request(server, TOKEN, "GET", plots)
        except SessionError:
            return False

    eventually("the dashboard", shown)

    with pytest.raises(ConfigError, match="no worker pool 'big'"):
        rest.scale(server, TOKEN, 1, "big")
    with pytest.raises(ConfigError, match="no range of workers"):
        handle.adapt(3, 1)
    with pytest.raises(SessionError, match="expected whole numbers: workers"):
        rest.request(server, TOKEN, "POST", "rsdat/scale", {"workers": "two"})
    with pytest.raises(SessionError, match="refused the session's token"):
        rest.status(server, "guessed")
    with pytest.raises(SessionError, match="refused the session's token"):
        rest.scale(server, "guessed", 1)
    assert TOKEN not in Path(layout.log).read_text()
    assert TOKEN not in repr(handle)

    # Closed in the panel.
    rest.request(server, TOKEN, "DELETE", path)
    with pytest.raises(SessionError, match="no Dask cluster"):
        rest.status(server, TOKEN)


def test_a_server_that_is_gone_is_a_clear_error(layout: Layout) -> None:
    with pytest.raises(SessionError, match=f"session {layout.id} is not ready"):
        get_cluster(str(layout.directory))
    Path(layout.ready).write_text(json.dumps({"node": "c7", "socket": "/tmp/gone", "tcp": None}))
    with pytest.raises(SessionError, match="runs on c7 and cannot be reached from here"):
        get_cluster(str(layout.directory))
    with pytest.raises(SessionError, match="does not answer"):
        rest.status("http://127.0.0.1:1/", TOKEN)
    with pytest.raises(SessionError, match="not the address"):
        rest.status("ftp://example.org/", TOKEN)
