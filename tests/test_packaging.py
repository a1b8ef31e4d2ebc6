"""What is written in several places agrees: pyproject, the locks, environment.yaml, the image."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rsdat import errors
from rsdat.environment import lock, wheel

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
PYTHONS = ["3.11.2", "3.12.8", "3.13.1"]
LOCKS = {
    "environment": [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["jupyter"]],
    "installer": GROUPS["installer"],
    "development": [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["jupyter"],
        *GROUPS["dev"],
    ],
}


def text_of(name: str) -> str:
    return (ROOT / "deploy" / f"{name}.lock").read_text()


def linux(python: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "6.1.0",
        "platform_system": "Linux",
        "platform_version": "#1 SMP",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_everything_by_hash_and_names_no_index(name: str) -> None:
    text = text_of(name)
    assert lock.parse(text)  # raises for a line without hashes
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", text)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_pyproject_on_every_python(name: str, python: str) -> None:
    pinned = lock.applying(lock.parse(text_of(name)), linux(python))
    for text in LOCKS[name]:
        requirement = Requirement(text)
        line = pinned.get(canonicalize_name(requirement.name))
        assert line, f"{requirement.name} is not in {name}.lock"
        assert requirement.specifier.contains(line.version), f"{line.name} {line.version}: {text}"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_environment_on_a_cluster_is_the_one_that_is_tested(python: str) -> None:
    there = lock.applying(lock.parse(text_of("environment")), linux(python))
    here = lock.applying(lock.parse(text_of("development")), linux(python))
    assert {n: r.version for n, r in there.items()} == {
        n: r.version for n, r in here.items() if n in there
    }


def bounds(lines: list[str]) -> dict[str, str]:
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


def test_environment_yaml_asks_for_what_pyproject_asks_for() -> None:
    document = yaml.safe_load((ROOT / "environment.yaml").read_text())
    assert document["channels"] == ["conda-forge"]
    wanted = bounds(LOCKS["environment"])
    wanted["python"] = str(Requirement(f"python{PROJECT['requires-python']}").specifier)
    assert bounds(document["dependencies"]) == wanted


def test_the_image_is_made_from_the_lock() -> None:
    text = (ROOT / "singularity" / "rsdat.def").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    files = code.split("%files")[1].split("%post")[0]
    for line in filter(None, map(str.strip, files.splitlines())):
        source = line.split()[0]
        assert source == "dist/rsdat-*.whl" or (ROOT / source).is_file(), source
    assert "deploy/environment.lock" in files
    assert "--require-hashes" in code
    base = re.search(r"From: python:(\d+\.\d+)-slim", code)
    assert base
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{base[1]}.0")
    # Everything else comes from the lock: no package is named twice.
    post = code.split("%post")[1].split("%environment")[0]
    assert not re.search(r"install (?!--)[a-z]", post)


def test_the_scripts_are_correct_sh(tmp_path: Path) -> None:
    post = (ROOT / "singularity" / "rsdat.def").read_text().split("%post")[1].split("%env")[0]
    (tmp_path / "post").write_text(post)
    for script in (ROOT / "deploy/bootstrap.sh", ROOT / "deploy/lock.sh", tmp_path / "post"):
        subprocess.run(["sh", "-n", script], check=True)


def test_the_packed_wheel_holds_what_the_build_backend_puts_in(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = tmp_path.glob("*.whl")
    packed = wheel.write(tmp_path / "packed")

    def contents(path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {
                re.sub(r"^rsdat-[^/]*\.dist-info/", "info/", n): archive.read(n)
                for n in archive.namelist()
            }

    theirs, ours = contents(built), contents(packed)
    mine = {n: c for n, c in ours.items() if not n.startswith("info/")}
    assert mine == {n: c for n, c in theirs.items() if not n.startswith("info/")}
    assert ours["info/entry_points.txt"] == theirs["info/entry_points.txt"]
    assert {"environment.lock", "installer.lock", "environment.yaml", "schema.json"} <= {
        Path(n).name for n in mine
    }
    assert "rsdat/_shipped/sites/local.yaml" in mine
    assert "rsdat/py.typed" in mine


def test_the_page_of_exit_codes_names_every_error() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    listed = {name: int(code) for code, name in re.findall(r"\| (\d+) \|.*\| `(\w+)` \|", page)}
    family = [errors.RsdatError, *errors.RsdatError.__subclasses__()]
    own = {kind.__name__: kind.exit_code for kind in family if kind.__module__ == errors.__name__}
    assert listed == own
