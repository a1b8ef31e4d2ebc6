"""What an admin locks or limits binds users' files, variables and options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.config import InvalidSite, Site, lint, load_site
from rsdat.config.places import Places

Write = Callable[[str, str], Path]


@pytest.fixture
def admin(write: Write) -> Path:
    write(
        "shipped/sites/x.yaml", "head: {partition: normal, walltime: 2h}\npools: {a: {cores: 2}}\n"
    )
    return write(
        "etc/sites/x.yaml",
        """
        limits:
          walltime: 4h
          workers: 16
          locked:
            - head.partition
            - pools.*.account
            - environment
        pools:
          a: {account: staff}
        """,
    )


def refusals(
    where: Places, environ: dict[str, str] | None = None, **overrides: object
) -> list[str]:
    with pytest.raises(InvalidSite) as caught:
        load_site("x", environ=environ or {}, overrides=overrides, where=where)
    return [str(problem) for problem in caught.value.problems]


def load(where: Places, environ: dict[str, str] | None = None) -> Site:
    return load_site("x", environ=environ or {}, where=where).site


def test_a_locked_key_is_refused_in_every_layer_of_the_user(
    where: Places, write: Write, admin: Path
) -> None:
    locked = f"head.partition: users may not change this: {admin}:5 locks 'head.partition'"
    variable = {"RSDAT_HEAD__PARTITION": "gpu"}
    assert refusals(where, variable) == [f"RSDAT_HEAD__PARTITION: {locked}"]
    assert refusals(where, **{"head.partition": "gpu"}) == [f"command line: {locked}"]
    mine = write("user/sites/x.yaml", "head:\n  partition: gpu\n")
    assert refusals(where) == [f"{mine}:2: {locked}"]
    assert [str(problem) for problem in lint(mine, where=where)] == [f"{mine}:2: {locked}"]


def test_a_file_that_is_a_link_belongs_where_the_link_is(
    where: Places, write: Write, admin: Path
) -> None:
    elsewhere = write("dotfiles/x.yaml", "head:\n  partition: gpu\n")
    link = write("user/sites/other.yaml", "").with_name("x.yaml")
    link.symlink_to(elsewhere)
    assert [problem.key for problem in lint(link, where=where)] == ["head.partition"]
    assert lint(elsewhere, where=where) == []


def test_what_is_not_locked_is_free(where: Places, admin: Path) -> None:
    assert load(where, {"RSDAT_HEAD__CORES": "8"}).head.cores == 8


def test_saying_the_same_is_no_change(where: Places, admin: Path) -> None:
    environ = {"RSDAT_HEAD__PARTITION": "normal", "RSDAT_POOLS__A__ACCOUNT": "staff"}
    assert load(where, environ).head.partition == "normal"


def test_the_admins_own_layers_may_change_what_is_locked(
    where: Places, write: Write, admin: Path
) -> None:
    admin.write_text(admin.read_text() + "head: {partition: fast}\n")
    assert load(where).head.partition == "fast"


def test_a_lock_on_a_section_is_on_all_in_it(where: Places, write: Write, admin: Path) -> None:
    environ = {"RSDAT_ENVIRONMENT__PYTHON": "/evil/python"}
    assert "locks 'environment'" in refusals(where, environ)[0]
    write("user/sites/x.yaml", "environment: {container: {image: /x.sif}}\n")
    assert "environment.container.image" in refusals(where)[0]


def test_a_lock_below_a_section_holds_when_the_section_is_emptied(
    where: Places, write: Write
) -> None:
    write(
        "etc/sites/x.yaml",
        """
        environment: {container: {image: /good.sif}}
        limits: {locked: [environment.container.image]}
        """,
    )
    write("user/sites/x.yaml", "environment: {container: null}\n")
    assert "environment.container: users may not change this" in refusals(where)[0]


def test_a_pool_of_the_users_own_is_bound_as_well(where: Places, write: Write, admin: Path) -> None:
    mine = write("user/sites/x.yaml", "pools:\n  mine:\n    account: other\n    walltime: 1h\n")
    assert refusals(where) == [
        f"{mine}:3: pools.mine.account: users may not change this: "
        f"{admin}:6 locks 'pools.*.account'"
    ]
    mine.write_text("pools:\n  mine:\n    account: staff\n    walltime: 1h\n")
    assert load(where).pools["mine"].account == "staff"


def test_limits_may_be_lowered_and_not_raised(where: Places, write: Write, admin: Path) -> None:
    mine = write("user/sites/x.yaml", "limits:\n  walltime: 8h\n  workers: null\n  locked: []\n")
    assert refusals(where) == [
        f"{mine}:2: limits.walltime: users may not raise the limit of 4h that {admin}:2 sets",
        f"{mine}:3: limits.workers: users may not raise the limit of 16 that {admin}:3 sets",
        f"{mine}:4: limits.locked: users may not take away what {admin}:4 locks",
    ]
    mine.write_text("limits: {walltime: 3h, workers: 4}\n")
    assert load(where).limits.workers == 4


def test_leaving_a_walltime_out_is_no_way_around_the_limit(
    where: Places, write: Write, admin: Path
) -> None:
    needed = f"a walltime is needed here: {admin}:2 limits it to 4h"
    environ = {"RSDAT_HEAD__WALLTIME": ""}
    assert refusals(where, environ) == [f"RSDAT_HEAD__WALLTIME: head.walltime: {needed}"]
    mine = write("user/sites/x.yaml", "pools:\n  mine:\n    cores: 2\n")
    assert refusals(where) == [f"{mine}:2: pools.mine.walltime: {needed}"]


def test_a_site_of_the_users_own_binds_nobody(where: Places, write: Write) -> None:
    write("user/sites/x.yaml", "limits: {locked: [head.cores], workers: 2}\n")
    environ = {"RSDAT_HEAD__CORES": "8", "RSDAT_LIMITS__WORKERS": "9"}
    assert load(where, environ).limits.workers == 9


def test_a_user_cannot_hide_an_admins_mistake_to_lose_the_locks(
    where: Places, write: Write
) -> None:
    write(
        "etc/sites/x.yaml",
        "head: {partition: a, memory: much}\nlimits: {locked: [head.partition]}\n",
    )
    write("user/sites/x.yaml", "head: {partition: b, memory: 4G}\n")
    assert "etc/sites/x.yaml:1: head.memory: expected a memory size" in refusals(where)[0]


def test_a_directive_is_no_way_around_a_lock(where: Places, admin: Path) -> None:
    environ = {"RSDAT_HEAD__DIRECTIVES": "--partition=gpu"}
    assert "write the key 'partition' instead" in refusals(where, environ)[0]
