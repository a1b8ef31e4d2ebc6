"""The command line in a terminal of the session itself, where the cluster is this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.conftest import Done, Laptop, VirtualCluster, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]

RSDAT = "/home/researcher/.rsdat/environments/default/bin/rsdat"


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    laptop = Laptop()
    yield laptop
    laptop.close()


@pytest.fixture
def session(laptop: Laptop, installed: VirtualCluster) -> Iterator[dict[str, Any]]:
    options = ("--no-browser", "--json", "--name", "inner")
    body: dict[str, Any] = json.loads(laptop("launch", "virtual", *options, check=True).stdout)
    yield body | json.loads(laptop("status", body["session"], "--json", check=True).stdout)
    laptop("stop", body["session"], check=True)


@pytest.fixture
def inside(session: dict[str, Any], installed: VirtualCluster) -> Callable[..., Done]:
    """``rsdat`` on the session's node, with the variable that its terminals have."""
    # A state of its own: the home is shared, and other tests have used other sites there.
    variables = (f"RSDAT_SESSION={session['directory']}", "XDG_STATE_HOME=/tmp/inside")

    def run(*arguments: str, check: bool = True) -> Done:
        argv = ("env", *variables, RSDAT, *arguments)
        return installed.run(session["node"], *argv, user="researcher", check=check, timeout=120)

    return run


def test_the_commands_act_on_the_enclosing_session_by_its_own_socket(
    session: dict[str, Any], inside: Callable[..., Done], installed: VirtualCluster
) -> None:
    inside("scale", "1")

    def workers() -> int:
        return len(json.loads(inside("status", "--json").stdout)["cluster"]["workers"])

    eventually("a worker is connected", lambda: workers() == 1)
    assert "dashboard   /proxy/" in inside("status", session["session"]).stdout
    assert "the session is ready" in inside("logs").stdout
    rows = json.loads(inside("ls", "--json").stdout)
    assert [row["state"] for row in rows if row["session"] == session["session"]] == ["ready"]
    refused = inside("connect", check=False)
    assert refused.returncode == 6
    assert "runs inside session" in refused.stderr
    inside("scale", "0", "inner")


def test_stop_in_the_session_ends_it(
    session: dict[str, Any], inside: Callable[..., Done], installed: VirtualCluster
) -> None:
    inside("stop")
    assert session["job"] not in installed.jobs()


def test_stop_all_on_the_login_host_leaves_other_queues_sessions_alone(
    session: dict[str, Any], installed: VirtualCluster, laptop: Laptop
) -> None:
    """Without a site of its own, that host's queue is none: it knows nothing of Slurm's jobs."""
    argv = ("env", "XDG_STATE_HOME=/tmp/fresh", RSDAT)
    installed.run("login", *argv, "stop", "--all", user="researcher")
    done = installed.run("login", *argv, "stop", session["session"], user="researcher", check=False)
    assert done.returncode == 6
    row = json.loads(laptop("status", session["session"], "--json", check=True).stdout)
    assert row["state"] == "ready"


def test_core_hours_count_workers_that_have_ended(
    session: dict[str, Any], laptop: Laptop, installed: VirtualCluster
) -> None:
    laptop("scale", "1", "inner", check=True)

    def row() -> dict[str, Any]:
        body: dict[str, Any] = json.loads(laptop("status", "inner", "--json", check=True).stdout)
        return body

    eventually("a worker is connected", lambda: row()["cluster"]["workers"])
    job = row()["worker_jobs"][0]["job"]
    laptop("scale", "0", "inner", check=True)
    eventually("the worker job is gone", lambda: job not in installed.jobs())
    logs = installed.run("login", "ls", f"{session['directory']}/workers", user="researcher")
    assert f"w1-{job}.log" in logs.stdout
    used = row()["core_hours"]
    assert used["complete"]
    assert used["workers"] > 0
