"""The shipped sites: correct, readable by editors, and found in a checkout and in a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsdat.config import lint, load_site
from rsdat.config.places import Places, shipped_directory

SITES = sorted((shipped_directory() / "sites").glob("*.yaml"))
NOWHERE = Path("/nonexistent")


def test_these_sites_are_shipped() -> None:
    names = {path.stem for path in SITES}
    assert names >= {"local", "virtual", "spider", "snellius", "delftblue"}


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_a_shipped_site_is_correct_and_says_what_it_is(path: Path) -> None:
    where = Places(shipped_directory(), NOWHERE, NOWHERE)
    assert lint(path, where=where, environ={}) == []
    site = load_site(path.stem, where=where, environ={}).site
    assert site.name == path.stem
    assert site.description
    assert type(site).model_validate_json(site.model_dump_json()) == site
    assert path.read_text().startswith("# yaml-language-server: $schema=../schema.json\n")


def test_an_installed_package_finds_the_sites_inside_itself(tmp_path: Path) -> None:
    package = tmp_path / "rsdat"
    source = Path(sys.modules["rsdat"].__file__ or "").parent
    for part in ("__init__.py", "errors.py"):
        package.mkdir(exist_ok=True)
        shutil.copy(source / part, package / part)
    shutil.copytree(source / "config", package / "config")
    shutil.copytree(shipped_directory() / "sites", package / "_shipped" / "sites")
    program = "from rsdat.config.places import shipped_directory; print(shipped_directory())"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(package / "_shipped")


def test_looking_for_sites_does_not_import_pydantic() -> None:
    program = (
        "import sys, rsdat.config as c; c.site_names(); "
        "assert 'pydantic' not in sys.modules, 'pydantic was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
