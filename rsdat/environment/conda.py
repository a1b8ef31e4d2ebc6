"""Environments by conda, mamba or pixi, where a site wants them: the argv of each step."""

from __future__ import annotations

from typing import Literal

Manager = Literal["conda", "mamba", "pixi"]

# Arguments: the lock file, then the command. flock is absent on few systems; then without.
_LOCKED = """\
mkdir -p "$(dirname "$1")" && exec 9>"$1" && shift
flock 9 2>/dev/null
exec "$@"
"""


def prefix(manager: Manager, directory: str) -> str:
    """Where the environment's ``bin`` lies, below the directory given to the manager."""
    return f"{directory}/.pixi/envs/default" if manager == "pixi" else directory


def create(manager: Manager, directory: str, specification: str) -> list[list[str]]:
    """The commands that make an environment in ``directory`` from an ``environment.yaml``."""
    if manager == "pixi":
        return [
            ["pixi", "init", "--import", specification, directory],
            ["pixi", "install", "--manifest-path", f"{directory}/pixi.toml"],
        ]
    return [
        [manager, "env", "create", "--yes", "--quiet", "--prefix", directory, "--file",
         specification]
    ]  # fmt: skip


def locked(argv: list[str], lock: str) -> list[str]:
    """The same command, holding the lock of the environments while it runs."""
    return ["sh", "-c", _LOCKED, "rsdat", lock, *argv]
