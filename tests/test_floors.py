"""The house's rules that a reader relies on: floors, short modules, a cheap ``rsdat --help``."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "rsdat"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: A room imports only from itself and from those after it.
FLOORS = [
    "cli",
    "session",
    "raster",
    "cluster",
    "catalog",
    "storage",
    "environment",
    "jobqueue",
    "host",
    "config",
    "arguments",
    "errors",
]

HEAVY = [
    "aiohttp",
    "bokeh",
    "cryptography",
    "dask",
    "distributed",
    "jinja2",
    "jupyter_core",
    "jupyter_server",
    "jupyterlab",
    "matplotlib",
    "numpy",
    "odc",
    "pandas",
    "pydantic",
    "pystac",
    "rasterio",
    "rioxarray",
    "xarray",
    "zarr",
]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and dotted name of each import of rsdat, at the top or inside a function."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module is not None
            if node.module == "rsdat":
                found += [(node.lineno, f"rsdat.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module))
    return [(line, module) for line, module in found if module.split(".")[0] == "rsdat"]


def test_every_room_has_its_floor() -> None:
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_room_imports_only_from_the_floors_below(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    wrong = []
    for line, module in imported(ast.parse(path.read_text())):
        # `import rsdat` is for its place and version; its names are for notebooks.
        other = module.split(".")[1] if "." in module else "__version__"
        if other == "__version__":
            continue
        if other not in FLOORS or FLOORS.index(other) < FLOORS.index(room):
            wrong.append(f"{name(path)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 400
    documentation = ast.get_docstring(ast.parse(text)) or ""
    first = documentation.split("\n\n")[0].strip()
    assert first.endswith((".", ":", "::")), f"the first sentence is missing: {first!r}"


def test_help_costs_no_heavy_import() -> None:
    program = f"""
import sys
sys.argv = ["rsdat", "--help"]
from rsdat.cli import main
try:
    main()
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
