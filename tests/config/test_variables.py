"""RSDAT_* variables and the command line's options as values of a site."""

from __future__ import annotations

from rsdat.config.keys import known_keys, nearest_key
from rsdat.config.origin import Layer
from rsdat.config.variables import Option, from_environment, from_options

POOLS = ["default", "big-memory"]


def test_names_are_keys_in_capitals() -> None:
    values, problems = from_environment(
        {
            "RSDAT_HEAD__CORES": "4",
            "RSDAT_POOLS__DEFAULT__MEMORY": "8GiB",
            "RSDAT_POOLS__BIG_MEMORY__LOCAL_DIRECTORY": "/scratch",
            "RSDAT_DIRECTORY": "/shared/me",
            "PATH": "/bin",
        },
        POOLS,
    )
    assert not problems
    assert values.nested() == {
        "head": {"cores": "4"},
        "pools": {"default": {"memory": "8GiB"}, "big-memory": {"local_directory": "/scratch"}},
        "directory": "/shared/me",
    }
    assert values.origin(("head", "cores")).layer is Layer.VARIABLE


def test_lists_and_nothing() -> None:
    values, problems = from_environment(
        {
            "RSDAT_HEAD__DIRECTIVES": "[--exclusive, --nice=5]",
            "RSDAT_JUPYTER__ARGUMENTS": "--ServerApp.x=y z",
            "RSDAT_HEAD__PARTITION": "",
            "RSDAT_ENVIRONMENT__PROLOGUE": "",
        },
        POOLS,
    )
    assert not problems
    assert values.leaves == {
        ("head", "directives"): ["--exclusive", "--nice=5"],
        ("jupyter", "arguments"): ["--ServerApp.x=y z"],
        ("head", "partition"): None,
        ("environment", "prologue"): [],
    }


def test_a_mistyped_variable_is_named_with_the_nearest() -> None:
    _, problems = from_environment(
        {
            "RSDAT_HEAD__CORS": "4",
            "RSDAT_HEAD_CORES": "4",
            "RSDAT_POOLS__DEFALT__MEMORY": "1G",
            "RSDAT_DIRECTRY": "/x",
        },
        POOLS,
    )
    assert {p.origin.place: p.suggestion for p in problems} == {
        "RSDAT_HEAD__CORS": "RSDAT_HEAD__CORES",
        "RSDAT_HEAD_CORES": "RSDAT_HEAD__CORES",
        "RSDAT_POOLS__DEFALT__MEMORY": "RSDAT_POOLS__DEFAULT__MEMORY",
        "RSDAT_DIRECTRY": "RSDAT_DIRECTORY",
    }


def test_a_double_underscore_always_means_a_key() -> None:
    _, problems = from_environment({"RSDAT_QQ__ZZ": "1", "RSDAT_POOLS__DEFAULT": "1"}, POOLS)
    assert [p.origin.place for p in problems] == ["RSDAT_POOLS__DEFAULT", "RSDAT_QQ__ZZ"]


def test_variables_with_other_meanings_are_left_alone() -> None:
    others = ["SESSION", "DEBUG", "CONFIG_DIR", "SITE", "NAME", "UPDATE_GOLDEN", "X"]
    others += ["VC_NAME", "VC_NETWORK", "REQUIRE_CLUSTER", "JOB_RECORD", "TEST_HOST"]
    values, problems = from_environment({f"RSDAT_{name}": "x" for name in others}, POOLS)
    assert not problems
    assert not values.leaves


def test_options_that_were_not_given_say_nothing() -> None:
    values, problems = from_options(
        {"head.cores": 4, "head.memory": None, "pools.*.account": Option("--account", "a")}, POOLS
    )
    assert not problems
    assert {".".join(path): value for path, value in values.leaves.items()} == {
        "head.cores": 4,
        "pools.default.account": "a",
        "pools.big-memory.account": "a",
    }
    assert str(values.origin(("pools", "default", "account"))) == "--account"


def test_an_option_for_an_unknown_key_or_pool_is_refused() -> None:
    _, problems = from_options(
        {"head.cors": 1, "pools.defalt.cores": 1, "head": 1, "name": 1}, POOLS
    )
    assert [(p.key, p.suggestion) for p in problems][:2] == [
        ("head.cors", "head.cores"),
        ("pools.defalt.cores", "pools.default.cores"),
    ]
    assert len(problems) == 4


def test_every_key_is_its_own_nearest() -> None:
    for key in known_keys():
        if "*" not in key:
            assert nearest_key(key) == ".".join(key)
