"""A site drafted over ssh from a real SLURM is one whose jobs that SLURM accepts."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.cluster


def test_a_drafted_site_is_correct_and_its_jobs_are_accepted(virtual_cluster, rsdat):
    file = rsdat.directory / "config" / "rsdat" / "sites" / "drafted.yaml"
    done = rsdat("site", "init", "virtual", "--output", str(file))
    assert done.returncode == 0, done.stderr
    assert rsdat("site", "lint", str(file)).stdout == f"{file}: correct\n"

    site = json.loads(rsdat("site", "show", "drafted", "--json").stdout)["site"]
    assert site["connection"]["host"] == "rsdat-virtual"
    assert site["head"]["partition"] == "main"
    assert "down" not in site["pools"]

    scripts = json.loads(rsdat("site", "render", "drafted", "--json").stdout)
    for script in [scripts["head"], *scripts["workers"].values()]:
        ssh = virtual_cluster.ssh(f"sbatch --test-only <<'END-OF-JOB'\n{script}\nEND-OF-JOB")
        assert "to start at" in ssh.stderr


def test_a_controller_that_does_not_answer_is_said_to_be_that(virtual_cluster, rsdat):
    with virtual_cluster.controller_stopped():
        done = rsdat("site", "init", "virtual")
    assert done.returncode == 5
    assert "SLURM names no partitions" in done.stderr
    assert "controller" in done.stderr
