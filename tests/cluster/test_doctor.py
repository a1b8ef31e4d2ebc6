"""The doctor at a real site: what it finds in health, and each fault by its name."""

from collections.abc import Iterator

import pytest

from rsdat.config.models import Site
from rsdat.host import open_host
from rsdat.session.doctor import Finding, diagnose
from tests.cluster.conftest import VirtualCluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_jobs_left")]


@pytest.fixture
def site(virtual_cluster: VirtualCluster) -> Site:
    return site_of(virtual_cluster)


def site_of(cluster: VirtualCluster, user: str = "researcher", **head: object) -> Site:
    connection = {"host": cluster.facts["aliases"][user], "ssh_config": str(cluster.ssh_config)}
    wanted = {"partition": "main", "walltime": "1h", "account": "research", **head}
    return Site.model_validate(
        {"name": "doctored", "connection": connection, "head": wanted, "pools": {"default": {}}}
    )


def findings(site: Site) -> dict[str, Finding]:
    return {one.check: one for one in diagnose(site, open_host(site.connection))}


def test_a_healthy_site(site: Site, installed: VirtualCluster) -> None:
    found = findings(site)
    assert list(found) == [
        "ssh",
        "shell",
        "slurm",
        "head job",
        "worker default",
        "environment",
        "route",
        "clock",
        "disk",
    ]
    bad = [one for one in found.values() if one.ok is False]
    assert not bad
    assert "22.05" in found["slurm"].message
    assert "dask" in found["environment"].message


@pytest.mark.parametrize(
    ("head", "message", "fix"),
    [
        ({"account": "closed"}, "Invalid account", "--account"),
        ({"partition": "nowhere"}, "nowhere", "no partition nowhere"),
        ({"partition": "down"}, "down", "--partition"),
        ({"partition": "short", "walltime": "2h"}, "never start", "--walltime"),
        ({"memory": "9TiB"}, "not available", "--memory"),
        ({"directives": ["--nosuchoption"]}, "--nosuchoption", "directives"),
    ],
)
def test_a_head_job_that_would_not_run(
    virtual_cluster: VirtualCluster, head: dict[str, object], message: str, fix: str
) -> None:
    finding = findings(site_of(virtual_cluster, **head))["head job"]
    assert finding.ok is False
    assert message in finding.message
    assert fix in finding.fix


def test_a_missing_environment_names_the_command(virtual_cluster: VirtualCluster) -> None:
    site = site_of(virtual_cluster).model_copy(update={"directory": "~/.rsdat-never-made"})
    finding = findings(site)["environment"]
    assert finding.ok is False
    assert "rsdat env install doctored" in finding.fix


def test_a_full_home_is_found(virtual_cluster: VirtualCluster) -> None:
    finding = findings(site_of(virtual_cluster, "cramped"))["disk"]
    assert finding.ok is False
    assert "cannot be written to" in finding.message
    assert "Make room" in finding.fix


@pytest.fixture
def talking_shell(virtual_cluster: VirtualCluster) -> Iterator[None]:
    start_up = virtual_cluster.home("neighbour") / ".bashrc"
    before = start_up.read_text() if start_up.exists() else None
    start_up.write_text(f"echo Welcome to the cluster\n{before or ''}")
    yield
    if before is None:
        start_up.unlink()
    else:
        start_up.write_text(before)


@pytest.mark.usefixtures("talking_shell")
def test_a_talking_login_shell_is_found(virtual_cluster: VirtualCluster) -> None:
    finding = findings(site_of(virtual_cluster, "neighbour"))["shell"]
    assert finding.ok is None
    assert "Welcome to the cluster" in finding.message
    assert ".bashrc" in finding.fix


def test_a_host_that_is_not_there_ends_the_checks(virtual_cluster: VirtualCluster) -> None:
    site = site_of(virtual_cluster)
    connection = site.connection.model_copy(update={"host": "nobody.invalid"})
    found = list(diagnose(site, open_host(connection)))
    assert [one.check for one in found] == ["ssh"]
    assert found[0].ok is False
    assert found[0].fix
