"""The shell scripts, run for real, and the parsing of what they print."""

import json
import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from rsdat.session import remote


def launch(root: Path, session: str, *submit: str, interpreter: str = "", files=None):
    return subprocess.run(
        remote.call("launch", str(root), session, interpreter, *submit),
        input=remote.bundle(files or {"job.sh": "true\n", "request.json": '{"name": "lab"}'}),
        capture_output=True,
    )


def listing(root: Path, *queue: str, ended: bool = False) -> remote.Listing:
    argv = remote.call("list", str(root), "all" if ended else "live", *(queue or ("true",)))
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return remote.parse_listing(done.stdout)


def watch(directory: Path, *queue: str) -> list[remote.Event]:
    argv = remote.call("watch", str(directory), *(queue or ("true",)))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return list(remote.parse_events(done.stdout.splitlines()))


def test_launch_writes_the_files_privately_and_reports_the_submission(tmp_path: Path) -> None:
    done = launch(tmp_path, "lab-2", "sh", "-c", "ls; echo 42")
    report = remote.parse_submitted(done.stdout.decode())
    directory = tmp_path / "sessions" / "lab-2"
    assert report.directory == str(directory)
    assert report.answer.splitlines()[-1] == "42"
    assert "job.sh" in report.answer  # the files were there before the submission
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_launch_leaves_no_directory_behind_when_the_queue_refuses(tmp_path: Path) -> None:
    done = launch(tmp_path, "lab-2", "sh", "-c", "echo sbatch: error: no >&2; exit 3")
    assert done.returncode == 3
    assert done.stderr == b"sbatch: error: no\n"
    assert list((tmp_path / "sessions").iterdir()) == []


def test_launch_never_touches_an_existing_session(tmp_path: Path) -> None:
    launch(tmp_path, "lab-2", "echo", "1")
    again = launch(tmp_path, "lab-2", "echo", "2")
    assert again.returncode == remote.NO_SPACE
    assert (tmp_path / "sessions" / "lab-2" / "job").read_text() == "1\n"


def test_launch_submits_nothing_without_the_interpreter(tmp_path: Path) -> None:
    missing = tmp_path / "environments" / "bin" / "python"
    submitted = tmp_path / "submitted"
    done = launch(tmp_path, "lab-2", "touch", str(submitted), interpreter=str(missing))
    assert done.returncode == remote.NO_ENVIRONMENT
    assert str(missing) in done.stderr.decode()
    assert not submitted.exists()
    assert not (tmp_path / "sessions").exists()


def test_launch_that_cannot_write_its_files_leaves_nothing(tmp_path: Path) -> None:
    submitted = tmp_path / "submitted"
    done = subprocess.run(
        remote.call("launch", str(tmp_path), "lab-2", "", "touch", str(submitted)),
        input=remote.bundle({"site.json": "x" * 100_000}),
        capture_output=True,
        # As on a full disk or quota, writing stops in the middle.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )
    assert done.returncode == remote.NO_SPACE
    assert list((tmp_path / "sessions").iterdir()) == []
    assert not submitted.exists()


def test_a_tilde_means_the_home_of_the_host(tmp_path: Path) -> None:
    done = subprocess.run(
        remote.call("launch", "~/.rsdat", "lab-2", "", "echo", "1"),
        input=remote.bundle({"job.sh": ""}),
        capture_output=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    report = remote.parse_submitted(done.stdout.decode())
    assert report.directory == f"{tmp_path}/.rsdat/sessions/lab-2"


def test_list_reads_all_sessions_and_the_queue_in_one_call(tmp_path: Path) -> None:
    launch(tmp_path, "lab-2", "echo", "7")
    launch(tmp_path, "geo-3", "echo", "8")
    directory = tmp_path / "sessions" / "lab-2"
    (directory / "ready.json").write_text('{"node": "c1",\n "socket": null}')
    (directory / "workers").mkdir()
    (directory / "workers" / "w-1-9.log").write_text("")
    found = listing(tmp_path, "sh", "-c", "echo 7 RUNNING")
    assert found.queue_status == 0
    assert found.queue_text.strip() == "7 RUNNING"
    records = {record.id: record for record in found.records}
    assert records["lab-2"].job == "7"
    assert records["lab-2"].ready == {"node": "c1", "socket": None}
    assert records["lab-2"].worker_logs == ("w-1-9.log",)
    assert records["geo-3"].ready is None


def test_list_leaves_out_ended_sessions_unless_asked(tmp_path: Path) -> None:
    launch(tmp_path, "lab-2", "echo", "7")
    (tmp_path / "sessions" / "lab-2" / "end.json").write_text('{"reason": "stopped"}')
    assert listing(tmp_path).records == ()
    assert len(listing(tmp_path, ended=True).records) == 1


def test_list_shows_a_session_that_is_ending_as_long_as_the_queue_has_a_job_of_it(
    tmp_path: Path,
) -> None:
    launch(tmp_path, "lab-2", "echo", "7")
    (tmp_path / "sessions" / "lab-2" / "end.json").write_text('{"reason": "walltime"}')
    (one,) = listing(tmp_path, "echo", "7|RUNNING|rsdat-lab-2").records
    assert one.end == {"reason": "walltime"}
    assert one.job == "7"


def test_list_survives_a_half_written_file(tmp_path: Path) -> None:
    launch(tmp_path, "lab-2", "echo", "7")
    (tmp_path / "sessions" / "lab-2" / "ready.json").write_text('{"node": ')
    assert listing(tmp_path).records[0].ready is None


def test_list_of_a_user_who_never_launched_is_empty(tmp_path: Path) -> None:
    assert listing(tmp_path / "nowhere").records == ()


def test_list_reports_a_queue_that_does_not_answer(tmp_path: Path) -> None:
    found = listing(tmp_path, "sh", "-c", "echo Unable to contact >&2; exit 1")
    assert found.queue_status == 1
    assert "Unable to contact" in found.queue_text


def test_watch_tells_the_node_then_readiness(tmp_path: Path) -> None:
    (tmp_path / "node").write_text("c1")
    (tmp_path / "ready.json").write_text(json.dumps({"node": "c1", "tcp": None}, indent=2))
    events = watch(tmp_path)
    assert [event.kind for event in events] == ["node", "ready"]
    assert events[1].data["node"] == "c1"


def test_watch_asks_the_queue_while_nothing_is_there_yet(tmp_path: Path) -> None:
    # The queue's command itself makes the session ready: the next look must see it.
    argv = ["sh", "-c", f"echo '1|PENDING'; echo '{{}}' > {tmp_path}/ready.json"]
    events = watch(tmp_path, *argv)
    assert [event.kind for event in events] == ["queue", "ready"]
    assert events[0].text == "1|PENDING"
    assert events[0].status == 0


def test_watch_waits_for_the_tcp_address_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tcp-wanted").touch()
    (tmp_path / "ready.json").write_text(json.dumps({"node": "c1", "tcp": None}, indent=2))
    ready = json.dumps({"node": "c1", "tcp": {"host": "10.0.0.1", "port": 5}}, indent=2)
    (tmp_path / "next").write_text(ready)
    events = watch(tmp_path, "mv", f"{tmp_path}/next", f"{tmp_path}/ready.json")
    assert events[-1].kind == "ready"
    assert events[-1].data["tcp"] == {"host": "10.0.0.1", "port": 5}


def test_watch_ends_when_the_session_has_ended_or_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "end.json").write_text('{"reason": "failed",\n"message": "no"}')
    assert [event.kind for event in watch(tmp_path)] == ["end"]
    assert [event.kind for event in watch(tmp_path / "nowhere")] == ["missing"]


def test_an_answer_that_is_no_report_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected answer"):
        remote.parse_submitted("Welcome to the cluster\n")
