"""Ctrl-C in the middle of a submission neither tears it in two nor hides it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
from rsdat.cli.interrupts import held
from rsdat.host import open_host

script = "touch started; while [ ! -e go ]; do sleep 0.02; done; echo 7 > submitted"
try:
    with held():
        open_host(None).run(["sh", "-c", script])
    sys.exit("not interrupted")
except KeyboardInterrupt:
    sys.exit(130)
"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_a_command_under_way_survives_ctrl_c_and_the_interrupt_comes_after(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, start_new_session=True
    )
    wait_for(tmp_path / "started")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    (tmp_path / "go").touch()
    assert process.wait(60) == 130
    assert (tmp_path / "submitted").read_text() == "7\n"
