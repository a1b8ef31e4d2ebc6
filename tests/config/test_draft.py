"""Sites drafted from what SLURM says, on recorded text.

``slurm-22.05.txt`` was recorded on the virtual cluster, ``slurm-24.11.txt`` from a controller that
was told of a larger system; only that one's greeting and the lines of its accounting are made up.
"""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsdat.config import Site, lint
from rsdat.config.draft import draft_site, draft_yaml, scalar, site_name
from rsdat.config.queue_facts import (
    DRAFT_COMMAND,
    Nodes,
    Partition,
    QueueFacts,
    parse_facts,
)
from rsdat.errors import QueueError

RECORDED = Path(__file__).parent / "recorded"
GIB = 2**30


def facts(version: str) -> QueueFacts:
    return parse_facts((RECORDED / f"slurm-{version}.txt").read_text())


def test_what_22_05_says_is_read() -> None:
    found = facts("22.05")
    assert found.version == "22.05.8"
    assert (found.default_account, found.accounts) == ("research", ("research",))
    main, short, down = found.partitions
    assert main == Partition(
        name="main",
        default=True,
        max_walltime=timedelta(days=1),
        nodes=(Nodes(2, 8, 16000 * 2**20),),
    )
    assert short.max_walltime == timedelta(hours=1)
    assert not down.up


def test_what_24_11_says_is_read() -> None:
    found = facts("24.11")
    assert found.version == "24.11.5"
    assert (found.default_account, found.accounts) == (None, ("geo", "hydro"))
    named = {partition.name: partition for partition in found.partitions}
    assert named["interactive"].max_cores_per_node == 8
    assert named["interactive"].max_memory_per_core == 1750 * 2**20
    assert named["compute"].accounts == ("physics", "geo")
    assert named["compute"].nodes[0] == Nodes(4, 256, 1031168 * 2**20)
    assert named["GPU.A100"].nodes[0].gpus == "gpu:a100"
    assert named["GPU.A100"].max_memory_per_node == 100000 * 2**20
    assert named["chemistry"].max_walltime is None


def test_partitions_that_are_hidden_or_roots_alone_are_not_open() -> None:
    text = (
        "@@rsdat partitions\nPartitionName=a Hidden=YES RootOnly=NO State=UP\n"
        "PartitionName=b Hidden=NO RootOnly=YES State=UP\n"
        "PartitionName=c Hidden=NO RootOnly=NO State=DRAIN\n@@rsdat end\n"
    )
    found = {p.name: (p.open, p.up) for p in parse_facts(text).partitions}
    assert found == {"a": (False, True), "b": (False, True), "c": (True, False)}


def test_a_small_cluster_gives_a_site_for_its_default_partition() -> None:
    site = Site.model_validate(draft_site("here", None, facts("22.05")))
    assert site.connection.host is None
    assert site.head.partition == "main"
    assert site.head.walltime == timedelta(hours=8)
    assert site.head.account is None, "the default account needs no naming"
    assert list(site.pools) == ["default", "short"]
    assert (site.pools["default"].cores, site.pools["default"].memory) == (4, 7 * GIB)
    assert site.pools["short"].walltime == timedelta(hours=1)
    assert site.limits.walltime == timedelta(days=1)


def test_a_large_cluster_gives_a_pool_per_partition_that_takes_our_jobs() -> None:
    site = Site.model_validate(draft_site("big", "me@login.example.org", facts("24.11")))
    assert (site.connection.user, site.connection.host) == ("me", "login.example.org")
    # No default partition: the largest without GPUs that our accounts may use.
    assert site.head.partition == "compute"
    assert site.head.account == "geo"
    assert list(site.pools) == ["default", "interactive", "gpu-a100"]
    interactive, gpu = site.pools["interactive"], site.pools["gpu-a100"]
    assert interactive.memory == 6 * GIB, "1750 MiB a core is the most there"
    assert interactive.walltime == timedelta(hours=4)
    assert gpu.gres == "gpu:a100:1"
    assert gpu.partition == "GPU.A100"


@pytest.mark.parametrize("version", ["22.05", "24.11"])
def test_the_yaml_is_the_site_and_says_what_was_guessed(version: str, tmp_path: Path) -> None:
    file = tmp_path / "drafted.yaml"
    text = draft_yaml("drafted", "login.example.org", facts(version))
    file.write_text(text)
    assert lint(file, environ={}) == []
    from rsdat.config.document import parse_document
    from rsdat.config.origin import Layer

    values, _ = parse_document(text, file="", layer=Layer.USER)
    expected = draft_site("drafted", "login.example.org", facts(version))
    assert Site.model_validate(values.nested()) == Site.model_validate(expected)
    assert text.count("# guessed") >= 4
    assert text == (RECORDED / f"draft-{version}.yaml").read_text()


nodes = st.builds(
    Nodes,
    count=st.integers(1, 1000),
    cores=st.integers(1, 512),
    memory=st.integers(2**9, 2**22).map(lambda mebibytes: mebibytes * 2**20),
    gpus=st.sampled_from([None, "gpu", "gpu:a100"]),
)
sizes = st.one_of(st.none(), st.integers(1, 2**22).map(lambda mebibytes: mebibytes * 2**20))
partitions = st.builds(
    Partition,
    name=st.text("abcXYZ019._-", min_size=1, max_size=40),
    default=st.booleans(),
    max_walltime=st.one_of(st.none(), st.integers(5, 10**5).map(lambda m: timedelta(minutes=m))),
    accounts=st.sampled_from([None, ("a",), ("b", "c")]),
    max_cores_per_node=st.one_of(st.none(), st.integers(1, 512)),
    memory_per_core=sizes,
    max_memory_per_core=sizes,
    max_memory_per_node=sizes,
    nodes=st.lists(nodes, min_size=1, max_size=3).map(tuple),
)


@given(st.lists(partitions, min_size=1, max_size=8), st.sampled_from([(), ("a",), ("a", "c")]))
def test_every_draft_is_a_correct_site_within_the_partitions_limits(
    given_partitions: list[Partition], accounts: tuple[str, ...]
) -> None:
    found = QueueFacts("24.11", tuple(given_partitions), None, accounts)
    try:
        site = Site.model_validate(draft_site("x", "host", found))
    except QueueError:
        assert accounts
        return
    by_name = {partition.name: partition for partition in given_partitions}
    for pool in [site.head, *site.pools.values()]:
        options = [p for p in given_partitions if p.name == pool.partition]
        assert by_name[str(pool.partition)] in options
        assert any(_fits(pool.cores, pool.memory or 0, pool.walltime, p) for p in options)


def _fits(cores: int, memory: int, walltime: timedelta | None, partition: Partition) -> bool:
    smallest = min(partition.nodes, key=lambda n: (n.cores, n.memory))
    return (
        cores <= min(smallest.cores, partition.max_cores_per_node or cores)
        and memory <= smallest.memory
        and memory <= (partition.max_memory_per_node or memory)
        and memory <= (partition.max_memory_per_core or memory) * cores
        and (partition.max_walltime is None or (walltime or timedelta()) <= partition.max_walltime)
    )


def test_no_slurm_no_controller_and_a_cut_answer_are_told_apart() -> None:
    with pytest.raises(QueueError, match="there is no SLURM here"):
        parse_facts("hello\n@@rsdat absent\n")
    with pytest.raises(QueueError, match="cut off"):
        parse_facts("@@rsdat version\nslurm 23.02.1\n@@rsdat partitions\n")
    down = "slurm_load_partitions error: Unable to contact slurm controller (connect failure)"
    text = f"@@rsdat version\nslurm 23.02.1\n@@rsdat partitions\n{down}\n@@rsdat end\n"
    with pytest.raises(QueueError, match="Unable to contact slurm controller"):
        parse_facts(text)


def test_a_cluster_whose_partitions_are_all_closed_is_said() -> None:
    closed = QueueFacts("24.11", (Partition("a", up=False), Partition("b", open=False)))
    with pytest.raises(QueueError, match=r"no partition takes jobs .*a, b"):
        draft_site("x", None, closed)


def test_the_script_says_so_where_there_is_no_slurm(tmp_path: Path) -> None:
    for tool in ("sh", "id", "sed", "timeout"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    # /etc/profile would set the PATH again, to where SLURM may be.
    script = DRAFT_COMMAND[2].replace("/etc/profile", str(tmp_path / "absent"))
    ran = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert (ran.stdout, ran.returncode) == ("@@rsdat absent\n", 0)


def test_names_of_sites_come_from_hosts() -> None:
    assert site_name("me@login.example.org") == "login.example.org"
    assert site_name("spider") == "spider"
    assert site_name("-odd name-") == "odd-name"


@given(st.one_of(st.text(), st.integers(), st.from_regex(r"[0-9.eE+_xo:-]{1,6}", fullmatch=True)))
def test_a_scalar_is_read_back_as_it_was(value: object) -> None:
    from rsdat.config.document import parse_document
    from rsdat.config.origin import Layer

    text = scalar(value)
    values, problems = parse_document(f"key: {text} # said\n", file="", layer=Layer.USER)
    assert (values.leaves.get(("key",)), problems) == (value, [])
