from rsdat.config.models import Site
from rsdat.environment import Difference, advice, check
from rsdat.environment.comparison import compare
from rsdat.environment.facts import Facts
from rsdat.environment.lock import Locked
from rsdat.host.local import LocalHost

LOCKED = (
    Locked("numpy", "2.4.6", None, frozenset({"aa"})),
    Locked("affine", "3.0.1", None, frozenset({"bb"})),
)


def facts(python: str = "3.11.2", **distributions: str) -> Facts:
    markers = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return Facts("/e/python", "/e", markers, "2.36", distributions)


def test_nothing_differs() -> None:
    found = facts(numpy="2.4.6", affine="3.0.1", rsdat="0.1.0+gaa", pip="25.0")
    assert compare(found, python="", rsdat_version="0.1.0+gaa", locked=LOCKED) == []


def test_each_thing_that_differs_is_named() -> None:
    found = facts("3.10.1", numpy="1.26.4", rsdat="0.1.0+gaa")
    assert compare(found, python="", rsdat_version="0.1.0+gbb", locked=LOCKED) == [
        Difference("python", "3.11 to 3.13", "3.10.1"),
        Difference("numpy", "2.4.6", "1.26.4"),
        Difference("affine", "3.0.1", None),
        Difference("rsdat", "0.1.0+gbb", "0.1.0+gaa"),
    ]


def test_no_environment_at_all() -> None:
    (difference,) = compare(None, python="~/x/python", rsdat_version="1")
    assert str(difference) == "environment: missing, expected ~/x/python"


def test_bounds_where_the_versions_are_the_admins() -> None:
    bounds = ("numpy>=2.0", "jupyterlab<5,>=4.4; extra == 'jupyter'", "x; sys_platform == 'win32'")
    found = facts(numpy="2.0.0", jupyterlab="5.0.0", rsdat="0.1.0")
    found = Facts(**{**vars(found), "markers": {**found.markers, "sys_platform": "linux"}})
    given = compare(found, python="", rsdat_version="0.1.0", bounds=bounds, public=True)
    assert given == [Difference("jupyterlab", "<5,>=4.4", "5.0.0")]


def test_this_machine_is_what_its_own_metadata_asks_for() -> None:
    local = Site.model_validate({"name": "local", "queue": "local"})
    assert check(local, LocalHost()) == []


def test_a_missing_environment_is_a_difference(tmp_path) -> None:
    site = Site.model_validate({"name": "spider", "directory": str(tmp_path)})
    (difference,) = check(site, LocalHost())
    assert difference.what == "environment"
    assert advice(site) == "rsdat env install spider"
