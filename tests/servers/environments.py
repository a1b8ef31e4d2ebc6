"""Python environments beside that of the tests, for servers and releases whose pins may collide.

Each is filled from a lock file once and kept in ``.cache``, named after the lock's hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from .programs import missing

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "environments"


def python_of(name: str) -> Path:
    """The interpreter of the environment that ``NAME.lock`` beside this file describes."""
    lock_file = HERE / f"{name}.lock"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    directory = CACHE / f"{name}-{version}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.guard").open("w") as guard:
        # One test process fills it, the others wait.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            _fill(directory, lock_file)
    return directory / "bin" / "python"


def _fill(directory: Path, lock_file: Path) -> None:
    from uv import find_uv_bin

    uv = find_uv_bin()
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, directory], check=True)
    python = directory / "bin" / "python"
    # The lock holds everything; what a release pins beyond it was overridden on purpose.
    argv = [uv, "pip", "install", "-q", "--no-deps", "--require-hashes", "--link-mode", "copy"]
    argv += ["--python", python, "-r", lock_file]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"the environment {lock_file.stem} cannot be filled: {done.stderr.strip()[-500:]}")
    (directory / "complete").touch()
