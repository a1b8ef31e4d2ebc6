"""The session's Dask configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rsdat.cluster.configuration import (
    base_url,
    local_workers,
    record_scheduler,
    recorded_scheduler,
    write_dask_config,
)
from rsdat.cluster.layout import Layout
from rsdat.config.models import Jupyter, Limits, Pool, Site


def written(layout: Layout) -> dict:
    return yaml.safe_load((Path(layout.dask) / "rsdat.yaml").read_text())


def test_the_head_exports_paths_and_no_secrets(layout: Layout, site: Site) -> None:
    exported = write_dask_config(layout, site, environ={})
    assert exported == {
        "DASK_CONFIG": str(layout.dask),
        "RSDAT_SESSION": str(layout.directory),
    }


def test_one_cluster_of_the_sites_kind_is_there_at_start(layout: Layout, site: Site) -> None:
    write_dask_config(layout, site, workers=3, environ={})
    extension = written(layout)["labextension"]
    assert extension["factory"]["class"] == "LocalCluster"
    assert extension["initial"] == [{"name": layout.id, "workers": 3}]
    write_dask_config(layout, site.model_copy(update={"queue": "slurm"}), environ={})
    extension = written(layout)["labextension"]
    assert extension["factory"]["class"] == "SlurmCluster"
    assert extension["factory"]["kwargs"] == {"session-directory": str(layout.directory)}
    assert extension["initial"] == [{"name": layout.id, "workers": None}]


def test_the_dashboard_link_respects_a_base_url(layout: Layout, site: Site) -> None:
    jupyter = Jupyter(arguments=("--ServerApp.base_url=/user/me",))
    prefixed = site.model_copy(update={"jupyter": jupyter})
    assert base_url(prefixed) == "/user/me/"
    write_dask_config(layout, prefixed, environ={})
    link = written(layout)["distributed"]["dashboard"]["link"]
    assert link == "/user/me/proxy/{port}/status"


def test_the_schedulers_address_is_added_and_renewed(layout: Layout, site: Site) -> None:
    write_dask_config(layout, site, environ={})
    assert recorded_scheduler(layout) is None
    for address in ("tls://10.0.0.1:1", "tls://10.0.0.1:2"):
        record_scheduler(layout, address)
        assert recorded_scheduler(layout) == address
    assert written(layout)["distributed"]["comm"]["require-encryption"] is True
    assert (Path(layout.dask) / "rsdat.yaml").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in Path(layout.dask).iterdir()] == ["rsdat.yaml"]


@pytest.mark.parametrize("as_directory", [True, False])
def test_a_users_own_dask_config_is_read_and_ours_wins(
    layout: Layout, site: Site, tmp_path: Path, run, as_directory: bool
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text("mine: 1\nlabextension: {factory: {class: Other}}\n")
    place = own if as_directory else own / "mine.yaml"
    import os

    exported = write_dask_config(layout, site, environ={"DASK_CONFIG": str(place)})
    said = run(
        "import dask; print(dask.config.get('mine'),"
        " dask.config.get('labextension.factory.class'))",
        {**os.environ, **exported},
    )
    assert said.split() == ["1", "LocalCluster"]


def test_a_local_session_starts_with_what_the_machine_carries(site: Site) -> None:
    assert local_workers(site) >= 1
    huge = site.model_copy(update={"pools": {"default": Pool(cores=1, memory="900TiB")}})
    assert local_workers(huge) == 1
    none = site.model_copy(update={"limits": Limits(workers=0)})
    assert local_workers(none) == 0
