"""Questions to a site that ``rsdat doctor`` asks in one round trip, and the reading of answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsdat.config.models import Job, Site
from rsdat.environment import interpreter
from rsdat.environment.interpreter import on_site
from rsdat.jobqueue import queue_named
from rsdat.session import remote

#: Seconds that one question may take on the site, and the imports on a slow file system.
PATIENCE, IMPORT_PATIENCE = 25, 120
#: Exit status of a question that took longer.
TOO_LATE = 124

#: What the environment of a session has to be able to import.
PACKAGES = ("rsdat", "dask", "distributed", "jupyterlab", "dask_labextension")

_SLURM = ("sbatch", "squeue", "scancel", "sinfo", "sacct")

# sshd starts the login shell in this way: bash reads .bashrc when it has no parent shell.
_NOISE = 'SHLVL=0 exec "${SHELL:-/bin/sh}" -c : 2>/dev/null </dev/null'

_COMMANDS = """\
for name do
    printf '%s %s\\n' "$name" "$(command -v "$name" || echo missing)"
done
echo "version $(sbatch --version 2>&1)"
"""

_IMPORTS = """\
import importlib, sys
print("python", sys.version.split()[0])
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        print(name, "missing", type(error).__name__, error)
    else:
        print(name, getattr(module, "__version__", "?"))
"""

# df is not enough where a quota is smaller than the disk: writing is the proof.
_DISK = """\
directory=$1
while ! [ -d "$directory" ]; do
    directory=$(dirname "$directory")
done
echo "directory $directory"
probe=$(mktemp "$directory/.rsdat-XXXXXX") && head -c 262144 /dev/zero >"$probe" && echo writable
rm -f "$probe"
echo "df $(df -Pk "$directory" | tail -n 1)"
for report in "$(quota -w 2>/dev/null)" "$(lfs quota -q -u "$(id -un)" "$directory" 2>/dev/null)"
do
    case $report in *[0-9]'*'*) echo "over quota" ;; esac
done
"""


@dataclass(frozen=True)
class Question:
    """A command to run on the site, and what it is given on stdin."""

    argv: Sequence[str]
    input: str = ""
    patience: int = PATIENCE
    """Seconds that it may take."""


@dataclass(frozen=True)
class Answer:
    """What a command printed (stdout and stderr together), and its exit status."""

    status: int
    text: str


def questions(site: Site, scripts: Mapping[str, str]) -> dict[str, Question]:
    """What to ask a site; the keys are those under which :func:`parse` gives the answers.

    Parameters
    ----------
    scripts
        Job scripts to try, by the label of their question.
    """
    asked = {
        "date": Question(["date", "+%s"]),
        "disk": Question(["sh", "-c", _DISK, "disk", site.directory]),
    }
    if site.connection.host is not None:
        asked["shell"] = Question(["sh", "-c", _NOISE])
    if site.queue == "slurm":
        asked["slurm"] = Question(["sh", "-c", _COMMANDS, "commands", *_SLURM])
        asked["partitions"] = Question(["sinfo", "--noheader", "--format=%P|%a|%l"])
        asked["node"] = Question(["sinfo", "--noheader", "--Node", "--format=%N"])
    for label, script in scripts.items():
        argv = queue_named(site.queue).try_submit("/dev/stdin")
        if argv:
            asked[label] = Question(argv, script)
    imports = [*interpreter(site), "-c", _IMPORTS, *PACKAGES]
    asked["environment"] = Question(on_site(site, imports), patience=IMPORT_PATIENCE)
    return asked


def ask(asked: Mapping[str, Question]) -> tuple[str, list[str]]:
    """The marking word, and the argv that asks all of it at once."""
    word = f"rsdat-{secrets.token_hex(8)}"
    words = [word]
    for label, question in asked.items():
        words += [label, str(question.patience), question.input]
        words += [str(len(question.argv)), *question.argv]
    return word, remote.call("ask", *words)


def parse(stdout: str, word: str) -> dict[str, Answer]:
    """The answers by label; one whose end is missing is left out."""
    pattern = rf"^{word} begin (\S+)\n(.*?)\n?^{word} end (\d+) \1$"
    found = re.finditer(pattern, stdout, flags=re.MULTILINE | re.DOTALL)
    return {match[1]: Answer(int(match[3]), match[2]) for match in found}


def jobs(site: Site) -> dict[str, Job]:
    """The head job and those of the pools, by the label of their question."""
    return {"head": site.head, **{f"pool.{name}": pool for name, pool in site.pools.items()}}
