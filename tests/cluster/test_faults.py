"""Wrong input and broken parts: each has a message, a next step and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import Laptop, VirtualCluster, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    laptop = Laptop()
    yield laptop
    laptop.close()


def sessions(cluster: VirtualCluster, user: str = "researcher") -> set[str]:
    directory = cluster.home(user) / ".rsdat" / "sessions"
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def launch(
    laptop: Laptop, *options: str, site: str = "virtual"
) -> subprocess.CompletedProcess[str]:
    return laptop("launch", site, "--no-browser", *options)


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command failed in the documented way: one message, a next step, no traceback."""
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert "→" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_an_unknown_site_that_is_no_host_either(laptop: Laptop) -> None:
    refused(launch(laptop, site="virtuel"), 4, "virtuel", "virtual", "rsdat site list")


def test_a_misspelt_key_is_named_with_its_line_and_the_nearest(laptop: Laptop) -> None:
    directory = Path(laptop.environment["XDG_CONFIG_HOME"]) / "rsdat" / "sites"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "virtual.yaml").write_text("head:\n  coers: 2\n")
    refused(launch(laptop), 3, "virtual.yaml:2", "coers", "cores")


def test_an_account_without_permission(laptop: Laptop, installed: VirtualCluster) -> None:
    before = sessions(installed)
    refused(launch(laptop, "--account", "closed"), 5, "account", "rsdat doctor virtual")
    assert sessions(installed) == before


def test_an_unknown_partition(laptop: Laptop, installed: VirtualCluster) -> None:
    before = sessions(installed)
    refused(launch(laptop, "--partition", "nowhere"), 5, "partition")
    assert sessions(installed) == before


def test_more_cores_than_any_node_has_is_said_while_waiting(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    """This SLURM takes such a job and never starts it."""
    # Its first answers may give no reason, or another one.
    wait_and_detach(laptop, "asks for more than", "--cores", "500", "--name", "huge")
    laptop("stop", "huge", check=True)


def wait_and_detach(laptop: Laptop, words: str, *options: str) -> str:
    """Launch, read on until these words come, press Ctrl-C; what was heard."""
    process = laptop.popen("launch", "virtual", "--no-browser", *options)
    heard = ""
    try:
        assert process.stderr is not None
        while words not in heard:
            line = process.stderr.readline()
            assert line, heard
            heard += line
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    return heard


def test_more_walltime_than_the_site_allows(laptop: Laptop) -> None:
    done = launch(laptop, "--walltime", "90d")
    assert done.returncode in (3, 5)
    assert "Traceback" not in done.stderr


def test_a_partition_that_is_down_is_said_while_waiting(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    with installed.partition_down():
        heard = wait_and_detach(laptop, "the partition is down", "--name", "waits")
        assert "is waiting" in heard
        status = laptop("status", "waits", check=True).stdout
        assert "waiting" in status
        assert "partition" in status
        laptop("stop", "waits", check=True)


def test_a_missing_environment_is_told_before_anything_is_submitted(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    laptop.environment["RSDAT_DIRECTORY"] = "~/.rsdat-empty"
    refused(launch(laptop), 7, "rsdat env install virtual")
    assert not (installed.home() / ".rsdat-empty").exists()


def test_a_job_whose_python_is_not_found_says_so(laptop: Laptop, installed: VirtualCluster) -> None:
    """The interpreter comes from a prologue, so that only the job can tell."""
    laptop.environment["RSDAT_ENVIRONMENT__PYTHON"] = "python-that-is-not-there"
    refused(launch(laptop, "--name", "nopy"), 7, "not found", "rsdat env install virtual")


def test_a_full_home_is_named(laptop: Laptop, installed: VirtualCluster) -> None:
    laptop.environment["RSDAT_CONNECTION__HOST"] = "rsdat-virtual-cramped"
    laptop.environment["RSDAT_ENVIRONMENT__PYTHON"] = "/usr/bin/python3"
    home = installed.home("cramped")
    filler = home / "filler"
    installed.run(
        "login", "sh", "-c", "cat /dev/zero > ~/filler; true", user="cramped", check=False
    )
    try:
        refused(launch(laptop), 4, "space")
    finally:
        filler.unlink(missing_ok=True)
    assert sessions(installed, "cramped") == set()


def test_a_controller_that_does_not_answer_is_unknown_and_not_gone(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    body = json.loads(
        laptop("launch", "virtual", "--no-browser", "--json", "--name", "steady", check=True).stdout
    )
    with installed.controller_stopped():
        rows = json.loads(laptop("ls", "virtual", "--json", check=True).stdout)
        (row,) = [one for one in rows if one["session"] == body["session"]]
        assert row["state"] == "unknown"
        again = json.loads(laptop("connect", "steady", "--json", check=True).stdout)
        assert again["url"] == body["url"]
        refused(laptop("stop", "steady"), 5, "does not answer", "rsdat stop")
    eventually(
        "the queue answers again",
        lambda: laptop("status", "steady").stdout.count("ready") == 1,
    )
    laptop("stop", "steady", check=True)


def test_a_launch_while_the_controller_is_away_leaves_no_directory(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    before = sessions(installed)
    with installed.controller_stopped():
        refused(launch(laptop), 5, "controller")
    assert sessions(installed) == before


def test_nodes_without_ssh_are_reached_through_the_login_host(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    with installed.without_node_ssh():
        body = json.loads(
            laptop(
                "launch", "virtual", "--no-browser", "--json", "--name", "tcp", check=True
            ).stdout
        )
        directory = installed.home() / Path(body["directory"]).relative_to("/home/researcher")
        ready = json.loads((directory / "ready.json").read_text())
        assert not ready["tcp"]["host"].startswith(("0.", "127."))
        laptop("stop", "tcp", check=True)
        # The route is remembered: the next session opens TCP at once.
        body = json.loads(
            laptop(
                "launch", "virtual", "--no-browser", "--json", "--name", "tcp", check=True
            ).stdout
        )
        directory = installed.home() / Path(body["directory"]).relative_to("/home/researcher")
        assert (directory / "tcp-wanted").exists()
        laptop("stop", "tcp", check=True)


def test_the_local_port_is_taken(laptop: Laptop, installed: VirtualCluster) -> None:
    import socket

    body = json.loads(
        laptop("launch", "virtual", "--no-browser", "--json", "--name", "port", check=True).stdout
    )
    fresh = Laptop()
    try:
        with socket.socket() as other:
            # Whatever laptop it is, something else holds the session's own port and the next.
            other.bind(("127.0.0.1", body["port"] + 1))
            other.listen()
            again = json.loads(fresh("connect", "virtual/port", "--json", check=True).stdout)
            assert again["port"] == body["port"] + 2
    finally:
        fresh.close()
        laptop("stop", "port", check=True)


def test_a_deleted_session_directory_is_named_and_the_job_can_be_stopped(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    body = json.loads(
        laptop("launch", "virtual", "--no-browser", "--json", "--name", "lost", check=True).stdout
    )
    # In one step: its head may write a file while the others are being removed.
    away = f"/home/researcher/{body['session']}"
    installed.run("login", "mv", body["directory"], away, user="researcher")
    installed.run("login", "rm", "-rf", away, user="researcher")
    refused(laptop("connect", body["session"]), 6, body["session"])
    done = laptop("stop", body["session"], check=True)
    assert "cancelled and gone" in done.stdout
    assert body["job"] not in installed.jobs()


def test_the_network_breaks_and_the_tunnel_comes_back_on_the_same_port(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    import urllib.request

    body = json.loads(
        laptop("launch", "virtual", "--no-browser", "--json", "--name", "net", check=True).stdout
    )
    base = body["url"].partition("lab?")[0] + "api"

    def answers(seconds: float = 60) -> bool:
        try:
            with urllib.request.urlopen(base, timeout=seconds) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    assert answers()
    with installed.cut("login"):
        assert not answers(1)
    eventually("the tunnel is back", answers)
    laptop("stop", "net", check=True)


def test_an_unknown_session(laptop: Laptop) -> None:
    refused(laptop("connect", "nobody"), 6, "nobody", "rsdat ls")


def test_errors_are_json_for_scripts(laptop: Laptop) -> None:
    done = laptop("connect", "nobody", "--json")
    body = json.loads(done.stderr)
    assert body["exit_code"] == done.returncode == 6
    assert body["hint"]
