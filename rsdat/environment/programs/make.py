"""Make an environment and put it into use: packages from the lock, rsdat on top, one switch.

Runs on the site by the Python that the environment is made from. Below the root::

    packages-HASH/            everything from the lock; made once for each lock and Python
    rsdat-VERSION-HASH/       one version of rsdat on top of such packages: seconds to make
        venv/                 what a session runs; sees the packages through a .pth file
        bin/python            starts venv/bin/python by its full name
    default -> rsdat-…        what the next session runs

A directory is whole when it holds the file ``complete``, so an installation that was interrupted
is begun anew and never used. A session is started as ``default/bin/python``, which replaces itself
by the full name: what happens to ``default`` afterwards does not concern it.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: An environment that nothing was started from for so long has no session any more.
UNUSED_DAYS = 21

_CONSOLE_SCRIPT = """\
import sys
from {module} import {function}
sys.exit({function}())
"""


class Failed(Exception):
    """An installation cannot go on; ``kind`` says which sort of help is needed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def say(**event: Any) -> None:
    """Tell the laptop."""
    print("rsdat-env " + json.dumps(event), flush=True)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[int]:
    """Only one installation at a time; the others wait."""
    with (root / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(progress="waiting for another installation that is under way")
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError:
            # Some shared file systems have no locks: go on without.
            pass
        yield stream.fileno()


def command(argv: list[str], lock: int, **variables: str) -> None:
    """Run an installer, passing on what it says."""
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX")
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | variables
    last: list[str] = []
    # The installer holds the lock too: if we are killed, nobody builds in the same place beside it.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
        pass_fds=(lock,),
    ) as process:
        try:
            for line in process.stdout or ():
                last = [*last[-19:], line.rstrip()]
                if line.startswith(("Prepared", "Installed", "Bytecode", "Collecting")):
                    say(progress=line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        text = "\n".join(last)
        full = any(word in text for word in ("No space left", "quota exceeded", "EDQUOT"))
        raise Failed("full" if full else "packages", text)


def sent_uv(root: Path) -> str | None:
    """Unpack uv from the wheel that the laptop sent; None when there is none, or it cannot run."""
    target = root / "tools" / "uv"
    for wheel in root.glob("wheels/uv-*.whl"):
        target.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/scripts/uv"))
            partial = target.with_name("uv.partial")
            partial.write_bytes(archive.read(name))
        partial.chmod(0o755)
        partial.replace(target)
    with contextlib.suppress(OSError):
        if subprocess.call([str(target), "--version"], stdout=subprocess.DEVNULL) == 0:
            return str(target)
    return None


def make_packages(root: Path, task: dict[str, Any], lock: int) -> None:
    """Install the lock into a virtual environment of its own."""
    directory = root / task["packages"]
    if (directory / "complete").exists():
        return
    if directory.exists():
        shutil.rmtree(directory)
    requirements = root / "requirements.lock"
    requirements.write_text(task["lock"])
    uv = task["uv"] or sent_uv(root)
    say(progress=f"installing packages with {'uv' if uv else 'pip'}")
    venv.EnvBuilder(symlinks=True, with_pip=uv is None).create(directory)
    python = str(directory / "bin" / "python")
    offline = ["--no-index", "--find-links", str(root / "wheels")] if task["offline"] else []
    if uv:
        cache = root / "uv-cache"
        command(
            [uv, "pip", "sync", "--python", python, "--require-hashes", "--compile-bytecode",
             *offline, str(requirements)],
            lock,
            # Beside the environment, so that files are linked and not copied.
            UV_CACHE_DIR=str(cache),
        )  # fmt: skip
        shutil.rmtree(cache, ignore_errors=True)
    else:
        command(
            [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "--progress-bar", "off", *offline, "-r", str(requirements)],
            lock,
        )  # fmt: skip
    requirements.unlink()
    (directory / "complete").touch()


def shebang(python: str) -> bytes:
    """First lines that start a script by this Python; Linux cuts a long first line short."""
    if len(python) < 120 and " " not in python:
        return f"#!{python}\n".encode()
    return f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n".encode()


def redirected(script: bytes, programs: str, python: str) -> bytes:
    """The script, started by another Python where it was started by one of ``programs``."""
    first, _, rest = script.partition(b"\n")
    if first == b"#!/bin/sh" and re.match(rb"'''exec' \"?" + re.escape(programs.encode()), rest):
        return shebang(python) + rest.split(b"\n", 2)[2]
    if first.startswith(f"#!{programs}python".encode()):
        return shebang(python) + rest
    return script


def scripts(prefix: Path, layer: Path) -> None:
    """Give the layer the packages' programs, run by its own Python."""
    for path in sorted((prefix / "bin").iterdir()):
        target = layer / "bin" / path.name
        if target.exists() or path.name.startswith(("python", "activate", "Activate")):
            continue
        with path.open("rb") as stream:
            head = stream.read(2)
        if head != b"#!":
            target.symlink_to(path)
            continue
        target.write_bytes(redirected(path.read_bytes(), f"{prefix}/bin/", f"{layer}/bin/python"))
        target.chmod(0o755)


def unpack_rsdat(wheel: bytes, layer: Path, packages: Path) -> None:
    """Install the wheel of rsdat, which is pure Python, and compile it."""
    import compileall
    import configparser

    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        archive.extractall(packages)
        entry = next(n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt"))
        points = configparser.ConfigParser()
        points.read_string(archive.read(entry).decode())
    (packages / entry).with_name("INSTALLER").write_text("rsdat\n")
    for name, target in points["console_scripts"].items():
        module, function = (part.strip() for part in target.split(":"))
        script = layer / "bin" / name
        text = _CONSOLE_SCRIPT.format(module=module, function=function)
        script.write_bytes(shebang(f"{layer}/bin/python") + text.encode())
        script.chmod(0o755)
    compileall.compile_dir(packages / "rsdat", quiet=1)


def make_layer(root: Path, task: dict[str, Any]) -> None:
    """Put one version of rsdat on top of the packages."""
    directory, prefix = root / task["layer"], root / task["prefix"]
    if (directory / "complete").exists():
        return
    say(progress=f"installing rsdat {task['record']['rsdat']}")
    if directory.exists():
        shutil.rmtree(directory)
    layer = directory / "venv"
    venv.EnvBuilder(symlinks=True).create(layer)
    library = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (layer / library / "rsdat-packages.pth").write_text(
        f"import site; site.addsitedir({str(prefix / library)!r})\n"
    )
    for name in ("share", "etc"):
        # Jupyter looks for its extensions, kernels and settings below sys.prefix.
        if (prefix / name).is_dir():
            (layer / name).symlink_to(prefix / name)
    unpack_rsdat(base64.b64decode(task["wheel"]), layer, layer / library)
    scripts(prefix, layer)
    (directory / "bin").mkdir()
    python = directory / "bin" / "python"
    python.write_text(
        # Where homes are read-only on compute nodes, the stamp cannot be set, which is no harm.
        f"#!/bin/sh\n{{ true >{shlex.quote(str(directory / 'used'))}; }} 2>/dev/null\n"
        f'exec {shlex.quote(str(layer / "bin" / "python"))} "$@"\n'
    )
    python.chmod(0o755)
    (directory / "bin" / "rsdat").symlink_to(layer / "bin" / "rsdat")
    (directory / "environment.json").write_text(json.dumps(task["record"], indent=2) + "\n")
    (directory / "complete").touch()


def switch(root: Path, name: str) -> str | None:
    """Make ``default`` mean this environment, in one step; returns what it meant before."""
    default, fresh = root / "default", root / "default.new"
    before = os.readlink(default) if default.is_symlink() else None
    if before != name:
        if fresh.is_symlink():
            fresh.unlink()
        fresh.symlink_to(name)
        fresh.replace(default)
    return before


def prune(root: Path, keep: set[str | None]) -> None:
    """Remove environments that no session runs any more, packages under none, and leftovers."""
    for name in ("wheels", "uv-cache"):
        # Out of the way first: another laptop may be sending its wheels just now.
        gone = root / f"{name}.{os.getpid()}.old"
        with contextlib.suppress(OSError):
            (root / name).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    for part in root.glob("wheels.*"):
        # What a broken transfer left; a fresh one may still be under way.
        if part.stat().st_mtime < time.time() - 86400:
            shutil.rmtree(part, ignore_errors=True)
    used: set[str] = set()
    for directory in root.glob("rsdat-*"):
        stamps = [directory / "used", directory / "complete"]
        last = max((p.stat().st_mtime for p in stamps if p.exists()), default=0.0)
        if directory.name not in keep and last < time.time() - UNUSED_DAYS * 86400:
            shutil.rmtree(directory, ignore_errors=True)
            continue
        with contextlib.suppress(OSError, ValueError):
            used.add(json.loads((directory / "environment.json").read_text())["packages"])
    for directory in root.glob("packages-*"):
        if directory.name not in used:
            shutil.rmtree(directory, ignore_errors=True)


def main(task: dict[str, Any]) -> None:
    """Do what the laptop asks for, saying so."""
    root = Path(task["root"])
    root.mkdir(parents=True, exist_ok=True)
    with locked(root) as lock:
        if task["lock"] is not None:
            make_packages(root, task, lock)
        make_layer(root, task)
        before = switch(root, task["layer"])
        prune(root, {task["layer"], before})
    say(done=task["layer"])


def guarded(task: dict[str, Any]) -> None:
    """Run :func:`main`; every failure becomes an event."""
    try:
        main(task)
    except Failed as error:
        say(error=str(error), kind=error.kind)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        say(error=str(error), kind="full" if full else "files")
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}", kind="unexpected")


if __name__ == "__main__":
    guarded(globals()["task"])
