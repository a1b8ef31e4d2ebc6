"""The argv of each step; conda, mamba and pixi themselves do not run in the tests."""

from pathlib import Path

import pytest

from rsdat.environment import conda
from rsdat.host.local import LocalHost


@pytest.mark.parametrize("manager", ["conda", "mamba"])
def test_conda_and_mamba(manager) -> None:
    assert conda.create(manager, "/e/packages-1", "/e/environment.yaml") == [
        [
            manager,
            "env",
            "create",
            "--yes",
            "--quiet",
            "--prefix",
            "/e/packages-1",
            "--file",
            "/e/environment.yaml",
        ]
    ]
    assert conda.prefix(manager, "/e/packages-1") == "/e/packages-1"


def test_pixi() -> None:
    assert conda.create("pixi", "/e/packages-1", "/e/environment.yaml") == [
        ["pixi", "init", "--import", "/e/environment.yaml", "/e/packages-1"],
        ["pixi", "install", "--manifest-path", "/e/packages-1/pixi.toml"],
    ]
    assert conda.prefix("pixi", "/e/packages-1") == "/e/packages-1/.pixi/envs/default"


def test_the_command_runs_with_the_lock_held(tmp_path: Path) -> None:
    lock = str(tmp_path / "new" / "lock")
    argv = conda.locked(["sh", "-c", 'flock --nonblock "$0" true; echo $?', lock], lock)
    assert LocalHost().run(argv).stdout == "1\n"
    assert LocalHost().run(["flock", "--nonblock", lock, "echo", "free"]).stdout == "free\n"
