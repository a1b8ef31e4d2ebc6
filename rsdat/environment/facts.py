"""Ask a site what its Python is and which environment lies there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from rsdat.config.models import Site
from rsdat.environment.interpreter import environments, on_site
from rsdat.errors import EnvironmentMissing
from rsdat.host.base import Completed, Host

#: Pythons that rsdat runs on, as a test that any Python can evaluate.
SUITABLE = "(3, 11) <= sys.version_info[:2] <= (3, 13)"

#: What a line of one of our programs begins with; all other lines are noise of the site.
MARK = "rsdat-env "

# The programs arrive on stdin, so that no argument is long and no file is left behind.
_LOADER = (
    "import sys, json; sent = json.loads(sys.stdin.buffer.read().decode()); "
    "exec(compile(sent['program'], '<rsdat>', 'exec'), "
    "{'__name__': '__main__', 'task': sent['task']})"
)

# Arguments: the loader, a test of the version, the candidates.
_FIND = """\
loader=$1 suitable=$2
shift 2
for python do
  command -v "$python" >/dev/null 2>&1 || continue
  "$python" -c "import sys; sys.exit(not ($suitable))" 2>/dev/null </dev/null &&
    exec "$python" -c "$loader"
  echo "rsdat-unsuitable $python ($("$python" -V 2>&1 </dev/null))"
done
exit 96
"""


@dataclass(frozen=True)
class Facts:
    """A Python on a site and the environments beside it."""

    executable: str
    root: str
    """The directory of the environments, in full."""
    markers: Mapping[str, str]
    glibc: str | None
    distributions: Mapping[str, str]
    """What this Python can import, name (as the index compares it) to version."""
    uv: str | None = None
    ensurepip: bool = False
    record: Mapping[str, Any] | None = None
    """What the environment in use says of itself."""
    complete: tuple[str, ...] = ()
    leftovers: bool = False
    """Whether an interrupted installation has left something there."""
    wheels: Mapping[str, int] = field(default_factory=dict)
    """Wheels that lie there already, name to size."""

    @property
    def python(self) -> str:
        """Version of the Python, as ``3.11``."""
        return self.markers["python_version"]


def program(name: str, task: Mapping[str, Any]) -> bytes:
    """A program for a site with its task, as it is given to the loader."""
    text = resources.files("rsdat.environment.programs").joinpath(f"{name}.py").read_text()
    return json.dumps({"program": text, "task": dict(task)}).encode()


def starting(python: Sequence[str]) -> list[str]:
    """The argv that makes a Python run what arrives on its stdin."""
    return [*python, "-c", _LOADER]


def events(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    """What one of our programs says, without the noise around it."""
    for line in lines:
        if line.startswith(MARK):
            yield json.loads(line.removeprefix(MARK))


def parse(stdout: str) -> Facts | None:
    """The facts in the output of the probe; None when it did not run."""
    for event in events(stdout.splitlines()):
        event["distributions"] = {
            _canonical(name): version for name, version in event["distributions"].items()
        }
        event["complete"] = tuple(event.get("complete", ()))
        return Facts(**event)
    return None


def _canonical(name: str) -> str:
    from rsdat.environment.lock import canonical

    return canonical(name)


def candidates(site: Site) -> list[str]:
    """Interpreters to try, best first: only the admin's, where the admin names one."""
    named = site.environment.base_python
    if named != "python3":
        return [named]
    return ["python3", "python3.13", "python3.12", "python3.11"]


def ask_site(site: Site, host: Host) -> Facts:
    """Look at the site with a Python that an environment can be made from.

    Raises :class:`~rsdat.errors.EnvironmentMissing` when there is none.
    """
    made_by_conda = site.environment.manager != "venv"
    # conda brings its own Python; any will do to look around.
    suitable = "True" if made_by_conda else SUITABLE
    argv = on_site(site, ["sh", "-c", _FIND, "rsdat", _LOADER, suitable, *candidates(site)])
    task = {"root": environments(site), "site": True}
    done = host.run(argv, input=program("probe", task), timeout=120, check=False)
    facts = parse(done.stdout)
    if facts is None:
        raise _no_python(site, host, done)
    return facts


def _no_python(site: Site, host: Host, done: Completed) -> EnvironmentMissing:
    found = [
        line.removeprefix("rsdat-unsuitable ")
        for line in done.stdout.splitlines()
        if line.startswith("rsdat-unsuitable ")
    ]
    tried = ", ".join(candidates(site))
    if done.returncode == 96 and found:
        message = f"no Python 3.11 to 3.13 on {host.name}: found only {', '.join(found)}"
    elif done.returncode == 96:
        message = f"no Python on {host.name}: none of {tried} is a command there"
    else:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        message = f"Python could not be asked on {host.name}: " + (
            said[0] if said else f"exit status {done.returncode}"
        )
    return EnvironmentMissing(
        message,
        hint=f"set environment.base_python in the site file of {site.name}, or a module to load "
        "in environment.prologue",
    )


def ask_environment(site: Site, host: Host, python: Sequence[str]) -> Facts | None:
    """Look at an environment by its own interpreter; None when that does not run."""
    argv = on_site(site, starting(python))
    task = {"root": environments(site)}
    done = host.run(argv, input=program("probe", task), timeout=120, check=False)
    return parse(done.stdout)
