"""`rsdat site`: what is printed, as text and as JSON, the exit codes, and the job scripts.

The scripts of the shipped sites are pinned by ``golden/*.sh``, so that a change of a script is seen
in a diff: ``RSDAT_UPDATE_GOLDEN=1 pytest tests/cli/test_site.py`` writes them anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.config.places import shipped_directory

GOLDEN = Path(__file__).parent / "golden"
SITES = sorted(path.stem for path in (shipped_directory() / "sites").glob("*.yaml"))
# The admin's directory of this machine must not change what the tests see.
PROGRAM = """
import sys
from pathlib import Path
from rsdat.config import places
places.ADMIN_DIRECTORY = Path(sys.argv.pop(1))
from rsdat.cli import main
sys.argv[0] = "rsdat"
main()
"""

Ran = subprocess.CompletedProcess[str]
Rsdat = Callable[..., Ran]


@pytest.fixture
def rsdat(tmp_path: Path) -> Rsdat:
    """The program, with ``etc`` and ``user`` below the temporary directory as its directories."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RSDAT_")}
    environ |= {"RSDAT_CONFIG_DIR": str(tmp_path / "user"), "HOME": str(tmp_path)}

    def run(*arguments: str | Path, **variables: str) -> Ran:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "etc"), *map(str, arguments)],
            env=environ | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


def site_file(directory: Path, name: str, text: str) -> Path:
    file = directory / "sites" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", SITES)
def test_the_scripts_of_a_shipped_site_are_those_that_were_read(name: str, rsdat: Rsdat) -> None:
    ran = rsdat("site", "render", name)
    assert (ran.returncode, ran.stderr) == (0, "")
    golden = GOLDEN / f"{name}.sh"
    # A local session runs in this very environment, wherever that is.
    printed = ran.stdout.replace(sys.executable, "/path/to/python")
    if os.environ.get("RSDAT_UPDATE_GOLDEN"):
        golden.write_text(printed)
    assert printed == golden.read_text()


@pytest.mark.parametrize("name", SITES)
def test_each_rendered_script_is_one_that_a_shell_reads(name: str, rsdat: Rsdat) -> None:
    scripts = json.loads(rsdat("site", "render", name, "--json").stdout)
    for script in [scripts["head"], *scripts["workers"].values()]:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_list_shows_every_site_and_its_layers(rsdat: Rsdat, tmp_path: Path) -> None:
    site_file(tmp_path / "user", "spider", "head: {cores: 2}\n")
    mine = site_file(tmp_path / "etc", "mine", "description: our own\n")
    text = rsdat("site", "list").stdout
    assert "spider     shipped+user  Spider, " in text
    assert "mine       admin         our own" in text
    listed = {entry["name"]: entry for entry in json.loads(rsdat("site", "list", "--json").stdout)}
    assert set(listed) == {*SITES, "mine"}
    assert listed["mine"]["files"] == [{"layer": "admin", "path": str(mine)}]


def test_show_is_a_site_file_again(rsdat: Rsdat, tmp_path: Path) -> None:
    shown = rsdat("site", "show", "spider").stdout
    file = site_file(tmp_path / "copy", "spider", shown)
    assert rsdat("site", "lint", file).returncode == 0
    with_origins = rsdat("site", "show", "spider", "--origin").stdout
    file.write_text(with_origins)
    assert rsdat("site", "lint", file).returncode == 0


def test_show_says_where_each_value_came_from(rsdat: Rsdat, tmp_path: Path) -> None:
    mine = site_file(tmp_path / "user", "spider", "head:\n  memory: 6GiB\n")
    text = rsdat("site", "show", "spider", "--origin", RSDAT_HEAD__CORES="3").stdout
    lines = {line.split("#")[0].strip(): line.split("# ")[-1] for line in text.splitlines()}
    assert lines["memory: 6GiB"] == f"{mine}:2"
    assert lines["cores: 3"] == "RSDAT_HEAD__CORES"
    assert lines["queue: slurm"] == "default"
    shown = json.loads(rsdat("site", "show", "spider", "--origin", "--json").stdout)
    assert shown["site"]["head"]["memory"] == "6GiB"
    assert shown["origins"]["head.memory"] == {"layer": "user", "place": str(mine), "line": 2}


def test_an_unknown_site_names_the_nearest_and_leaves_with_3(rsdat: Rsdat) -> None:
    for command in ("show", "render"):
        ran = rsdat("site", command, "spidr")
        assert ran.returncode == 3
        assert "there is no site 'spidr'" in ran.stderr
        assert "did you mean 'spider'?" in ran.stderr
        assert "rsdat site list" in ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_wrong_layer_is_told_with_its_place(rsdat: Rsdat, tmp_path: Path) -> None:
    mine = site_file(tmp_path / "user", "spider", "head:\n  memry: 6GiB\n  cores: x\n")
    ran = rsdat("site", "show", "spider")
    assert ran.returncode == 3
    assert f"{mine}:2: head.memry: unknown key; did you mean 'head.memory'?" in ran.stderr
    assert f"{mine}:3: head.cores: expected a whole number, got 'x'" in ran.stderr
    ran = rsdat("site", "show", "local", RSDAT_HEAD__CORS="3")
    assert ran.returncode == 3
    assert "RSDAT_HEAD__CORS: names no key of a site; did you mean 'RSDAT_HEAD__CORES'?" in (
        ran.stderr
    )


def test_lint_prints_the_problems_and_leaves_with_3(rsdat: Rsdat, tmp_path: Path) -> None:
    file = site_file(tmp_path, "x", "head:\n  cors: 1\n")
    ran = rsdat("site", "lint", file)
    assert ran.returncode == 3
    assert ran.stdout == f"{file}:2: head.cors: unknown key; did you mean 'head.cores'?\n"
    found = json.loads(rsdat("site", "lint", file, "--json").stdout)
    assert found["problems"] == [
        {
            "layer": "admin",
            "place": str(file),
            "line": 2,
            "key": "head.cors",
            "message": "unknown key",
            "suggestion": "head.cores",
        }
    ]
    file.write_text("head: {cores: 1}\n")
    ran = rsdat("site", "lint", file)
    assert (ran.returncode, ran.stdout) == (0, f"{file}: correct\n")
    missing = rsdat("site", "lint", tmp_path / "absent.yaml")
    assert missing.returncode == 3
    assert "there is no such file" in missing.stderr


def test_init_drafts_from_the_queue_of_this_machine(rsdat: Rsdat, tmp_path: Path) -> None:
    """SLURM's commands are played by programs that print what a real one printed."""
    recorded = (Path(__file__).parents[1] / "config" / "recorded" / "slurm-22.05.txt").read_text()
    parts = dict(part.split("\n", 1) for part in recorded.split("@@rsdat ") if "\n" in part)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, part in (("partitions", parts["partitions"]), ("nodes", parts["nodes"])):
        (tmp_path / name).write_text(part)
    for name, body in {
        "sinfo": f'[ "$1" = --version ] && echo slurm 22.05.8 || cat {tmp_path}/nodes',
        "scontrol": f"cat {tmp_path}/partitions",
        "sacctmgr": "exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    printed = rsdat("site", "init", PATH=path)
    assert printed.returncode == 0, printed.stderr
    assert "partition: main" in printed.stdout

    file = tmp_path / "etc" / "sites" / "ours.yaml"
    written = rsdat("site", "init", "--output", file, PATH=path)
    assert written.returncode == 0, written.stderr
    assert "name: ours" in file.read_text()
    assert rsdat("site", "lint", file).returncode == 0
    shown = json.loads(rsdat("site", "show", "ours", "--json").stdout)
    assert shown["site"]["pools"]["short"]["walltime"] == "01:00:00"

    again = rsdat("site", "init", "--output", file, PATH=path)
    assert again.returncode == 3
    assert "there is such a file already" in again.stderr


def test_init_without_slurm_says_so(rsdat: Rsdat, tmp_path: Path) -> None:
    if any((Path(d) / "sinfo").exists() for d in ("/usr/bin", "/bin", "/usr/local/bin")):
        tools = tmp_path / "bin"
        tools.mkdir()
        (tools / "sinfo").write_text("#!/bin/sh\nexit 1\n")
        (tools / "scontrol").write_text("#!/bin/sh\necho Unable to contact slurm controller\n")
        for tool in tools.iterdir():
            tool.chmod(0o755)
        ran = rsdat("site", "init", PATH=f"{tools}:{os.environ['PATH']}")
        assert "Unable to contact slurm controller" in ran.stderr
    else:
        ran = rsdat("site", "init")
        assert "there is no SLURM here" in ran.stderr
    assert ran.returncode == 5


def test_help_is_there_for_every_command(rsdat: Rsdat) -> None:
    ran = rsdat("site", "--help")
    assert ran.returncode == 0
    for command in ("list", "show", "lint", "init", "render"):
        assert command in ran.stdout
