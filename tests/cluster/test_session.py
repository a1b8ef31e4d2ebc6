"""The session's journey on real SLURM: launch, connect, scale, status, logs, stop."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Laptop, VirtualCluster, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]


def fetch(url: str, path: str) -> Any:
    """Ask JupyterLab for JSON, with the token of a URL that rsdat printed."""
    base, _, token = url.partition("lab?token=")
    request = urllib.request.Request(base + path, headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def launched(laptop: Laptop, *options: str) -> dict[str, Any]:
    done = laptop("launch", "virtual", "--no-browser", "--json", *options, check=True)
    body: dict[str, Any] = json.loads(done.stdout)
    return body


@pytest.fixture(scope="module")
def laptop() -> Iterator[Laptop]:
    laptop = Laptop()
    yield laptop
    laptop.close()


@pytest.fixture(scope="module")
def session(laptop: Laptop, installed: VirtualCluster) -> Iterator[dict[str, Any]]:
    """One session, shared by the tests that do not end it."""
    body = launched(laptop, "--name", "shared")
    yield body
    laptop("stop", body["session"], check=True)


def test_the_printed_address_answers_with_its_token_and_not_without(
    session: dict[str, Any],
) -> None:
    assert "version" in fetch(session["url"], "api")
    assert fetch(session["url"], "api/status")["kernels"] == 0
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(session["url"].partition("token=")[0] + "token=wrong", "api/status")
    assert refused.value.code == 403


def test_jupyterlab_listens_on_a_unix_socket_alone_where_ssh_to_the_node_works(
    session: dict[str, Any], installed: VirtualCluster
) -> None:
    home = installed.home()
    directory = home / Path(session["directory"]).relative_to("/home/researcher")
    ready = json.loads((directory / "ready.json").read_text())
    assert ready["socket"]
    assert ready["tcp"] is None
    assert not (directory / "tcp-wanted").exists()


def test_the_session_directory_is_private_and_holds_no_secret_elsewhere(
    session: dict[str, Any], installed: VirtualCluster
) -> None:
    home = installed.home()
    directory = home / Path(session["directory"]).relative_to("/home/researcher")
    token = (directory / "token").read_text()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # a draft that has got its name meanwhile
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"{path} is {mode:o}"
            if path.is_file() and path.name != "token":
                assert token not in path.read_text(errors="replace"), path
    # Neither the command line nor the environment of any process shows it.
    ready = json.loads((directory / "ready.json").read_text())
    # Processes end while they are looked at: cat's complaint about those is no finding.
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    seen = installed.run(ready["node"], "sh", "-c", look, check=False)
    assert "rsdat.session.head" in seen.stdout
    assert token not in seen.stdout
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        assert token.encode() not in text, process


def test_a_neighbour_reaches_neither_the_session_nor_its_scheduler(
    session: dict[str, Any], installed: VirtualCluster
) -> None:
    look = installed.run("login", "ls", session["directory"], user="neighbour", check=False)
    assert look.returncode != 0
    home = installed.home()
    directory = home / Path(session["directory"]).relative_to("/home/researcher")
    ready = json.loads((directory / "ready.json").read_text())
    scheduler = ready["scheduler"].removeprefix("tls://")
    host, _, port = scheduler.rpartition(":")
    # The port answers (workers need it), and speaks to nobody without the session's certificate.
    program = (
        "import socket,ssl,sys\n"
        "c=ssl.create_default_context(); c.check_hostname=False; c.verify_mode=ssl.CERT_NONE\n"
        f"s=c.wrap_socket(socket.create_connection(({host!r},{port}),60))\n"
        "try:\n    got=s.recv(1)\nexcept OSError:\n    got=b''\n"
        "sys.exit(3 if got==b'' else 0)\n"
    )
    done = installed.run("login", "/usr/bin/python3", "-c", program, user="neighbour", check=False)
    assert done.returncode == 3, done.stderr


def test_connect_from_another_laptop_gives_the_same_address(
    session: dict[str, Any], another_laptop: Callable[[], Laptop], laptop: Laptop
) -> None:
    again = json.loads(laptop("connect", session["session"], "--json", check=True).stdout)
    assert again["url"] == session["url"]
    other = another_laptop()
    try:
        body = json.loads(other("connect", "virtual/shared", "--json", check=True).stdout)
        assert body["session"] == session["session"]
        assert body["url"].partition("token=")[2] == session["url"].partition("token=")[2]
        # The port is taken by the first laptop's tunnel, so the next free one was found.
        assert body["port"] == session["port"] + 1
        assert fetch(body["url"], "api/status")
    finally:
        stop_tunnels(other)
        other.close()


def stop_tunnels(laptop: Laptop) -> None:
    """End the tunnels of a laptop without touching its sessions."""
    code = (
        "from rsdat.session.tunnel import list_tunnels, stop_tunnel\n"
        "[stop_tunnel(one.session) for one in list_tunnels()]"
    )
    subprocess.run([sys.executable, "-c", code], env=laptop.environment, check=True)


def test_status_and_ls_tell_job_node_times_and_workers(
    session: dict[str, Any], laptop: Laptop
) -> None:
    (row,) = [
        one
        for one in json.loads(laptop("ls", "--json", check=True).stdout)
        if one["session"] == session["session"]
    ]
    assert row["state"] == "ready"
    assert row["job"] == session["job"]
    body = json.loads(laptop("status", "shared", "--json", check=True).stdout)
    assert body["node"].startswith("c")
    assert 0 < body["remaining"] <= 4 * 3600
    assert body["core_hours"]["head"] >= 0
    text = laptop("status", "shared", check=True).stdout
    assert "remaining" in text
    assert "core-hours" in text


def test_scale_makes_worker_jobs_run_and_shrinks_again(
    session: dict[str, Any], laptop: Laptop, installed: VirtualCluster
) -> None:
    laptop("scale", "2", "shared", check=True)

    def workers() -> list[Any]:
        status = json.loads(laptop("status", "shared", "--json", check=True).stdout)
        return list(status["cluster"]["workers"])

    eventually("two workers connected", lambda: len(workers()) == 2)
    assert named(installed, session) == 3
    status = laptop("status", "shared", check=True).stdout
    assert "2 jobs running" in status
    assert "/proxy/" in status

    def logs() -> str:
        return laptop("logs", "shared", "--workers", check=True).stdout

    # The scheduler knows of a worker before the worker has written so.
    eventually("the workers' own word", lambda: "Registered to" in logs())
    laptop("scale", "0", "shared", check=True)
    eventually("the worker jobs gone", lambda: named(installed, session) == 1)


def named(cluster: VirtualCluster, session: dict[str, Any]) -> int:
    """How many jobs in the queue are of this session."""
    listing = cluster.run("login", "squeue", "-h", "-u", "researcher", "-o", "%j").stdout
    return sum(session["session"] in name for name in listing.splitlines())


def test_scale_names_an_unknown_pool(session: dict[str, Any], laptop: Laptop) -> None:
    done = laptop("scale", "2", "shared", "--pool", "bigg")
    assert done.returncode == 3
    assert "bigg" in done.stderr
    assert "big" in done.stderr


def test_logs_of_the_head(session: dict[str, Any], laptop: Laptop) -> None:
    text = laptop("logs", "shared", check=True).stdout
    assert "rsdat: the session is ready" in text


def test_a_killed_launch_leaves_its_job_and_connect_brings_the_session(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    # No job starts meanwhile, so that the launch is killed while it waits, however slow we are.
    with installed.partition_down():
        process = waiting_launch(laptop, "killed")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    body = json.loads(laptop("connect", "killed", "--json", check=True).stdout)
    assert fetch(body["url"], "api/status")
    stopped = laptop("stop", "killed", check=True).stdout
    assert "cancelled and gone" in stopped
    assert body["job"] not in installed.jobs()


def waiting_launch(laptop: Laptop, name: str) -> subprocess.Popen[str]:
    """A launch that says that its job is waiting."""
    process = laptop.popen("launch", "virtual", "--no-browser", "--name", name)
    assert process.stderr is not None
    heard = ""
    while "is waiting" not in heard:
        line = process.stderr.readline()
        assert line, heard
        heard += line
    return process


def test_ctrl_c_while_waiting_detaches_and_the_job_goes_on(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    with installed.partition_down():
        process = waiting_launch(laptop, "detached")
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "rsdat connect detached-" in said
    body = json.loads(laptop("connect", "detached", "--json", check=True).stdout)
    assert body["job"] in installed.jobs()
    laptop("stop", "detached", check=True)


def test_stop_cancels_workers_too_and_leaves_the_queue_empty(
    laptop: Laptop, installed: VirtualCluster
) -> None:
    body = launched(laptop, "--name", "full", "--workers", "2")

    eventually("head and two worker jobs", lambda: named(installed, body) == 3)
    laptop("stop", "full", check=True)
    assert named(installed, body) == 0
    # The session can still be read, and says how it ended.
    rows = json.loads(laptop("ls", "virtual", "--all", "--json", check=True).stdout)
    (row,) = [one for one in rows if one["session"] == body["session"]]
    assert row["state"] == "ended"
    assert "stopped on request" in row["why"]
    gone = laptop("connect", body["session"])
    assert gone.returncode == 6
    assert "has ended" in gone.stderr


def test_the_walltimes_end_is_said_and_orderly(laptop: Laptop, installed: VirtualCluster) -> None:
    """USR1, which SLURM sends before the walltime ends."""
    body = launched(laptop, "--name", "short", "--workers", "1")
    installed.run("login", "scancel", "--batch", "--signal=USR1", body["job"])
    eventually("the jobs are gone", lambda: body["job"] not in installed.jobs())
    rows = json.loads(laptop("ls", "virtual", "--all", "--json", check=True).stdout)
    (row,) = [one for one in rows if one["session"] == body["session"]]
    assert "walltime" in row["why"]
    # The head has cancelled its worker's job; that job's last processes end when they do.
    eventually("no job of the session is left", lambda: named(installed, body) == 0)
    assert "walltime" in laptop("logs", body["session"], check=True).stdout


def test_dry_run_submits_nothing(laptop: Laptop, installed: VirtualCluster) -> None:
    before = set(installed.jobs())
    done = laptop("launch", "virtual", "--dry-run", "--name", "dry", check=True)
    assert "#SBATCH --job-name=rsdat-dry-" in done.stdout
    assert "sbatch --parsable" in done.stdout
    assert set(installed.jobs()) <= before


def test_on_the_login_node_itself_no_ssh_is_needed(installed: VirtualCluster) -> None:
    """The same commands, run where the queue is."""
    python = "/home/researcher/.rsdat/environments/default/bin/rsdat"
    environment = "RSDAT_CONNECTION__HOST=login"
    done = installed.run(
        "login", "env", environment, python, "launch", "virtual", "--no-browser", "--json",
        "--name", "inside", user="researcher", timeout=180,
    )  # fmt: skip
    body = json.loads(done.stdout)
    try:
        look = "import sys,urllib.request as u; print(u.urlopen(sys.argv[1]).status)"
        base = body["url"].partition("lab?")[0] + "api"
        answer = installed.run(
            "login", "/usr/bin/python3", "-c", look, base, user="researcher", timeout=60
        )
        assert answer.stdout.strip() == "200"
    finally:
        installed.run(
            "login", "env", environment, python, "stop", body["session"],
            user="researcher", timeout=120,
        )  # fmt: skip


def test_an_unknown_ssh_host_is_drafted_from_its_queue_and_that_is_said(
    installed: VirtualCluster,
) -> None:
    """A compute node plays the laptop: the hosts of the cluster let their users in by ssh."""
    program = "/home/researcher/.rsdat/environments/default/bin/rsdat"

    def rsdat(*arguments: str) -> str:
        # A state of its own: the home is shared, and other tests have used other sites there.
        argv = ("env", "XDG_STATE_HOME=/tmp/laptop", program, *arguments)
        done = installed.run("c1", *argv, user="researcher", timeout=120)
        return f"{done.stdout}\n{done.stderr}"

    said = rsdat("launch", "researcher@login", "--no-browser", "--name", "drafted")
    try:
        assert "has no site file" in said
        assert "rsdat site init researcher@login" in said
        assert "lab?token=" in said
        assert "ready" in rsdat("ls")
    finally:
        stopped = rsdat("stop", "drafted")
    assert "cancelled and gone" in stopped
