from pathlib import Path

import pytest

from rsdat.config.models import Site
from rsdat.environment import interpreter
from rsdat.environment.interpreter import on_site
from rsdat.host.local import LocalHost


def site(**environment: object) -> Site:
    return Site.model_validate({"name": "t", "environment": environment})


def test_the_environment_that_install_makes() -> None:
    assert interpreter(site()) == ("~/.rsdat/environments/default/bin/python",)
    elsewhere = Site.model_validate({"name": "t", "directory": "/project/me/rsdat/"})
    assert interpreter(elsewhere) == ("/project/me/rsdat/environments/default/bin/python",)


def test_an_interpreter_that_the_admin_names() -> None:
    assert interpreter(site(python="/sw/eo/bin/python")) == ("/sw/eo/bin/python",)


def test_an_image() -> None:
    image = {"image": "/sw/rsdat.sif", "binds": ["/scratch", "/data:/mnt"], "arguments": ["--nv"]}
    assert interpreter(site(container=image)) == (
        "apptainer",
        "exec",
        "--bind",
        "/scratch",
        "--bind",
        "/data:/mnt",
        "--nv",
        "/sw/rsdat.sif",
        "python",
    )
    older = image | {"runtime": "singularity", "binds": [], "arguments": []}
    assert interpreter(site(container=older, python="/opt/env/bin/python")) == (
        "singularity",
        "exec",
        "/sw/rsdat.sif",
        "/opt/env/bin/python",
    )


def test_words_arrive_as_they_are_but_for_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me and you")
    words = ["~/a b", "$HOME", "'", "x~/y", "~", ""]
    for prologue in ((), ("echo noise", "export FROM_PROLOGUE=1")):
        argv = on_site(site(prologue=prologue), ["printf", "%s\n", *words])
        said = LocalHost().run(argv).stdout.splitlines()
        assert said == ["/home/me and you/a b", "$HOME", "'", "x~/y", "~", ""]


def test_the_prologue_prepares_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # the tester's own profile is no part of this
    argv = on_site(site(prologue=("export LOADED=yes",)), ["sh", "-c", "echo $LOADED"])
    assert LocalHost().run(argv).stdout == "yes\n"
