"""What a Python and the environments beside it are, as one JSON line.

Runs on the site by whatever Python is found there, as old as 3.6, which must live long enough to
say that it is too old; ``task["root"]`` is the directory of the environments.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from typing import Any


def _record(directory: str) -> Any:
    try:
        with open(os.path.join(directory, "environment.json")) as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def _complete(root: str) -> Any:
    try:
        names = os.listdir(root)
    except OSError:
        return []
    return sorted(name for name in names if os.path.exists(os.path.join(root, name, "complete")))


def _leftovers(root: str) -> bool:
    """Whether an interrupted installation has left something that takes room."""
    try:
        names = os.listdir(root)
    except OSError:
        return False
    return any(
        name in ("wheels", "uv-cache")
        or (
            name.startswith("packages-")
            and not os.path.exists(os.path.join(root, name, "complete"))
        )
        for name in names
    )


def _sizes(directory: str) -> Any:
    try:
        return {entry.name: entry.stat().st_size for entry in os.scandir(directory)}
    except OSError:
        return {}


def _uv(root: str) -> Any:
    for path in (shutil.which("uv"), os.path.join(root, "tools", "uv")):
        try:
            if path and subprocess.call([path, "--version"], stdout=subprocess.DEVNULL) == 0:
                return path
        except OSError:
            pass
    return None


def _glibc() -> Any:
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError, AttributeError):
        return None
    return version if name == "glibc" else None


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def _distributions() -> Any:
    try:
        from importlib import metadata
    except ImportError:
        return {}
    found = {}  # type: dict[str, str]
    for distribution in metadata.distributions():
        # The first of a name on the path is the one that is imported; a broken one has no name.
        name = distribution.metadata["Name"] if distribution.metadata else None
        if name:
            found.setdefault(name, distribution.version)
    return found


def main(task: Any) -> None:
    """Print the facts."""
    root = os.path.abspath(os.path.expanduser(task["root"]))
    full = platform.python_version()
    facts = {
        "executable": sys.executable,
        "root": root,
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": full,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": full,
            "python_version": ".".join(full.split(".")[:2]),
            "sys_platform": sys.platform,
        },
        "glibc": _glibc(),
        "distributions": _distributions(),
    }
    if task.get("site"):
        facts.update(
            uv=_uv(root),
            ensurepip=_has("ensurepip"),
            record=_record(os.path.join(root, "default")),
            complete=_complete(root),
            leftovers=_leftovers(root),
            wheels=_sizes(os.path.join(root, "wheels")),
        )
    print("rsdat-env " + json.dumps(facts))


if __name__ == "__main__":
    main(globals()["task"])
