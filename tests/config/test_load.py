"""Sites by name: their layers, and where each value came from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rsdat.config import InvalidSite, Layer, Option, SiteNotFound, load_site, site_names
from rsdat.config.load import load_drafted
from rsdat.config.origin import DEFAULT
from rsdat.config.places import Places, places
from rsdat.errors import ConfigError

Write = Callable[[str, str], Path]

SHIPPED = """
name: big
description: a big one
head:
  cores: 2
  memory: 4GiB
  walltime: 10h
  directives: [--exclusive, --mail-type=END]
pools:
  default: {cores: 4, memory: 8GiB}
  gpu: {cores: 4, gres: "gpu:1"}
"""


@pytest.fixture
def all_layers(where: Places, write: Write) -> Places:
    write("shipped/sites/big.yaml", SHIPPED)
    write("etc/defaults.yaml", "head: {memory: 5GiB, account: staff}\n")
    write("etc/sites/big.yaml", "head:\n  memory: 6GiB\npools:\n  default: {memory: 16GiB}\n")
    write("user/defaults.yaml", "head: {memory: 7GiB, qos: mine}\n")
    write("user/sites/big.yaml", "head:\n  directives: [--nice=10]\npools: {gpu: {cores: 2}}\n")
    return where


def test_each_layer_lies_over_the_one_below(all_layers: Places, tmp_path: Path) -> None:
    loaded = load_site(
        "big",
        environ={"RSDAT_HEAD__CORES": "4", "RSDAT_HEAD__WALLTIME": "2h"},
        overrides={"head.walltime": Option("--walltime", "90m"), "head.partition": None},
        where=all_layers,
    )
    site = loaded.site
    assert site.head.cores == 4
    assert site.head.memory == 7 * 2**30
    assert site.head.walltime == timedelta(minutes=90)
    assert (site.head.account, site.head.qos, site.head.partition) == ("staff", "mine", None)
    assert site.head.directives == ("--nice=10",)
    assert list(site.pools) == ["default", "gpu"]
    assert site.pools["default"].memory == 16 * 2**30
    assert (site.pools["gpu"].cores, site.pools["gpu"].gres) == (2, "gpu:1")

    came = {key: str(origin) for key, origin in loaded.origins.items()}
    assert came["description"] == f"{tmp_path}/shipped/sites/big.yaml:2"
    assert came["head.account"] == f"{tmp_path}/etc/defaults.yaml:1"
    assert came["pools.default.memory"] == f"{tmp_path}/etc/sites/big.yaml:4"
    assert came["head.memory"] == f"{tmp_path}/user/defaults.yaml:1"
    assert came["head.directives"] == f"{tmp_path}/user/sites/big.yaml:2"
    assert came["head.cores"] == "RSDAT_HEAD__CORES"
    assert came["head.walltime"] == "--walltime"
    assert loaded.origins["queue"] == DEFAULT
    assert loaded.origins["head.cores"].layer is Layer.VARIABLE


def test_the_order_of_pools_is_that_of_the_lowest_layer(where: Places, write: Write) -> None:
    write("shipped/sites/big.yaml", SHIPPED)
    write("user/sites/big.yaml", "pools: {aaa: {}, gpu: {cores: 8}}\n")
    assert list(load_site("big", environ={}, where=where).site.pools) == ["default", "gpu", "aaa"]


def test_a_site_of_the_users_own_needs_no_other_layer(where: Places, write: Write) -> None:
    write("user/sites/mine.yaml", "head: {cores: 3}\n")
    loaded = load_site("mine", environ={"RSDAT_POOLS__DEFAULT__CORES": "2"}, where=where)
    assert loaded.site.name == "mine"
    assert loaded.site.pools["default"].cores == 2


def test_defaults_alone_make_no_site(where: Places, write: Write) -> None:
    write("etc/defaults.yaml", "head: {cores: 3}\n")
    with pytest.raises(SiteNotFound):
        load_site("mine", environ={}, where=where)


def test_empty_sections_say_nothing(where: Places, write: Write) -> None:
    write("etc/sites/x.yaml", "head: {cores: 3}\npools: {a: {cores: 2}}\n")
    write("user/sites/x.yaml", "head:\njupyter:\npools:\n  b:\nlimits: {}\n")
    site = load_site("x", environ={}, where=where).site
    assert (site.head.cores, list(site.pools)) == (3, ["a", "b"])


def test_an_upper_layer_can_empty_a_key(where: Places, write: Write) -> None:
    write("etc/sites/x.yaml", "head: {partition: a}\nenvironment: {container: {image: /i.sif}}\n")
    write("user/sites/x.yaml", "head: {partition: null}\nenvironment: {container: null}\n")
    site = load_site("x", environ={}, where=where).site
    assert site.head.partition is None
    assert site.environment.container is None


def test_an_unknown_site_names_the_nearest(where: Places, write: Write) -> None:
    write("shipped/sites/spider.yaml", "")
    with pytest.raises(SiteNotFound) as caught:
        load_site("spidr", environ={}, where=where)
    assert "'spidr'" in caught.value.message
    assert "did you mean 'spider'?" in caught.value.message
    assert "rsdat site list" in str(caught.value.hint)
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize("name", ["../x", "", "/etc/passwd", "-x", "a b", "me@host", "x\n"])
def test_what_cannot_be_a_name_is_not_looked_for(name: str, where: Places, write: Write) -> None:
    write("shipped/x.yaml", "")
    with pytest.raises(SiteNotFound):
        load_site(name, environ={}, where=where)


def test_the_list_shows_all_layers_and_survives_a_wrong_file(where: Places, write: Write) -> None:
    write("shipped/sites/a.yaml", "description: from below\n")
    mine = write("user/sites/a.yaml", "description: mine\n")
    write("etc/sites/broken.yaml", "a: [\n")
    listed = {entry.name: entry for entry in site_names(where=where)}
    assert sorted(listed) == ["a", "broken"]
    assert listed["a"].description == "mine"
    assert [layer for layer, _ in listed["a"].files] == [Layer.SHIPPED, Layer.USER]
    assert listed["a"].files[-1][1] == mine


def test_the_users_directory_is_where_the_environment_says(tmp_path: Path) -> None:
    assert places({"HOME": "/h"}).user == Path("/h/.config/rsdat")
    assert places({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}).user == Path("/x/rsdat")
    assert places({"HOME": "/h", "XDG_CONFIG_HOME": "/x", "RSDAT_CONFIG_DIR": "/c"}).user == Path(
        "/c"
    )


def test_a_drafted_site_takes_variables_and_options() -> None:
    loaded = load_drafted(
        {"name": "login.example.org", "head": {"cores": 1}, "pools": {"default": {"cores": 4}}},
        environ={"RSDAT_HEAD__CORES": "2"},
        overrides={"pools.*.account": "staff"},
    )
    assert loaded.site.head.cores == 2
    assert loaded.site.pools["default"].account == "staff"
    assert str(loaded.origins["pools.default.cores"]) == "drafted for login.example.org"


def test_the_error_crosses_process_borders(where: Places, write: Write) -> None:
    write("user/sites/x.yaml", "hed: 1\n")
    with pytest.raises(InvalidSite) as caught:
        load_site("x", environ={}, where=where)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.hint) == (caught.value.message, caught.value.hint)
