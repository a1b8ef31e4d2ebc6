"""The parts of the program that makes an environment; the whole runs in test_installation.py."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rsdat.environment.programs import make

OLD = time.time() - (make.UNUSED_DAYS + 1) * 86400


def environment(root: Path, name: str, packages: str, used: float) -> None:
    directory = root / name
    directory.mkdir()
    (directory / "environment.json").write_text(json.dumps({"packages": packages}))
    for stamp in ("complete", "used"):
        (directory / stamp).touch()
        os.utime(directory / stamp, (used, used))
    (root / packages).mkdir(exist_ok=True)


def test_what_no_session_runs_any_more_is_removed(tmp_path: Path) -> None:
    environment(tmp_path, "rsdat-now", "packages-b", OLD)
    environment(tmp_path, "rsdat-before", "packages-a", OLD)
    environment(tmp_path, "rsdat-in-a-session", "packages-c", time.time())
    environment(tmp_path, "rsdat-forgotten", "packages-d", OLD)
    (tmp_path / "packages-begun").mkdir()
    (tmp_path / "sessions").mkdir()
    make.prune(tmp_path, {"rsdat-now", "rsdat-before", None})
    assert {path.name for path in tmp_path.iterdir()} == {
        "rsdat-now",
        "rsdat-before",
        "rsdat-in-a-session",
        "packages-a",
        "packages-b",
        "packages-c",
        "sessions",
    }


def test_the_switch_is_one_step_and_says_what_was_before(tmp_path: Path) -> None:
    assert make.switch(tmp_path, "rsdat-1") is None
    (tmp_path / "default.new").symlink_to("left by an interrupted one")
    assert make.switch(tmp_path, "rsdat-2") == "rsdat-1"
    assert os.readlink(tmp_path / "default") == "rsdat-2"
    assert make.switch(tmp_path, "rsdat-2") == "rsdat-2"


def test_a_script_is_started_however_long_the_way_to_python_is(tmp_path: Path) -> None:
    directory = tmp_path / "with space" / ("deep" * 40)
    directory.mkdir(parents=True)
    python = directory / "python"
    python.symlink_to(sys.executable)
    for interpreter in (sys.executable, str(python)):
        script = tmp_path / "script"
        script.write_bytes(make.shebang(interpreter) + b"import sys; print(sys.argv[1:])\n")
        script.chmod(0o755)
        done = subprocess.run([script, "a b"], capture_output=True, text=True, check=True)
        assert done.stdout == "['a b']\n"


def test_only_scripts_of_the_packages_python_are_redirected() -> None:
    new = make.shebang("/new/bin/python")
    for given in (
        b"#!/old/bin/python\nbody",
        b"#!/old/bin/python3\nbody",
        b"#!/bin/sh\n'''exec' \"/old/bin/python\" \"$0\" \"$@\"\n' '''\nbody",
        b"#!/bin/sh\n'''exec' /old/bin/python \"$0\" \"$@\"\n' '''\nbody",
    ):
        assert make.redirected(given, "/old/bin/", "/new/bin/python") == new + b"body"
    for other in (b"#!/bin/sh\nexec true", b"#!/usr/bin/env bash\nbody", b"#!/else/bin/python\nx"):
        assert make.redirected(other, "/old/bin/", "/new/bin/python") == other
