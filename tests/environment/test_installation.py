"""Environments made on this machine from a lock of three small packages; all parts are real."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rsdat
from rsdat.config.models import Site
from rsdat.environment import download, install, installation, lock, uninstall, wheel
from rsdat.environment.facts import ask_site
from rsdat.environment.interpreter import interpreter
from rsdat.errors import EnvironmentMissing
from rsdat.host.local import LocalHost

HOST = LocalHost()
PACKAGES = ("locket", "toolz", "zict")


def lock_of(*names: str) -> str:
    lines = lock.parse(lock.shipped("environment.lock").read_text())
    return "".join(f"{line.requirement()}\n" for line in lines if line.name in names)


SMALL = lock_of(*PACKAGES)

#: Packed once: an edit during the tests is not another rsdat.
PACKED = wheel.pack()


@pytest.fixture(scope="module", autouse=True)
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels fetched here once, so that the tests send what is there already."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def site(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_CACHE_HOME", str(wheels))
    monkeypatch.setattr(installation, "pack", lambda: PACKED)
    # As on a login node: no uv of ours.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return Site.model_validate(
        {
            "name": "t",
            "directory": str(tmp_path / "with space" / "rsdat"),
            "environment": {"base_python": sys.executable},
        }
    )


def environments(site: Site) -> Path:
    return Path(site.directory) / "environments"


def ask(site: Site, program: str) -> str:
    done = subprocess.run(
        [*interpreter(site), "-c", program], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def another_rsdat(tmp_path: Path) -> Callable[[], wheel.Wheel]:
    """The same rsdat with one file more."""
    package = tmp_path / "other" / "rsdat"
    for name, content in wheel.contents(Path(rsdat.__file__).parent).items():
        path = package.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (package / "one_more.py").write_text("here = True\n")
    return lambda: wheel.pack(package)


def test_offline_install_then_nothing_to_do(site: Site) -> None:
    lines: list[str] = []
    done = install(site, HOST, offline=True, lock=SMALL, progress=lines.append)
    assert done.changed
    assert "installing packages with uv" in lines
    where = json.loads(
        ask(
            site,
            "import json, sys, toolz, rsdat, importlib.metadata as m;"
            "print(json.dumps([sys.prefix, toolz.__file__, rsdat.__file__, m.version('rsdat')]))",
        )
    )
    root = environments(site)
    assert where[0] == str(root / done.name / "venv")
    assert where[1].startswith(str(root / "packages-"))
    assert where[2].startswith(where[0])
    assert where[3] == done.rsdat == PACKED.version
    said = subprocess.run([root / "default/bin/rsdat", "--help"], capture_output=True, text=True)
    assert "No module named 'typer'" in said.stderr  # it is there, its packages are not in SMALL
    assert not (root / "wheels").exists()
    assert not (root / "uv-cache").exists()

    lines.clear()
    again = install(site, HOST, offline=True, lock=SMALL, progress=lines.append)
    assert not again.changed
    assert lines[-1].startswith("nothing to do")


def test_another_rsdat_uses_the_packages_that_are_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(site, HOST, offline=True, lock=SMALL)
    packages = ask(site, "import toolz; print(toolz.__file__)")
    running = subprocess.Popen(
        [
            *interpreter(site),
            "-c",
            "print('began', flush=True); input();"
            "import importlib.util as u, toolz, rsdat.host.base;"
            "print(u.find_spec('rsdat.one_more'))",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "began\n"
    monkeypatch.setattr(installation, "pack", another_rsdat(tmp_path))
    lines: list[str] = []
    second = install(site, HOST, offline=True, lock=SMALL, progress=lines.append)
    assert second.rsdat != first.rsdat
    assert not [line for line in lines if line.startswith(("fetching", "sending"))]
    assert ask(site, "import toolz; print(toolz.__file__)") == packages
    assert ask(site, "from rsdat.one_more import here; print(here)") == "True"
    # What was started before imports on from where it began, also what it had not yet imported.
    assert running.communicate("\n")[0].strip() == "None"


def test_damage_is_made_good_beside_the_damaged(site: Site) -> None:
    first = install(site, HOST, offline=True, lock=SMALL)
    path = Path(ask(site, "import importlib.metadata as m; print(m.distribution('zict')._path)"))
    (path / "METADATA").unlink()
    second = install(site, HOST, offline=True, lock=SMALL)
    assert second.changed
    assert second.name != first.name
    assert ask(site, "import importlib.metadata as m; print(m.version('zict'))")
    assert not install(site, HOST, offline=True, lock=SMALL).changed


@pytest.mark.parametrize("at", ["installing packages", "Installed", "installing rsdat"])
def test_an_interrupted_install_leaves_the_old_one_working(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    old = install(site, HOST, offline=True, lock=lock_of("toolz"))

    def interrupt(line: str) -> None:
        if line.startswith(at):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(installation, "pack", another_rsdat(tmp_path))
        with pytest.raises(KeyboardInterrupt):
            install(site, HOST, offline=True, lock=SMALL, progress=interrupt)
        assert ask(site, "import sys, toolz; print(sys.prefix)").endswith(f"{old.name}/venv")
        done = install(site, HOST, offline=True, lock=SMALL)
    assert done.changed
    assert ask(site, "import zict, rsdat.one_more; print('new')") == "new"


def test_leftovers_of_an_interrupted_install_are_cleared_up(site: Site) -> None:
    install(site, HOST, offline=True, lock=SMALL)
    before = {path.name for path in environments(site).iterdir()}
    for name in ("packages-begun", "wheels", "uv-cache"):
        (environments(site) / name).mkdir()
    assert not install(site, HOST, offline=True, lock=SMALL).changed
    assert {path.name for path in environments(site).iterdir()} == before


def test_rsdat_on_top_of_what_conda_makes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in with conda's options and layout; conda itself is not in any package index.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "conda").write_text(
        '#!/bin/sh\n[ "$5 $7" = "--prefix --file" ] || exit 2\n'
        f'{sys.executable} -m venv --without-pip "$6"\n'
        'echo "here = 1" >"$(echo "$6"/lib/python*/site-packages)/from_conda.py"\n'
    )
    (programs / "conda").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    theirs = Site.model_validate({**site.model_dump(), "environment": {"manager": "conda"}})
    assert install(theirs, HOST).changed
    assert ask(theirs, "import from_conda, rsdat; print(rsdat.__file__)").startswith(
        str(environments(site))
    )
    with pytest.raises(EnvironmentMissing, match="cannot be made offline"):
        install(theirs, HOST, offline=True)


def test_wheels_arrive_although_another_installation_clears_up_just_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, mine = tmp_path / "wheels", tmp_path / "mine.whl"
    mine.write_bytes(b"whole")
    programs = tmp_path / "programs"
    programs.mkdir()
    # The other one takes the directory away when ours is about to fill it.
    (programs / "mv").write_text(
        f'#!/bin/sh\n[ -e {there}.old ] || /bin/mv {there} {there}.old\nexec /bin/mv "$@"\n'
    )
    (programs / "mv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    installation.send(HOST, [mine], str(there), {}, lambda line: None)
    assert (there / "mine.whl").read_bytes() == b"whole"


def test_two_at_once_do_not_disturb_each_other(site: Site) -> None:
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(install, site, HOST, offline=True, lock=SMALL) for _ in range(2)]
        names = {task.result().name for task in tasks}
    assert names == {os.readlink(environments(site) / "default")}
    assert ask(site, "import toolz, rsdat; print('whole')") == "whole"


def test_pip_where_there_is_no_uv(
    site: Site, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ensurepip", reason="this Python cannot make environments with pip")
    facts = ask_site(site, HOST)
    wanted = lock.applying(lock.parse(SMALL), facts.markers)
    cache = tmp_path / "cache"
    assert facts.glibc
    tags = download.platforms(facts.markers["platform_machine"], facts.glibc)
    download.fetch(wanted, facts.python, tags, lambda line: None, cache / "rsdat" / "wheels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lines: list[str] = []
    assert install(site, HOST, offline=True, lock=SMALL, progress=lines.append).changed
    assert "installing packages with pip" in lines
    assert ask(site, "import zict, rsdat; print('there')") == "there"


def test_uninstall_removes_only_what_install_made(site: Site) -> None:
    assert uninstall(site, HOST) is False
    install(site, HOST, offline=True, lock=SMALL)
    sessions = Path(site.directory) / "sessions"
    sessions.mkdir()
    assert uninstall(site, HOST) is True
    assert sessions.is_dir()
    assert not environments(site).exists()
    install(site, HOST, offline=True, lock=SMALL)
    (environments(site) / "mine").write_text("keep")
    assert uninstall(site, HOST) is True
    assert [path.name for path in environments(site).iterdir()] == ["mine"]


def test_packages_from_the_sites_own_index(site: Site) -> None:
    lines: list[str] = []
    assert install(site, HOST, lock=SMALL, progress=lines.append).changed
    # Only the installer is sent.
    assert [line for line in lines if line.startswith("sending")] == ["sending wheels 1/1"]
    assert ask(site, "import zict, rsdat; print('there')") == "there"


def test_no_python_there(site: Site) -> None:
    environment = {"base_python": "python-of-nowhere"}
    nowhere = Site.model_validate({"name": "t", "environment": environment})
    with pytest.raises(EnvironmentMissing, match="none of python-of-nowhere is a command") as told:
        install(nowhere, HOST)
    assert "base_python" in (told.value.hint or "")


def test_python_too_old(site: Site, tmp_path: Path) -> None:
    old = tmp_path / "python3.6"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.6.8 && exit 0\nexit 1\n')
    old.chmod(0o755)
    environment = {"base_python": str(old)}
    aged = Site.model_validate({"name": "t", "environment": environment})
    with pytest.raises(EnvironmentMissing, match=r"found only .*\(Python 3\.6\.8\)"):
        install(aged, HOST)


def test_a_directory_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = site.model_copy(update={"directory": str(tmp_path / "file")})
    with pytest.raises(EnvironmentMissing, match="Not a directory"):
        install(blocked, HOST, offline=True, lock=SMALL)


def test_an_installer_that_fails_says_why(site: Site) -> None:
    wrong = "".join(f"{name}==999 --hash=sha256:{'0' * 64}\n" for name in ("toolz", "zict"))
    with pytest.raises(EnvironmentMissing, match="==999") as told:
        install(site, HOST, lock=wrong)
    assert "--offline" in (told.value.hint or "")
    assert not (environments(site) / "default").exists()


def test_an_admins_environment_is_left_alone(tmp_path: Path) -> None:
    environment = {"python": "/sw/python"}
    theirs = Site.model_validate(
        {"name": "t", "directory": str(tmp_path), "environment": environment}
    )
    done = install(theirs, HOST)
    assert (done.changed, done.python, done.name) == (False, ("/sw/python",), "")
    assert not list(tmp_path.iterdir())


def test_the_probe_is_read_by_an_old_python() -> None:
    source = Path(rsdat.__file__).parent / "environment" / "programs" / "probe.py"
    ast.parse(source.read_text(), feature_version=(3, 6))
