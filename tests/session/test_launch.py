"""A submission whose answer never comes."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from rsdat.config.models import Site
from rsdat.errors import HostError
from rsdat.host.ssh import SSHHost
from rsdat.session.launch import plan, submit
from tests.conftest import Sshd


def test_a_connection_that_breaks_at_the_submission_is_told_with_how_to_find_out(
    sshd: Sshd, tmp_path: Path
) -> None:
    site = Site(name="far", directory=str(tmp_path / "root"))
    started = tmp_path / "started"
    waits = ("sh", "-c", 'touch "$1"; exec sleep 60', "-", str(started))
    wanted = dataclasses.replace(plan(site), submit=waits, interpreter="")
    host = SSHHost("login", ssh_config=str(sshd.ssh_config))
    host.connect(interactive=False)

    def sever() -> None:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        sshd.sever()

    breaking = threading.Thread(target=sever)
    breaking.start()
    with pytest.raises(HostError, match="is not known") as error:
        submit(wanted, host)
    breaking.join()
    assert wanted.id in error.value.message
    assert "rsdat ls far" in str(error.value.hint)
