"""What is wrong with a site: the place, the key, the cause and the nearest key, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.config import InvalidSite, Option, lint, load_site
from rsdat.config.places import Places
from rsdat.errors import ConfigError

Write = Callable[[str, str], Path]


def problems_of(write: Write, where: Places, text: str) -> list[str]:
    """What lint says of a file, without the file's path."""
    file = write("other/site.yaml", text)
    found = [str(problem) for problem in lint(file, where=where, environ={})]
    return [line.removeprefix(f"{file}:") for line in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("haed: {cores: 1}", "1: haed: unknown key; did you mean 'head'?"),
        ("head: {core: 1}", "1: head.core: unknown key; did you mean 'head.cores'?"),
        (
            "pools: {gpu: {memroy: 8G}}",
            "1: pools.gpu.memroy: unknown key; did you mean 'pools.gpu.memory'?",
        ),
        ("cores: 4", "1: cores: unknown key; did you mean 'head.cores'?"),
        ("xyzzy: 4", "1: xyzzy: unknown key"),
        ("head: {cores: four}", "1: head.cores: expected a whole number, got 'four'"),
        ("head: {cores: 0}", "1: head.cores: expected at least 1, got 0"),
        ("head: {cores: true}", "1: head.cores: expected a whole number, got true"),
        ("head: {cores: 1.5}", "1: head.cores: expected a whole number, got 1.5"),
        ("head: {cores: [1]}", "1: head.cores: expected a whole number, got a list"),
        (
            "head: {memory: much}",
            "1: head.memory: expected a memory size such as 8GiB, got 'much'",
        ),
        (
            "head: {walltime: 600}",
            '1: head.walltime: expected a walltime such as 10h, 90m or "1-12:00:00", got 600',
        ),
        (
            "head: {account: 123}",
            '1: head.account: expected a text, got 123 (in quotes it is a text: "123")',
        ),
        (
            "jupyter: {root_directory: ~}",
            "1: jupyter.root_directory: expected a text, got nothing "
            '(a bare ~ is nothing in YAML; in quotes it is a text: "~")',
        ),
        (
            "head: {directives: --exclusive}",
            "1: head.directives: expected a list, got '--exclusive'",
        ),
        (
            "head: {directives: [--nice, '#SBATCH -x c1']}",
            "1: head.directives.1: write the option alone, without #SBATCH, got '#SBATCH -x c1'",
        ),
        (
            'head: {directives: ["--comment=a\\n#SBATCH -p x"]}',
            "1: head.directives.0: expected one line",
        ),
        (
            "head: {directives: [--partition=gpu]}",
            "1: head.directives.0: write the key 'partition' instead of --partition",
        ),
        (
            "head: {directives: [-J me]}",
            "1: head.directives.0: -J is set by rsdat itself",
        ),
        (
            "head: {memory: 1G, directives: [--mem-per-cpu=1G]}",
            "1: head.directives.0: --mem-per-cpu and the key 'memory' (1GiB) exclude one another",
        ),
        (
            "head: {partition: a b}",
            "1: head.partition: expected one word as the queue knows it, got 'a b'",
        ),
        ("head: 3", "1: head: expected a section with keys of its own, got 3"),
        ("pools: [a]", "1: pools: expected a section with keys of its own, got a list"),
        (
            "pools: {GPU: {}}",
            "1: pools.GPU: expected a name of small letters, digits, - and _ (at most 32), "
            "got 'GPU'",
        ),
        (
            "queue: slrm",
            "1: queue: expected 'slurm' or 'local', got 'slrm'; did you mean 'slurm'?",
        ),
        (
            "connection: {host: -oProxyCommand=x}",
            "1: connection.host: expected one name as ssh knows it, without user@, "
            "got '-oProxyCommand=x'",
        ),
        (
            "jupyter: {arguments: [--IdentityProvider.token=abc]}",
            "1: jupyter.arguments.0: a secret does not belong in a site file; "
            "every session makes its own",
        ),
        ("directory: here", "1: directory: expected a path that begins with / or ~/, got 'here'"),
        (
            "environment: {container: {runtime: apptainer}}",
            "1: environment.container.image: a value is needed here",
        ),
        ("name: other", "1: name: the file's own name says 'site'"),
        (
            "limits: {locked: [head.partion]}",
            "1: limits.locked: 'head.partion' names no key; did you mean 'head.partition'?",
        ),
        # Impossible combinations: the place is that of the newer value, or of the first key.
        (
            "pools: {a: {cores: 2, processes: 4}}",
            "1: pools.a.processes: 4 Dask workers do not fit on 2 cores",
        ),
        (
            "pools:\n  a:\n    {cores: 2, processes: 2, memory: 8GiB,\n    worker_memory: 5GiB}",
            "4: pools.a.worker_memory: 2 workers of 5GiB need more than the pool's memory of 8GiB",
        ),
        (
            "limits: {walltime: 4h}\npools: {a: {walltime: 5h}}",
            "2: pools.a.walltime: 5h is over the limit of 4h",
        ),
        (
            "limits: {workers: 2}\npools: {a: {cores: 4, processes: 4}}",
            "2: pools.a.processes: one job already starts 4 workers, over the limit of 2",
        ),
        (
            "head: {walltime: 1m}",
            "1: head.walltime: head.warn_before: 2m before the end is not within a walltime of 1m",
        ),
        (
            "head: {walltime: 0h, warn_before: 0s}",
            "1: head.walltime: expected a walltime above nothing",
        ),
        (
            "queue: local\nconnection: {host: a}",
            "1: queue: the queue 'local' runs on this machine; a host needs the queue 'slurm'",
        ),
    ],
)
def test_one_fault_gives_one_line(text: str, expected: str, where: Places, write: Write) -> None:
    assert problems_of(write, where, text) == [expected]


def test_all_problems_are_told_at_once(where: Places, write: Write) -> None:
    text = """
        name: site
        hed: {cores: 1}
        head:
          cores: many
          walltime: 8h
        pools:
          a: {memory: lots, walltime: 9h, processes: 2}
          b: {cores: 1, processes: 2}
        limits:
          walltime: 1h
          walltime: 2h
          locked: [heed.cores]
        """
    found = [line.split(": ")[:2] for line in problems_of(write, where, text)]
    assert found == [
        ["2", "hed"],
        ["4", "head.cores"],
        ["5", "head.walltime"],
        ["7", "pools.a.memory"],
        ["7", "pools.a.processes"],
        ["7", "pools.a.walltime"],
        ["8", "pools.b.processes"],
        ["11", "limits.walltime"],
    ]


def test_what_follows_from_a_wrong_value_is_not_told(where: Places, write: Write) -> None:
    text = "pools: {a: {cores: 8x, processes: 4}}"
    assert problems_of(write, where, text) == [
        "1: pools.a.cores: expected a whole number, got '8x'"
    ]


def test_a_correct_file_has_no_problems(where: Places, write: Write) -> None:
    text = """
        name: site
        connection: {host: login.example.org, interface: 10.0.0.0/8}
        head: {cores: 1, memory: 4GiB, walltime: 1-00:00:00, constraint: "a&b|c"}
        pools:
          default: &default {cores: 4, processes: 2, memory: 16GiB, worker_memory: 8GiB}
          big: {<<: *default, memory: 64GiB, local_directory: /scratch/$USER}
        environment:
          prologue: [module load 2024]
          container: {image: /images/rs.sif, binds: [/data]}
        limits: {workers: 64, walltime: 2d, locked: [head.partition, "pools.*.account", jupyter]}
        """
    assert problems_of(write, where, text) == []


def test_the_blame_is_on_the_newest_value(where: Places, write: Write) -> None:
    shipped = "pools:\n  a: {cores: 4, processes: 4, memory: 16GiB, worker_memory: 4GiB}\n"
    write("shipped/sites/x.yaml", shipped)
    mine = write("user/sites/x.yaml", "# mine\npools:\n  a:\n    memory: 8GiB\n")
    with pytest.raises(InvalidSite) as caught:
        load_site("x", environ={}, where=where)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{mine}:4: pools.a.memory: pools.a.worker_memory: 4 workers of 4GiB need more than the "
        "pool's memory of 8GiB"
    ]
    assert [problem.origin.line for problem in lint(mine, where=where, environ={})] == [4]
    with pytest.raises(InvalidSite, match=r"RSDAT_POOLS__A__CORES: pools\.a\.cores"):
        load_site("x", environ={"RSDAT_POOLS__A__CORES": "2"}, where=where)
    with pytest.raises(InvalidSite, match=r"--memory: head\.memory: expected a memory size"):
        load_site("x", overrides={"head.memory": Option("--memory", "x")}, environ={}, where=where)


def test_the_error_lists_the_problems_of_all_files(where: Places, write: Write) -> None:
    one = write("etc/sites/x.yaml", "head:\n  cors: 1\n")
    two = write("user/sites/x.yaml", "head: [\n")
    with pytest.raises(InvalidSite) as caught:
        load_site("x", environ={}, where=where)
    assert caught.value.exit_code == 3
    first, *rest = caught.value.message.splitlines()
    assert first == "site x has 2 problems:"
    assert rest[0].startswith(f"  {one}:2: head.cors: unknown key; did you mean 'head.cores'?")
    assert rest[1].startswith(f"  {two}:2: not valid YAML")


def test_a_file_that_is_no_text_is_named(where: Places, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"name: \xff\xfe")
    assert [str(p) for p in lint(file, where=where)] == [f"{file}: not a text in UTF-8 (byte 6)"]


def test_lint_of_a_missing_file_is_an_error(where: Places, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        lint(tmp_path / "x.yaml", where=where)


def test_defaults_have_no_name(where: Places, write: Write) -> None:
    file = write("etc/defaults.yaml", "head: {account: staff}\n")
    assert lint(file, where=where) == []
    file.write_text("name: x\n")
    (problem,) = lint(file, where=where)
    assert problem.key == "name"


def test_a_file_name_that_is_no_sites_name_is_told(where: Places, write: Write) -> None:
    file = write("other/my site.yaml", "head: {cores: 1}\n")
    assert [p.message for p in lint(file, where=where)] == [
        "a site's name has letters, digits, '.', '-' and '_', got 'my site'"
    ]
